// Goal: one map serves many processes, and killing any of them costs nothing that was acknowledged.
// Method: forked writers with keys of their own and shared ones, an inherited handle, and SIGKILL
// at arbitrary moments.
#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <string>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::Fork;
using support::IsProven;
using support::JoinAll;
using support::ProvenValue;
using support::Scratch;

// Keys of a process, told apart from those of others.
uint64_t KeyOf(uint64_t process, uint64_t number) { return process << 32 | number; }

// Memory that parent and children share beside the map.
class Ledger {
 public:
  static constexpr size_t kWords = 64;
  Ledger()
      : words_(static_cast<std::atomic<uint64_t>*>(mmap(nullptr, kWords * sizeof(uint64_t),
                                                        PROT_READ | PROT_WRITE,
                                                        MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~Ledger() { munmap(words_, kWords * sizeof(uint64_t)); }
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  std::atomic<uint64_t>& operator[](size_t index) const { return words_[index]; }

 private:
  std::atomic<uint64_t>* words_;
};

TEST(Processes, WritersOfDisjointKeysDoNotDisturbEachOther) {
  const support::Watchdog watchdog;
  constexpr uint64_t kProcesses = 4;
  constexpr uint64_t kKeys = 10000;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < kProcesses; ++p) {
    children.push_back(Fork([&, p] {
      const shf::Map own = scratch.Open();
      for (uint64_t i = 0; i < kKeys; ++i) {
        SHF_REQUIRE(own.Put(support::Bytes(KeyOf(p, i)), ProvenValue(KeyOf(p, i), p, i % 90)).ok());
      }
      for (uint64_t i = 0; i < kKeys; i += 3) {
        SHF_REQUIRE(*own.Delete(support::Bytes(KeyOf(p, i))));
      }
      return true;
    }));
  }
  ASSERT_TRUE(JoinAll(children));
  std::string value;
  for (uint64_t p = 0; p < kProcesses; ++p) {
    for (uint64_t i = 0; i < kKeys; ++i) {
      const shf::Result<void> got = map.Get(support::Bytes(KeyOf(p, i)), &value);
      ASSERT_EQ(got.absent(), i % 3 == 0);
      if (got.ok()) {
        ASSERT_EQ(value, ProvenValue(KeyOf(p, i), p, i % 90));
      }
    }
  }
  EXPECT_EQ(*map.Size(), kProcesses * (kKeys - (kKeys + 2) / 3));
}

TEST(Processes, AddsOfSharedCountersAreNeverLost) {
  const support::Watchdog watchdog;
  constexpr uint64_t kProcesses = 4;
  constexpr uint64_t kRounds = 4000;
  constexpr uint64_t kCounters = 16;
  const Scratch scratch;
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < kProcesses; ++p) {
    children.push_back(Fork([&] {
      // All of them create: one does, the others open what it made.
      const shf::Result<shf::Map> own = shf::Map::OpenOrCreate(scratch.folder(), scratch.name());
      SHF_REQUIRE(own.ok());
      for (uint64_t i = 0; i < kRounds * kCounters; ++i) {
        SHF_REQUIRE(own->Add("counter " + std::to_string(i % kCounters), 1).ok());
      }
      return true;
    }));
  }
  ASSERT_TRUE(JoinAll(children));
  const shf::Map map = scratch.Open();
  for (uint64_t c = 0; c < kCounters; ++c) {
    EXPECT_EQ(*map.Add("counter " + std::to_string(c), 0),
              static_cast<int64_t>(kProcesses * kRounds));
  }
}

TEST(Processes, SharedKeysAlwaysHoldOneWholeValue) {
  const support::Watchdog watchdog;
  constexpr uint64_t kKeys = 50;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const uint64_t seed = support::Seed();
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < 4; ++p) {
    children.push_back(Fork([&, p] {
      const shf::Map own = scratch.Open();
      support::Random random(seed + p);
      std::string value;
      for (uint64_t i = 0; i < 20000; ++i) {
        const uint64_t key = random.Below(kKeys);
        const std::string bytes = support::Bytes(key);
        const uint64_t what = random.Below(8);
        if (what < 3) {
          SHF_REQUIRE(own.Put(bytes, ProvenValue(key, i, random.Below(400))).ok());
        } else if (what == 3) {
          SHF_REQUIRE(own.Delete(bytes).ok());
        } else {
          const shf::Result<void> got = own.Get(bytes, &value);
          const bool unknown = got.absent() || got.status() == shf::Status::kBusy;
          SHF_REQUIRE(got.ok() ? IsProven(key, value) : unknown);
        }
      }
      return true;
    }));
  }
  ASSERT_TRUE(JoinAll(children));
  for (uint64_t key = 0; key < kKeys; ++key) {
    std::string value;
    if (map.Get(support::Bytes(key), &value).ok()) {
      EXPECT_TRUE(IsProven(key, value));
    }
  }
}

