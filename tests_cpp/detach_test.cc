// Goal: an object may be detached, and attached anew, while threads are in calls on it: they finish
// or are told so, and the map is closed when Detach() returns. Method: threads that do everything
// there is on one object while another one detaches and attaches it in a loop; a look at what the
// process has mapped; detaching in callbacks.
#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

bool IsMapped(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(path) != std::string::npos) return true;
  }
  return false;
}

// Whether a call went well, found nothing, or met the object detached.
template <typename Result>
bool IsFine(const Result& result) {
  return result.ok() || result.absent() || result.status() == Status::kNotAttached ||
         result.status() == Status::kConditionNotMet || result.status() == Status::kBusy;
}

// Every kind of call, by number.
bool Call(const shf::Map& map, uint64_t what, const std::string& key) {
  std::string value;
  char buffer[64];
  uint64_t cursor = 0;
  std::vector<std::string> elements;
  const std::string list = "list" + key;
  switch (what) {
    case 0:
    case 1:
      return IsFine(map.Put(key, "a value"));
    case 2:
      return IsFine(map.Get(key, &value)) && (value.empty() || value == "a value");
    case 3:
    case 4:
      return IsFine(map.Get(key, buffer, sizeof buffer));
    case 5:
      return IsFine(map.Delete(key));
    case 6:
      return IsFine(map.Add("n" + key, 1));
    case 7:
      return IsFine(map.PutIf(key, "a value", shf::Condition::Absent()));
    case 8:
      return IsFine(map.Push(list, "element")) && IsFine(map.Shift(list, &value));
    case 9:
      return IsFine(map.Range(list, 0, shf::Map::kEnd, &elements));
    case 10:
      return IsFine(
          map.ForEach([](void*, std::string_view, std::string_view) { return true; }, nullptr));
    case 11:
      return IsFine(map.Scan(&cursor, "", [](const shf::Entry&) {}));
    case 12:
      return IsFine(map.ViewShard(0, [](const shf::Entry&) {}));
    case 13: {
      const std::string_view keys[] = {key, "absent", key};
      return IsFine(map.GetMany(keys, 3, [](size_t, std::string_view) {}));
    }
    case 14:
      return IsFine(map.Update(key, [](const std::string*, std::string* fresh) {
        *fresh = "a value";
        return shf::Change::kPut;
      }));
    case 15: {
      shf::Entries entries = map.Walk();
      for (const shf::Entry& entry : entries) {
        if (entry.key.size() >= 64) return false;
      }
      return entries.status().ok() || entries.status().status() == Status::kNotAttached;
    }
    case 16:
      return IsFine(map.Size()) && IsFine(map.GetStats()) && IsFine(map.UidOf(key));
    case 17:
      return IsFine(map.Processes()) && IsFine(map.SetRole(shf::Role::kConsumer));
    default:
      return IsFine(map.WatchProcesses().Poll()) && (map.attached() || !map.read_only());
  }
}
constexpr uint64_t kCalls = 19;

TEST(Detach, ThreadsInsideFinishAndLaterCallsAreToldSo) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Map map = scratch.Create();
  std::atomic<bool> done{false};
  std::atomic<uint64_t> calls{0};
  std::atomic<uint64_t> attached{0};
  std::atomic<uint64_t> failed{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      support::Random random(t);
      while (!done) {
        const uint64_t what = random.Below(kCalls);
        if (!Call(map, what, support::Bytes(random.Below(50)))) {
          failed = what + 1;
          return;
        }
        ++calls;
        if (map.attached()) ++attached;
      }
    });
  }
  const int rounds = 300 / static_cast<int>(support::kSlowdown);
  for (int round = 0; round < rounds; ++round) {
    map.Detach();
    ASSERT_FALSE(map.attached());
    const uint64_t before = attached;
    map = scratch.Open();
    while (attached == before && failed == 0) std::this_thread::yield();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0u) << "the number of the call, plus one";
  EXPECT_GT(calls, 0u);
  EXPECT_TRUE(map.Verify()->empty());
  EXPECT_EQ(map.Processes()->size(), 1u) << "the slots of all before were given back";
}

