// Goal: a map grows to millions of keys step by step and stays right. Method: load, read back,
// replace by other sizes, delete; every value follows from its key.
#include <string>

#include "support.hpp"

namespace {

using support::Scratch;

const uint64_t kKeys = 2000000 / support::kSlowdown;

// The value of a key in a round: 8 to 47 bytes that name both.
std::string_view ValueOf(uint64_t key, uint64_t round, char* memory) {
  const uint64_t words[] = {key, round, key ^ round, key + round, ~key, key * 3};
  memcpy(memory, words, sizeof words);
  return {memory, 8 + (key * 7 + round * 13) % 40};
}

void ExpectRound(const shf::Map& map, uint64_t round, uint64_t step) {
  char expected[48];
  char found[64];
  uint64_t wrong = 0;
  for (uint64_t key = 0; key < kKeys; key += step) {
    const shf::Result<size_t> got = map.Get(support::Bytes(key), found, sizeof found);
    if (!got.ok() || std::string_view(found, *got) != ValueOf(key, round, expected)) ++wrong;
  }
  EXPECT_EQ(wrong, 0u) << "round " << round;
}

TEST(Growth, MillionsOfKeysAreLoadedReadReplacedAndDeleted) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  char memory[48];
  for (uint64_t round = 0; round < 3; ++round) {
    for (uint64_t key = 0; key < kKeys; ++key) {
      const shf::Result<shf::Placed> placed =
          map.Put(support::Bytes(key), ValueOf(key, round, memory));
      ASSERT_TRUE(placed.ok()) << placed.text();
      ASSERT_EQ(placed->replaced, round != 0);
    }
    ASSERT_EQ(*map.Size(), kKeys);
    ExpectRound(map, round, 1);
  }
  const shf::Result<shf::Stats> stats = map.GetStats();
  ASSERT_TRUE(stats.ok());
  EXPECT_GT(stats->splits, 0u);
  EXPECT_EQ(stats->keys, kKeys);
  const uint64_t committed = stats->committed_bytes;
  for (uint64_t key = kKeys; key < kKeys + kKeys / 4; ++key) {
    ASSERT_FALSE(*map.Contains(support::Bytes(key)));
  }
  for (uint64_t key = 0; key < kKeys; ++key) {
    if (key % 10 == 0) continue;
    ASSERT_TRUE(*map.Delete(support::Bytes(key)));
  }
  EXPECT_EQ(*map.Size(), (kKeys + 9) / 10);
  ExpectRound(map, 2, 10);
  // What the deletes left behind is used again, or was given back.
  for (uint64_t key = 0; key < kKeys / 2; ++key) {
    ASSERT_TRUE(map.Put(support::Bytes(key), ValueOf(key, 3, memory)).ok());
  }
  EXPECT_LE(map.GetStats()->committed_bytes, committed + committed / 10);
}

TEST(Growth, AMapWithOneShardGrowsLikeAnyOther) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 256 << 20;
  const shf::Map map = scratch.Create(options);
  const uint64_t keys = 300000 / support::kSlowdown;
  for (uint64_t key = 0; key < keys; ++key) {
    const shf::Result<shf::Placed> placed = map.Put(support::Bytes(key), support::Bytes(~key));
    ASSERT_TRUE(placed.ok()) << key << ": " << placed.text();
  }
  std::string value;
  for (uint64_t key = 0; key < keys; ++key) {
    ASSERT_TRUE(map.Get(support::Bytes(key), &value).ok());
    ASSERT_EQ(value, support::Bytes(~key));
  }
  EXPECT_EQ(*map.Clear(), keys);
  EXPECT_EQ(*map.Size(), 0u);
}

TEST(Growth, RealMemoryStaysNearThePayload) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const std::string value(100, 'v');
  const uint64_t keys = 1000000 / support::kSlowdown;
  for (uint64_t key = 0; key < keys; ++key) {
    ASSERT_TRUE(map.Put(support::Bytes(key) + support::Bytes(~key), value).ok());
  }
  struct stat status {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  const uint64_t real_bytes = static_cast<uint64_t>(status.st_blocks) * 512;
  const double ratio = static_cast<double>(real_bytes) / (static_cast<double>(keys) * 116);
  std::printf("memory over payload: %.3f\n", ratio);
  if (support::kSlowdown == 1) {
    EXPECT_LE(ratio, 1.4);
  }
}

}  // namespace