TEST(Processes, TwentyFourChildrenUseTheInheritedHandle) {
  const support::Watchdog watchdog;
  constexpr uint64_t kChildren = 24;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  SharedHashFile classic;
  ASSERT_TRUE(classic.AttachExisting(scratch.folder().c_str(), scratch.name().c_str()));
  ASSERT_TRUE(map.Put("parent", "before").ok());
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < kChildren; ++p) {
    children.push_back(Fork([&, p] {
      std::string value;
      SHF_REQUIRE(map.Get("parent", &value).ok() && value == "before");
      for (uint64_t i = 0; i < 500; ++i) {
        SHF_REQUIRE(map.Put(support::Bytes(KeyOf(p, i)), ProvenValue(p, i, 40)).ok());
        SHF_REQUIRE(map.Add("adds", 1).ok());
      }
      const std::string key = "classic " + std::to_string(p);
      classic.MakeHash(key.data(), static_cast<uint32_t>(key.size()));
      SHF_REQUIRE(classic.PutVal("here", 4) != SHF_UID_NONE);
      return true;
    }));
  }
  // The parent works on meanwhile.
  for (uint64_t i = 0; i < 500; ++i) ASSERT_TRUE(map.Add("adds", 1).ok());
  ASSERT_TRUE(JoinAll(children));
  EXPECT_EQ(*map.Add("adds", 0), static_cast<int64_t>((kChildren + 1) * 500));
  EXPECT_EQ(*map.Size(), kChildren * 501 + 2);
  for (uint64_t p = 0; p < kChildren; ++p) {
    EXPECT_TRUE(*map.Contains("classic " + std::to_string(p)));
    EXPECT_TRUE(*map.Contains(support::Bytes(KeyOf(p, 499))));
  }
}

// Puts, replaces and deletes until it is killed, and notes in the ledger how far it got: every
// number below the note is acknowledged.
bool WriteForEver(const Scratch& scratch, const Ledger& ledger, uint64_t process) {
  const shf::Map map = scratch.Open();
  for (uint64_t i = ledger[process].load();; ++i) {
    const uint64_t key = KeyOf(process, i);
    SHF_REQUIRE(map.Put(support::Bytes(key), ProvenValue(key, 1, i % 70)).ok());
    SHF_REQUIRE(map.Put(support::Bytes(key), ProvenValue(key, 2, (i * 7) % 300)).ok());
    // Already gone when the writer before this one died between delete and note.
    if (i % 4 == 3) SHF_REQUIRE(map.Delete(support::Bytes(KeyOf(process, i - 1))).ok());
    ledger[process].store(i + 1);
  }
}