TEST(Detach, TheMapIsClosedWhenItReturns) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();  // whose mapping has no name
  shf::Map map = scratch.Open();
  ASSERT_TRUE(map.Put("key", "value").ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      char buffer[16];
      while (!done) ASSERT_TRUE(IsFine(map.Get("key", buffer, sizeof buffer)));
    });
  }
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(IsMapped(scratch.path()));
    map.Detach();
    ASSERT_FALSE(IsMapped(scratch.path()));
    map = scratch.Open();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(Detach, InACallbackItTakesEffectWhenTheCallEnds) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();  // whose mapping has no name
  shf::Map map = scratch.Open();
  for (uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  struct Context {
    shf::Map* map;
    const Scratch* scratch;
    int visits = 0;
  } context{&map, &scratch};
  const shf::Result<void> walked = map.ForEach(
      [](void* opaque, std::string_view, std::string_view value) {
        auto* own = static_cast<Context*>(opaque);
        EXPECT_EQ(value, "value");
        own->map->Detach();
        EXPECT_FALSE(own->map->attached());
        EXPECT_EQ(own->map->Size().status(), Status::kNotAttached);
        EXPECT_TRUE(IsMapped(own->scratch->path()));
        ++own->visits;
        return true;
      },
      &context);
  EXPECT_TRUE(walked.ok()) << walked.text();
  EXPECT_EQ(context.visits, 10);
  EXPECT_FALSE(IsMapped(scratch.path()));
  map = scratch.Open();
  int seen = 0;
  for (uint32_t shard = 0;; ++shard) {
    const shf::Result<bool> more = map.ViewShard(shard, [&](const shf::Entry&) {
      map.Detach();
      ++seen;
    });
    if (!more.ok() || !*more) break;
  }
  EXPECT_GT(seen, 0);
  EXPECT_FALSE(IsMapped(scratch.path()));
}

TEST(Detach, AThreadInACallbackIsWaitedFor) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();  // whose mapping has no name
  shf::Map map = scratch.Open();
  ASSERT_TRUE(map.Put("key", "value").ok());
  std::atomic<int> stage{0};
  std::thread walker([&] {
    const auto visit = [](void* opaque, std::string_view, std::string_view) {
      auto& at = *static_cast<std::atomic<int>*>(opaque);
      at = 1;
      while (at != 2) std::this_thread::yield();
      return true;
    };
    EXPECT_TRUE(map.ForEach(visit, &stage).ok());
  });
  while (stage != 1) std::this_thread::yield();
  std::atomic<bool> detached{false};
  std::thread detacher([&] {
    map.Detach();
    detached = true;
  });
  while (map.attached()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(detached);
  EXPECT_TRUE(IsMapped(scratch.path()));
  stage = 2;
  walker.join();
  detacher.join();
  EXPECT_FALSE(IsMapped(scratch.path()));
}

TEST(Detach, AChildForkedInACallbackMayDetachForItself) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();  // whose mapping has no name
  shf::Map map = scratch.Open();
  ASSERT_TRUE(map.Put("key", "value").ok());
  std::atomic<bool> done{false};
  // Threads that are inside when it forks are not in the child.
  std::thread other([&] {
    while (!done) ASSERT_TRUE(map.Put("other", "value").ok());
  });
  struct Context {
    shf::Map* map;
    bool good = false;
  } context{&map};
  const auto visit = [](void* opaque, std::string_view, std::string_view) {
    auto* own = static_cast<Context*>(opaque);
    own->good = support::Join(support::Fork([&] {
      SHF_REQUIRE(own->map->Put("child", "value").ok());
      own->map->Detach();
      return !own->map->attached();
    }));
    return false;
  };
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(map.ForEach(visit, &context).ok());
    ASSERT_TRUE(context.good);
    ASSERT_TRUE(support::InChild([&] {
      map.Detach();
      SHF_REQUIRE(!IsMapped(scratch.path()));
      return true;
    }));
  }
  done = true;
  other.join();
  EXPECT_TRUE(*map.Contains("child"));
}

TEST(Detach, TheClassicObjectMayBeAttachedAndDetachedBesideItsUsers) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();
  SharedHashFile shf;
  std::atomic<bool> done{false};
  std::atomic<uint64_t> puts{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      shf.MakeHash("key", 3);
      while (!done) {
        if (shf.PutVal("value", 5) != SHF_UID_NONE) ++puts;
        const Status status = shf.LastStatus();
        ASSERT_TRUE(status == Status::kOk || status == Status::kNotAttached);
        if (shf.GetCopyViaKey()) {
          ASSERT_EQ(std::string(shf_val, shf_val_len), "value");
        }
        (void)shf.DelKey();
      }
    });
  }
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(shf.AttachExisting("/dev/shm", scratch.name().c_str())) << shf.LastError();
    const uint64_t before = puts;
    while (puts == before) std::this_thread::yield();
    shf.Detach();
    ASSERT_FALSE(IsMapped(scratch.path()));
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
