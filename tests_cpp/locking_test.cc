// Goal: a thread may switch locking off for itself, and nobody loses anything by that. Method:
// other handles, in this process and in others, beside one that keeps the locks, which is killed at
// last.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

shf::Map OpenImpatient(const Scratch& scratch) {
  shf::Options options;
  options.patience = std::chrono::milliseconds(20);
  return std::move(shf::Map::Open(scratch.folder(), scratch.name(), options)).value();
}

TEST(Locking, WhoKeepsTheLocksWritesAlone) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const shf::Map other = OpenImpatient(scratch);
  EXPECT_TRUE(map.lockable() && shf::Map().lockable());
  ASSERT_TRUE(map.SetLockable(false).ok());
  EXPECT_FALSE(map.lockable());
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  EXPECT_EQ(other.Put("key", "other").status(), Status::kBusy);
  EXPECT_EQ(other.SetLockable(false).status(), Status::kBusy);
  EXPECT_EQ(*other.Size(), 1000U);
  ASSERT_TRUE(map.SetLockable(true).ok());
  EXPECT_TRUE(other.Put("key", "other").ok());
  EXPECT_EQ(shf::Map().SetLockable(false).status(), Status::kNotAttached);
  EXPECT_EQ(scratch.OpenReadOnly().SetLockable(false).status(), Status::kReadOnly);
}

TEST(Locking, WhoKeepsTheLocksDetachesWhileOtherThreadsWaitForThem) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map other = scratch.Create();
  for (int round = 0; round < 20; ++round) {
    shf::Map map = scratch.Open();
    ASSERT_TRUE(map.SetLockable(false).ok());
    std::atomic<bool> begun{false};
    std::thread waiter([&] {
      begun = true;
      const auto put = map.Put("key", "value");
      EXPECT_TRUE(put.ok() || put.status() == Status::kNotAttached) << put.text();
    });
    while (!begun) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    map.Detach();
    waiter.join();
  }
  EXPECT_TRUE(other.Put("key", "value").ok());
}

TEST(Locking, OthersGoOnWhenTheKeeperIsKilled) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const pid_t keeper = support::Fork([&] {
    SharedHashFile shf;
    if (!shf.Attach("/dev/shm", scratch.name().c_str()) || !shf.SetIsLockable(false)) return false;
    for (uint64_t i = 0;; ++i) {
      const std::string key = support::Bytes(i);
      shf.MakeHash(key.data(), static_cast<uint32_t>(key.size()));
      if (shf.PutVal("value", 5) == SHF_UID_NONE) return false;
    }
  });
  while (*map.Size() < 1000) {
  }
  kill(keeper, SIGKILL);
  waitpid(keeper, nullptr, 0);
  EXPECT_TRUE(map.Put("key", "value").ok());
  EXPECT_TRUE(map.Verify()->empty());
}

}  // namespace