TEST(Processes, KilledWritersLoseNothingAndStopNobody) {
  const support::Watchdog watchdog;
  constexpr int kKills = 60;
  constexpr uint64_t kWriters = 3;
  const Scratch scratch;
  shf::Options options;
  options.shards = 4;  // the fewer shards, the more often the dead one held a lock
  const shf::Map map = scratch.Create(options);
  const Ledger ledger;
  support::Random random(support::Seed());
  std::vector<pid_t> writers;
  const auto start = [&](uint64_t p) {
    return Fork([&, p] { return WriteForEver(scratch, ledger, p); });
  };
  for (uint64_t p = 0; p < kWriters; ++p) writers.push_back(start(p));
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    const uint64_t victim = random.Below(kWriters);
    const uint64_t before = ledger[victim].load();
    while (ledger[victim].load() < before + 20 + random.Below(50)) usleep(100);
    kill(writers[victim], SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(writers[victim], &status, 0), writers[victim]);
    ASSERT_TRUE(WIFSIGNALED(status)) << "a writer ended by itself";
    // The others go on: each writes more than it had.
    for (uint64_t p = 0; p < kWriters; ++p) {
      if (p == victim) continue;
      const uint64_t noted = ledger[p].load();
      while (ledger[p].load() < noted + 5) usleep(100);
    }
    ASSERT_TRUE(map.Add("parent", 1).ok());
    writers[victim] = start(victim);
  }
  for (const pid_t writer : writers) kill(writer, SIGKILL);
  EXPECT_FALSE(JoinAll(writers));
  std::string value;
  uint64_t acknowledged = 0;
  for (uint64_t p = 0; p < kWriters; ++p) {
    const uint64_t end = ledger[p].load();
    for (uint64_t i = 0; i < end; ++i) {
      const shf::Result<void> got = map.Get(support::Bytes(KeyOf(p, i)), &value);
      const bool deleted = i % 4 == 2 && i + 1 < end;
      // Whether the delete after the last note took place is open.
      if (i % 4 == 2 && i + 1 == end && got.absent()) continue;
      ASSERT_EQ(got.absent(), deleted) << p << " " << i << " of " << end << " " << got.text();
      if (!deleted) {
        ASSERT_EQ(value, ProvenValue(KeyOf(p, i), 2, (i * 7) % 300));
      }
      ++acknowledged;
    }
    const uint64_t open_key = KeyOf(p, end);
    if (map.Get(support::Bytes(open_key), &value).ok()) {
      EXPECT_TRUE(IsProven(open_key, value));
    }
  }
  EXPECT_EQ(*map.Add("parent", 0), kKills);
  std::printf("%llu acknowledged numbers checked, %llu repairs\n",
              static_cast<unsigned long long>(acknowledged),
              static_cast<unsigned long long>(map.GetStats()->repairs));
}

TEST(Processes, TwoHandlesInOneProcessSeeEachOther) {
  const Scratch scratch;
  const shf::Map first = scratch.Create();
  const shf::Map second = scratch.Open();
  std::string value;
  for (uint64_t i = 0; i < 20000; ++i) {
    const shf::Map& writer = i % 2 == 0 ? first : second;
    const shf::Map& reader = i % 2 == 0 ? second : first;
    ASSERT_TRUE(writer.Put(support::Bytes(i), ProvenValue(i, 0, i % 50)).ok());
    ASSERT_TRUE(reader.Get(support::Bytes(i), &value).ok());
    ASSERT_EQ(value, ProvenValue(i, 0, i % 50));
    if (i % 5 == 0) {
      ASSERT_TRUE(*reader.Delete(support::Bytes(i)));
    }
  }
  EXPECT_EQ(*first.Size(), 16000u);
  EXPECT_EQ(*second.Size(), 16000u);
}

TEST(Processes, AHandleClosedBesideAnotherLeavesItWorking) {
  // Closing one descriptor of a file drops a process's classic locks on it: ours must not be such.
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 20; ++i) {
    const shf::Map other = scratch.Open();
    ASSERT_TRUE(other.Put("other", support::Bytes(i)).ok());
    ASSERT_TRUE(map.Put("map", support::Bytes(i)).ok());
  }
  EXPECT_TRUE(support::InChild([&] {
    const shf::Map own = scratch.Open();
    SHF_REQUIRE(own.Put("child", "value").ok());
    return true;
  }));
  EXPECT_TRUE(map.Put("map", "after").ok());
  EXPECT_EQ(map.GetStats()->repairs, 0u);
}

// Closes all descriptors but the standard ones and puts others on their numbers, all of one new
// file without a name; returns the first of them, or -1.
int CloseAllAndLog() {
  constexpr int kLast = 255;
  for (int fd = 3; fd <= kLast; ++fd) close(fd);
  const int log = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
  for (int fd = log; fd >= 0 && fd < kLast;) fd = dup(log);
  return log;
}

// Whether the log is still open under all its numbers, and nothing was allocated in it.
bool LogIsUntouched(int log) {
  for (int fd = log; fd <= 255; ++fd) {
    struct stat status {};
    if (fstat(fd, &status) != 0 || status.st_blocks != 0) return false;
  }
  return true;
}

