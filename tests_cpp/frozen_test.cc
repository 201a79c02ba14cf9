// Goal: frozen maps, snapshots and their restoration, from C++ and across processes. Method: what
// one process builds, many read; snapshots beside a process that writes; every way to write
// refused.
#include <string>
#include <vector>

#include "support.hpp"

namespace {

using shf::Status;
using support::Fork;
using support::Scratch;

std::string ValueOf(const shf::Map& map, std::string_view key) {
  std::string value;
  const shf::Result<void> got = map.Get(key, &value);
  return got.ok() ? value : std::string("status ") + shf::StatusName(got.status());
}

TEST(Frozen, WhatOneProcessBuildsManyRead) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  ASSERT_TRUE(map.Push("list", "one").ok());
  const shf::Result<shf::Uid> uid = map.UidOf("list");
  EXPECT_FALSE(map.frozen());
  ASSERT_TRUE(map.Freeze().ok());
  EXPECT_TRUE(map.frozen() && map.read_only());
  std::vector<pid_t> readers;
  for (int i = 0; i < 4; ++i) {
    readers.push_back(Fork([&] {
      const shf::Map frozen = scratch.OpenReadOnly();
      bool good = frozen.frozen() && *frozen.Size() == 5001 && *frozen.Length("list") == 1;
      for (uint64_t key = 0; key < 5000; ++key) {
        good = good && ValueOf(frozen, support::Bytes(key)) == "value";
      }
      return good && *frozen.UidOf("list") == *uid && frozen.Verify()->empty();
    }));
  }
  for (const pid_t reader : readers) EXPECT_TRUE(support::Join(reader));
  EXPECT_EQ(map.Put("key", "value").status(), Status::kReadOnly);
  EXPECT_EQ(map.Snapshot("/dev/shm", "other").status(), Status::kReadOnly);
  EXPECT_EQ(shf::Map::Open("/dev/shm", scratch.name()).status(), Status::kReadOnly);
}

TEST(Frozen, ASnapshotIsTakenWhileAnotherProcessWritesAndIsRestored) {
  const support::Watchdog watchdog;
  const Scratch scratch, copy, back;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("first", "0").ok());
  const pid_t writer = Fork([&] {
    for (uint64_t i = 1;; ++i) {
      if (!map.Put("first", std::to_string(i)).ok() || !map.Add("sum", 1).ok()) return false;
    }
  });
  for (int round = 0; round < 5; ++round) {
    const shf::Result<shf::Frozen> snapshot = map.Snapshot("/dev/shm", copy.name());
    ASSERT_TRUE(snapshot.ok()) << snapshot.text();
    const shf::Map frozen = copy.OpenReadOnly();
    EXPECT_EQ(snapshot->keys, *frozen.Size());
    EXPECT_TRUE(frozen.Verify()->empty());
    const shf::Result<shf::Map> restored =
        shf::Map::Restore("/dev/shm", copy.name(), "/dev/shm", back.name());
    ASSERT_TRUE(restored.ok()) << restored.text();
    EXPECT_EQ(ValueOf(*restored, "first"), ValueOf(frozen, "first"));
    EXPECT_TRUE(restored->Put("first", "changed").ok());
    EXPECT_TRUE(shf::Map::Remove("/dev/shm", back.name()).ok());
  }
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  EXPECT_TRUE(map.Put("first", "after").ok());
}

TEST(Frozen, WhatCannotBeFrozenOrRestoredIsAnErrorThatTellsWhy) {
  const Scratch scratch, taken, back;
  shf::Map map = scratch.Create();
  const shf::Map other = scratch.Open();
  EXPECT_EQ(map.Freeze().status(), Status::kBusy);
  EXPECT_TRUE(map.Put("key", "value").ok());
  const shf::Map live = taken.Create();
  EXPECT_EQ(map.Snapshot("/dev/shm", taken.name()).status(), Status::kAlreadyExists);
  EXPECT_EQ(map.Snapshot("/dev/shm", "a/b").status(), Status::kInvalidName);
  EXPECT_EQ(map.Snapshot("/nowhere", "name").status(), Status::kNotFound);
  const shf::Result<shf::Map> restored =
      shf::Map::Restore("/dev/shm", taken.name(), "/dev/shm", back.name());
  EXPECT_EQ(restored.status(), Status::kIncompatible);
  EXPECT_NE(restored.text().find("expected a frozen map"), std::string::npos) << restored.text();
  EXPECT_EQ(shf::Map::Restore("/dev/shm", back.name(), "/dev/shm", back.name()).status(),
            Status::kNotFound);
  EXPECT_EQ(shf::Map().Snapshot("/dev/shm", "name").status(), Status::kNotAttached);
  EXPECT_EQ(shf::Map().Freeze().status(), Status::kNotAttached);
}

}  // namespace
