// Goal: whatever a thread or a process does to itself, or has done to it, costs the others nothing.
// Method: cancellation, exec, fork beside writers, more handles than slots, a file that goes away.
#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using shf::Status;
using support::Fork;
using support::Scratch;

// Runs body in a thread of its own that has been cancelled and not met it yet; whether the thread
// was still alive when body had ended.
template <typename Body>
bool SurvivesCancellation(Body body) {
  struct Context {
    Body* body;
    std::atomic<bool> done{false};
  } context{&body};
  const auto run = [](void* argument) -> void* {
    auto* own = static_cast<Context*>(argument);
    pthread_cancel(pthread_self());
    (*own->body)();
    own->done = true;
    pthread_testcancel();
    return nullptr;
  };
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, nullptr, run, &context), 0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(thread, &result), 0);
  EXPECT_EQ(result, PTHREAD_CANCELED) << "it takes effect after the call";
  return context.done;
}

TEST(Lifecycle, ACancelledThreadEndsAfterTheCall) {
  if (support::kSlowdown > 1) GTEST_SKIP() << "sanitizers lose the stack of a cancelled thread";
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const Scratch other;
  bool good = false;
  EXPECT_TRUE(SurvivesCancellation([&] {
    shf::Result<shf::Map> made = shf::Map::Create("/dev/shm", other.name());
    shf::Result<shf::Map> opened = shf::Map::OpenOrCreate("/dev/shm", scratch.name());
    shf::Result<shf::Map> reader = shf::Map::OpenReadOnly("/dev/shm", scratch.name());
    good = made.ok() && opened.ok() && reader.ok();
    std::string value;
    for (uint64_t i = 0; i < 20000; ++i) {
      good = good && opened->Put(support::Bytes(i), std::string(i % 300, 'x')).ok();
      good = good && reader->Get(support::Bytes(i), &value).ok();
    }
    good = good && opened->Add("sum", 1).ok() && opened->Delete(support::Bytes(7)).ok();
    good = good && opened->Verify()->empty() && opened->Clear().ok();
    good = good && shf::Map::Remove("/dev/shm", other.name()).ok();
  }));
  EXPECT_TRUE(good);
  // A child's first write takes a slot, with an open file of its own.
  EXPECT_TRUE(support::Join(Fork([&] {
    bool put = false;
    SHF_REQUIRE(SurvivesCancellation([&] { put = map.Put("child", "value").ok(); }));
    return put;
  })));
  EXPECT_TRUE(*map.Contains("child"));
}

TEST(Lifecycle, AProcessThatExecsWhileItWritesIsGone) {
  // Method: one thread writes without pause to the only shard, another one execs: the lock that the
  // first may have had is free, or taken over, though the process lives on.
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  const shf::Map map = scratch.Create(options);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = Fork([&] {
      std::thread writer([&] {
        for (uint64_t i = 0;; ++i) (void)map.Put(support::Bytes(i % 1000), "12345678");
      });
      usleep(2000 + 100 * round);
      execl("/bin/sleep", "sleep", "1000", nullptr);
      return false;
    });
    std::string comm;
    while (comm != "sleep") {
      char name[16] = {};
      const int file = open(("/proc/" + std::to_string(child) + "/comm").c_str(), O_RDONLY);
      const ssize_t bytes = read(file, name, sizeof(name));
      close(file);
      comm.assign(name, bytes > 0 ? bytes - 1 : 0);
      usleep(500);
    }
    EXPECT_TRUE(map.Put("key", "value").ok());
    kill(child, SIGKILL);
    EXPECT_FALSE(support::Join(child));
  }
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Lifecycle, ChildrenForkedBesideWritingThreadsUseTheMap) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Options options;
  options.shards = 2;
  const shf::Map map = scratch.Create(options);
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (uint64_t w = 0; w < 2; ++w) {
    writers.emplace_back([&, w] {
      for (uint64_t i = 0; !done; ++i) {
        ASSERT_TRUE(map.Put(support::Bytes(w << 32 | i % 1000), std::string(i % 200, 'w')).ok());
      }
    });
  }
  for (uint64_t c = 0; c < 100 / support::kSlowdown; ++c) {
    EXPECT_TRUE(support::Join(Fork([&] {
      const std::string key = support::Bytes((c + 1) << 48);  // no writer's
      std::string value;
      SHF_REQUIRE(map.Put(key, "child").ok());
      SHF_REQUIRE(map.Get(key, &value).ok() && value == "child");
      SHF_REQUIRE(map.Add("children", 1).ok());
      return true;
    })));
  }
  done = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(*map.Add("children", 0), static_cast<int64_t>(100 / support::kSlowdown));
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Lifecycle, AHandleTooManyIsRefusedAndTheNextOneWorks) {
  const support::Watchdog watchdog;
  constexpr size_t kSlots = 1024;
  constexpr size_t kHandles = 128;  // of one process, which may have 1024 descriptors
  const Scratch scratch;
  shf::Options small;
  small.max_bytes = 1 << 20;
  shf::Map map = scratch.Create(small);
  std::vector<pid_t> children;
  int ready[2];
  int go[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(go), 0);
  for (size_t left = kSlots - 1; left > 0;) {
    const size_t some = std::min(left, kHandles);
    left -= some;
    children.push_back(Fork([&, some] {
      std::vector<shf::Map> own;
      for (size_t i = 0; i < some; ++i) own.push_back(scratch.Open());
      char byte = own.back().Put("key", "value").ok() ? 'y' : 'n';
      SHF_REQUIRE(write(ready[1], &byte, 1) == 1);
      close(go[1]);
      return read(go[0], &byte, 1) == 0;
    }));
  }
  for (size_t i = 0; i < children.size(); ++i) {
    char byte = 'n';
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
  }
  const shf::Result<shf::Map> refused = shf::Map::Open("/dev/shm", scratch.name());
  EXPECT_EQ(refused.status(), Status::kTooManyProcesses) << refused.text();
  EXPECT_TRUE(shf::Map::OpenReadOnly("/dev/shm", scratch.name()).ok());
  // A child's first write needs a slot as well.
  EXPECT_TRUE(support::Join(
      Fork([&] { return map.Put("key", "child").status() == Status::kTooManyProcesses; })));
  map.Detach();
  EXPECT_TRUE(scratch.Open().Put("key", "next").ok());
  close(go[0]);
  close(go[1]);
  for (const pid_t child : children) EXPECT_TRUE(support::Join(child));
}

