// Goal: any number of threads may use one handle. Method: threads that mix every operation on few
// keys, with values that prove themselves, so that a torn or foreign one is seen.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using support::IsProven;
using support::ProvenValue;
using support::Scratch;

constexpr uint64_t kThreads = 4;

template <typename Work>
void RunThreads(Work work) {
  const support::Watchdog watchdog;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
}

TEST(Threads, MixedOperationsNeverShowATornValue) {
  constexpr uint64_t kKeys = 300;
  const uint64_t kRounds = 40000 / support::kSlowdown;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const uint64_t seed = support::Seed();
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> busy{0};
  RunThreads([&](uint64_t t) {
    support::Random random(seed + t);
    std::string value;
    char buffer[600];
    for (uint64_t i = 0; i < kRounds; ++i) {
      const uint64_t key = random.Below(kKeys);
      const std::string bytes = support::Bytes(key);
      const uint64_t what = random.Below(10);
      if (what < 3) {
        ASSERT_TRUE(map.Put(bytes, ProvenValue(key, i, random.Below(500))).ok());
      } else if (what == 3) {
        ASSERT_TRUE(map.Delete(bytes).ok());
      } else if (what == 4) {
        if (map.Contains(bytes).status() == shf::Status::kBusy) ++busy;
      } else if (what < 8) {
        const shf::Result<void> got = map.Get(bytes, &value);
        if (got.status() == shf::Status::kBusy) {
          ++busy;
        } else if (got.ok()) {
          ASSERT_TRUE(IsProven(key, value));
          ++hits;
        } else {
          ASSERT_TRUE(got.absent()) << got.text();
        }
      } else {
        const shf::Result<size_t> got = map.Get(bytes, buffer, sizeof buffer);
        if (got.ok()) {
          ASSERT_TRUE(IsProven(key, {buffer, *got}));
        }
      }
    }
  });
  EXPECT_GT(hits, 0u);
  EXPECT_LT(busy, hits);
}

TEST(Threads, LongValuesAreCopiedWholeWhileNeighboursAreWritten) {
  constexpr uint64_t kKeys = 8;
  const uint64_t kRounds = 2000 / support::kSlowdown;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t key = 0; key < kKeys; ++key) {
    ASSERT_TRUE(map.Put(support::Bytes(key), ProvenValue(key, 0, 50000)).ok());
  }
  RunThreads([&](uint64_t t) {
    support::Random random(t);
    std::string value;
    for (uint64_t i = 0; i < kRounds; ++i) {
      const uint64_t key = random.Below(kKeys);
      if (t % 2 == 0) {
        const size_t size = 20000 + random.Below(60000);
        ASSERT_TRUE(map.Put(support::Bytes(key), ProvenValue(key, i, size)).ok());
      } else {
        const shf::Result<void> got = map.Get(support::Bytes(key), &value);
        if (got.status() == shf::Status::kBusy) continue;
        ASSERT_TRUE(got.ok()) << got.text();
        ASSERT_TRUE(IsProven(key, value));
      }
    }
  });
}

TEST(Threads, AddsAreNeverLost) {
  const uint64_t kRounds = 50000 / support::kSlowdown;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  RunThreads([&](uint64_t) {
    for (uint64_t i = 0; i < kRounds; ++i) ASSERT_TRUE(map.Add(support::Bytes(i % 3), 1).ok());
  });
  int64_t sum = 0;
  for (uint64_t key = 0; key < 3; ++key) sum += *map.Add(support::Bytes(key), 0);
  EXPECT_EQ(sum, static_cast<int64_t>(kThreads * kRounds));
}

TEST(Threads, AReaderSeesTheNumbersOfAWriterOnlyRise) {
  // Puts of one key by one writer: no reader may see an older value after a newer one.
  const uint64_t kRounds = 100000 / support::kSlowdown;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", support::Bytes(0)).ok());
  std::atomic<bool> done{false};
  RunThreads([&](uint64_t t) {
    if (t == 0) {
      for (uint64_t i = 1; i <= kRounds; ++i) {
        const std::string value = support::Bytes(i) + std::string(i % 40, 'x');
        ASSERT_TRUE(map.Put("key", value).ok());
      }
      done = true;
      return;
    }
    uint64_t last = 0;
    char buffer[64];
    while (!done) {
      const shf::Result<size_t> got = map.Get("key", buffer, sizeof buffer);
      if (got.status() == shf::Status::kBusy) continue;
      ASSERT_TRUE(got.ok()) << shf::StatusName(got.status()) << got.text();
      uint64_t number = 0;
      memcpy(&number, buffer, sizeof number);
      ASSERT_EQ(*got, sizeof number + number % 40);
      ASSERT_GE(number, last);
      last = number;
    }
  });
}

TEST(Threads, WalksAndClearsGoOnBesideWriters) {
  const uint64_t kRounds = 10000 / support::kSlowdown;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 2000; ++i) {
    ASSERT_TRUE(map.Put("stays " + std::to_string(i), ProvenValue(i, 0, 50)).ok());
  }
  std::atomic<uint64_t> writers{kThreads - 1};
  RunThreads([&](uint64_t t) {
    if (t != 0) {
      for (uint64_t i = 0; i < kRounds; ++i) {
        const std::string key = "goes " + std::to_string(i % 500 * kThreads + t);
        ASSERT_TRUE(map.Put(key, ProvenValue(i, t, i % 200)).ok());
        if (i % 2 == 0) {
          ASSERT_TRUE(map.Delete(key).ok());
        }
      }
      --writers;
      return;
    }
    do {
      std::vector<bool> seen(2000);
      const auto visit = [](void* context, std::string_view key, std::string_view) {
        if (key.substr(0, 6) == "stays ") {
          (*static_cast<std::vector<bool>*>(context))[std::stoul(std::string(key.substr(6)))] =
              true;
        }
        return true;
      };
      ASSERT_TRUE(map.ForEach(visit, &seen).ok());
      for (uint64_t i = 0; i < seen.size(); ++i) ASSERT_TRUE(seen[i]) << i;
    } while (writers != 0);
    const shf::Result<uint64_t> cleared = map.Clear();
    ASSERT_TRUE(cleared.ok()) << cleared.text();
    ASSERT_GE(*cleared, 2000u);
  });
  EXPECT_EQ(*map.Size(), 0u);
}

TEST(Threads, AStringThatIsReusedAndAFreshOneGetTheSame) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  RunThreads([&](uint64_t t) {
    std::string reused;
    for (uint64_t i = 0; i < 2000; ++i) {
      const uint64_t key = i * kThreads + t;
      const std::string value = ProvenValue(key, t, key * 37 % 3000);
      ASSERT_TRUE(map.Put(support::Bytes(key), value).ok());
      std::string fresh;
      ASSERT_TRUE(map.Get(support::Bytes(key), &fresh).ok());
      ASSERT_TRUE(map.Get(support::Bytes(key), &reused).ok());
      ASSERT_TRUE(fresh == value && reused == value);
    }
  });
}

}  // namespace