TEST(Processes, ADaemonThatClosedEveryDescriptorWritesToTheMapAndNowhereElse) {
  // Method: a child closes what it inherited, as daemons do, and has a log under the old numbers.
  // It must find the map again by its name, lock its slot there, and close nobody's descriptors.
  const support::Watchdog watchdog;
  constexpr uint64_t kKeys = 20000;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  EXPECT_TRUE(support::InChild([&] {
    const int log = CloseAllAndLog();
    SHF_REQUIRE(log >= 0);
    for (uint64_t i = 0; i < kKeys; ++i) {
      SHF_REQUIRE(map.Put(support::Bytes(i), ProvenValue(i, 1, 300)).ok());
    }
    SHF_REQUIRE(LogIsUntouched(log));
    const_cast<shf::Map&>(map).Detach();
    SHF_REQUIRE(LogIsUntouched(log));
    return true;
  }));
  EXPECT_EQ(*map.Size(), kKeys);
  EXPECT_EQ(map.GetStats()->repairs, 0u);
}

TEST(Processes, ADaemonWhoseMapHasNoNameAnyMoreIsToldSoAndHarmsNobody) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "value").ok());
  ASSERT_TRUE(shf::Map::Remove(scratch.folder(), scratch.name()).ok());
  for (const bool replaced : {false, true}) {
    // A map of that name which is another one does not do either.
    if (replaced) {
      ASSERT_TRUE(scratch.Create().attached());
    }
    EXPECT_TRUE(support::InChild([&] {
      const int log = CloseAllAndLog();
      SHF_REQUIRE(log >= 0);
      const shf::Result<shf::Placed> put = map.Put("key", "other");
      SHF_REQUIRE(put.status() == shf::Status::kSystem);
      SHF_REQUIRE(!put.text().empty());
      std::string value;
      SHF_REQUIRE(map.Get("key", &value).ok() && value == "value");
      const_cast<shf::Map&>(map).Detach();
      SHF_REQUIRE(LogIsUntouched(log));
      return true;
    }));
  }
}

TEST(Processes, ADaemonThatOpensTheMapAnewKeepsItWhenTheInheritedHandleGoes) {
  // Goal: the inherited handle does not close a number that it remembers and that now is the new
  // handle's. Method: after that, others must still see the child's slot as taken.
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Map map = scratch.Create();
  EXPECT_TRUE(support::InChild([&] {
    for (int fd = 3; fd <= 255; ++fd) close(fd);
    const shf::Map fresh = scratch.Open();
    std::vector<int> before;
    for (int fd = 3; fd <= 255; ++fd) {
      if (fcntl(fd, F_GETFD) >= 0) before.push_back(fd);
    }
    SHF_REQUIRE(!before.empty());
    map.Detach();
    for (const int fd : before) SHF_REQUIRE(fcntl(fd, F_GETFD) >= 0);
    SHF_REQUIRE(fresh.Put("key", "value").ok());
    return true;
  }));
}

TEST(Processes, AWriterThatDoesNotWantToWaitIsToldSo) {
  // Method: a child that writes without pause to the only shard is stopped until that happens to be
  // in the middle of a put.
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  const shf::Map map = scratch.Create(options);
  options.patience = std::chrono::milliseconds(2);
  const shf::Map impatient = std::move(shf::Map::Open("/dev/shm", scratch.name(), options)).value();
  ASSERT_TRUE(impatient.Put("key", "value").ok());
  const pid_t child = Fork([&] {
    for (uint64_t i = 0;; ++i) SHF_REQUIRE(map.Put(support::Bytes(i % 1000), "12345678").ok());
    return true;
  });
  Status status = Status::kOk;
  while (status == Status::kOk) {
    usleep(1000);
    kill(child, SIGSTOP);
    int stopped = 0;
    ASSERT_EQ(waitpid(child, &stopped, WUNTRACED), child);
    status = impatient.Put("key", "other").status();
    if (status == Status::kOk) kill(child, SIGCONT);
  }
  EXPECT_EQ(status, Status::kBusy);
  std::string value;
  EXPECT_TRUE(impatient.Get("key", &value).ok());
  EXPECT_EQ(impatient.Delete("key").status(), Status::kBusy);
  EXPECT_EQ(impatient.Add("sum", 1).status(), Status::kBusy);
  EXPECT_EQ(impatient.Clear().status(), Status::kBusy);
  // A dead owner is not waited for.
  kill(child, SIGKILL);
  ASSERT_FALSE(support::Join(child));
  EXPECT_TRUE(impatient.Put("key", "last").ok());
}

}  // namespace