TEST(Lifecycle, AMapWhoseFileIsRemovedOrReplacedGoesOnForWhoHasIt) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "old").ok());
  ASSERT_TRUE(shf::Map::Remove("/dev/shm", scratch.name()).ok());
  EXPECT_EQ(shf::Map::Open("/dev/shm", scratch.name()).status(), Status::kNotFound);
  const shf::Map next = scratch.Create();
  std::string value;
  EXPECT_TRUE(next.Get("key", &value).absent());
  for (uint64_t i = 0; i < 10000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "12345678").ok());
  EXPECT_TRUE(map.Get("key", &value).ok());
  EXPECT_EQ(value, "old");
  EXPECT_EQ(*next.Size(), 0u);
  // A child of a handle whose file has no name opens it again through its descriptor.
  EXPECT_TRUE(support::Join(Fork([&] { return map.Put("child", "value").ok(); })));
  EXPECT_TRUE(*map.Contains("child"));
}

TEST(Lifecycle, AMapThatIsCreatedAgainHasNothingToDoWithTheOneBefore) {
  // Method: both are written to by children at once, of which one is killed, and both grow.
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  const shf::Map old = scratch.Create(options);
  ASSERT_TRUE(old.Put("which", "old").ok());
  ASSERT_TRUE(shf::Map::Remove("/dev/shm", scratch.name()).ok());
  const shf::Map next = scratch.Create(options);
  ASSERT_TRUE(next.Put("which", "new").ok());
  const auto write = [](const shf::Map& map, uint64_t salt, uint64_t keys) {
    for (uint64_t i = 0; i < keys; ++i) {
      SHF_REQUIRE(map.Put(support::Bytes(i), support::ProvenValue(i, salt, 30)).ok());
    }
    return true;
  };
  std::vector<pid_t> children;
  children.push_back(Fork([&] { return write(old, 1, 10000); }));
  children.push_back(Fork([&] { return write(next, 2, 20000); }));
  const pid_t victim = Fork([&] {
    for (uint64_t i = 0;; ++i) SHF_REQUIRE(old.Put("victim", std::string(i % 200, 'v')).ok());
  });
  usleep(20000);
  kill(victim, SIGKILL);
  EXPECT_FALSE(support::Join(victim));
  EXPECT_TRUE(support::JoinAll(children));
  EXPECT_TRUE(old.Delete("victim").ok());
  EXPECT_EQ(*old.Size(), 10001u);
  EXPECT_EQ(*next.Size(), 20001u);
  EXPECT_TRUE(next.Verify()->empty());
  EXPECT_TRUE(old.Verify()->empty());
  std::string value;
  EXPECT_TRUE(old.Get("which", &value).ok());
  EXPECT_EQ(value, "old");
  EXPECT_TRUE(scratch.Open().Get("which", &value).ok());
  EXPECT_EQ(value, "new");
}

TEST(Lifecycle, AReaderOfLongValuesThatAreOnlyOverwrittenMakesProgress) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  constexpr size_t kBytes = 3 << 20;
  ASSERT_TRUE(map.Put("key", std::string(kBytes, 'a')).ok());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (char fill = 'b'; !done; fill = fill == 'z' ? 'a' : static_cast<char>(fill + 1)) {
      ASSERT_TRUE(map.Put("key", std::string(kBytes, fill)).ok());
    }
  });
  std::string value;
  const shf::Map reader = scratch.OpenReadOnly();
  for (int read = 0; read < 50; ++read) {
    const shf::Result<void> got = reader.Get("key", &value);
    ASSERT_TRUE(got.ok()) << got.text();
    ASSERT_EQ(value.size(), kBytes);
    ASSERT_EQ(value.find_first_not_of(value.front()), std::string::npos) << "torn";
  }
  done = true;
  writer.join();
}

}  // namespace
