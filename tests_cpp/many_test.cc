// Goal: GetMany and PutMany answer as the single calls that they stand for, whatever the batch.
// Method: the same on one map by batches and on another by single calls; then each promise of their
// comments by name.
#include <array>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

namespace {

using shf::Buffer;
using shf::KeyValue;
using shf::Map;
using shf::Placed;
using shf::Status;
using support::ProvenValue;
using support::Scratch;

using Values = std::vector<std::optional<std::string>>;

std::vector<std::string_view> ViewsOf(const std::vector<std::string>& strings) {
  return std::vector<std::string_view>(strings.begin(), strings.end());
}

// The keys 0 to count - 1.
std::vector<std::string> Numbers(uint64_t count) {
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < count; ++i) keys.push_back(support::Bytes(i));
  return keys;
}

Values GetSingle(const Map& map, const std::vector<std::string>& keys) {
  Values values;
  for (const std::string& key : keys) {
    std::string value;
    const shf::Result<void> got = map.Get(key, &value);
    EXPECT_TRUE(got.ok() || got.absent()) << got.text();
    values.push_back(got.ok() ? std::optional<std::string>(value) : std::nullopt);
  }
  return values;
}

Values GetMany(const Map& map, const std::vector<std::string>& keys) {
  Values values(keys.size());
  size_t next = 0;
  size_t visited = 0;
  const auto visit = [&](size_t index, std::string_view value) {
    EXPECT_GE(index, next) << "in order, each once";
    next = index + 1;
    ++visited;
    values.at(index) = std::string(value);
  };
  const shf::Result<size_t> found = map.GetMany(ViewsOf(keys), visit);
  EXPECT_TRUE(found.ok()) << found.text();
  EXPECT_EQ(*found, visited);
  return values;
}

// By buffers of so many bytes each, and single gets into the like.
void ExpectBuffersAgree(const Map& map, const std::vector<std::string>& keys, size_t capacity) {
  std::string memory(keys.size() * capacity, 'x');
  std::vector<Buffer> buffers(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) buffers[i] = {&memory[i * capacity], capacity};
  const shf::Result<size_t> found = map.GetMany(ViewsOf(keys).data(), keys.size(), buffers.data());
  ASSERT_TRUE(found.ok()) << found.text();
  size_t copied = 0;
  std::string single(capacity, 'x');
  for (size_t i = 0; i < keys.size(); ++i) {
    const shf::Result<size_t> got = map.Get(keys[i], &single[0], capacity);
    ASSERT_EQ(buffers[i].status, got.status()) << i;
    EXPECT_EQ(buffers[i].bytes, got.ok() ? *got : got.needed_bytes());
    const size_t bytes = got.ok() ? *got : 0;
    EXPECT_EQ(memory.substr(i * capacity, bytes), single.substr(0, bytes));
    // Nothing behind the value was touched.
    EXPECT_EQ(memory.substr(i * capacity + bytes, capacity - bytes),
              std::string(capacity - bytes, 'x'));
    copied += got.ok() ? 1 : 0;
  }
  EXPECT_EQ(*found, copied);
}

void ExpectAgreement(const shf::Options& options) {
  const Scratch scratch_a;
  const Scratch scratch_b;
  const Map batched = scratch_a.Create(options);
  const Map single = scratch_b.Create(options);
  const Map reader = scratch_a.OpenReadOnly();
  support::Random random(support::Seed());
  for (const uint64_t key_count : {5, 3000}) {
    for (const size_t size : std::initializer_list<size_t>{0, 1, 31, 32, 33, 1000, 64}) {
      SCOPED_TRACE(size);
      std::vector<std::string> keys;
      std::vector<std::string> values;
      std::vector<KeyValue> pairs;
      for (size_t i = 0; i < size; ++i) {
        const uint64_t key = random.Below(key_count);
        keys.push_back(key == 0 ? std::string() : support::Bytes(key));
        const size_t longest = std::array<size_t, 4>{60, 60, 300, 30000}[random.Below(4)];
        values.push_back(ProvenValue(key, i, random.Below(longest)));
      }
      for (size_t i = 0; i < size; ++i) pairs.push_back({keys[i], values[i]});
      std::vector<Placed> placed(size);
      const shf::Result<size_t> put = batched.PutMany(pairs, placed.data());
      ASSERT_TRUE(put.ok()) << put.text();
      size_t replaced = 0;
      for (size_t i = 0; i < size; ++i) {
        const shf::Result<Placed> one = single.Put(keys[i], values[i]);
        ASSERT_TRUE(one.ok()) << one.text();
        EXPECT_EQ(placed[i].replaced, one->replaced) << i;
        replaced += one->replaced ? 1 : 0;
      }
      EXPECT_EQ(*put, replaced);
      for (size_t i = 0; i < size; i += 3) {
        ASSERT_EQ(*batched.Delete(keys[i]), *single.Delete(keys[i]));
        keys.push_back("never put " + std::to_string(i));
      }
      const Values right = GetSingle(single, keys);
      EXPECT_TRUE(GetMany(batched, keys) == right);
      EXPECT_TRUE(GetMany(reader, keys) == right);
      for (const size_t capacity : {0, 50, 400}) ExpectBuffersAgree(reader, keys, capacity);
    }
  }
  EXPECT_EQ(*batched.Size(), *single.Size());
  EXPECT_TRUE(batched.Verify()->empty());
}

TEST(Many, BatchesAgreeWithSingleCalls) { ExpectAgreement(shf::Options()); }

TEST(Many, BatchesOfADurableMapAgreeWithSingleCalls) {
  shf::Options options;
  options.durable = true;
  ExpectAgreement(options);
}

TEST(Many, ArraysAndVectorsOfViewsAreTaken) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const KeyValue pairs[] = {{"one", "1"}, {"two", "2"}, {"one", "uno"}};
  EXPECT_EQ(*map.PutMany(pairs), 1u);
  std::string seen;
  const auto visit = [&](size_t index, std::string_view value) {
    seen.append(std::to_string(index)).append("=").append(value).append(" ");
  };
  const std::string_view array[] = {"two", "three", "one"};
  EXPECT_EQ(*map.GetMany(array, visit), 2u);
  EXPECT_EQ(*map.GetMany(std::array<std::string_view, 1>{"one"}, visit), 1u);
  EXPECT_EQ(*map.GetMany(std::vector<std::string_view>(), visit), 0u);
  EXPECT_EQ(*map.GetMany(nullptr, 0, visit), 0u);
  EXPECT_EQ(*map.PutMany(std::vector<KeyValue>()), 0u);
  EXPECT_EQ(seen, "0=2 2=uno 0=uno ");
}

TEST(Many, ValuesOfEverySizeAreVisitedWhole) {
  // Around the memory of a group, with the 24 bytes more that each has: values that fill it, that
  // do not fit behind others, and that are larger than all of it.
  const Scratch scratch;
  const Map map = scratch.Create();
  const std::vector<size_t> sizes = {0,    8168, 1,      8169, 4072, 4072, 5000,   0,
                                     3000, 7,    262120, 5,    8167, 1,    300000, 600000};
  std::vector<std::string> values;
  const std::vector<std::string> keys = Numbers(sizes.size() * 5);
  for (size_t i = 0; i < keys.size(); ++i) {
    values.push_back(ProvenValue(i, 1, sizes[i % sizes.size()]));
    ASSERT_TRUE(map.Put(keys[i], values[i]).ok());
  }
  const Values found = GetMany(map, keys);
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_TRUE(found[i] == values[i]) << i;
}

TEST(Many, WhatAVisitorThrowsPassesThrough) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const std::vector<std::string> keys = Numbers(100);
  for (const std::string& key : keys) ASSERT_TRUE(map.Put(key, key).ok());
  size_t visited = 0;
  const auto visit = [&](size_t index, std::string_view) {
    if (index == 40) throw std::runtime_error("enough");
    ++visited;
  };
  EXPECT_THROW((void)map.GetMany(ViewsOf(keys), visit), std::runtime_error);
  EXPECT_EQ(visited, 40u);
  EXPECT_EQ(GetMany(map, keys).size(), 100u);
}

TEST(Many, AVisitorMayUseTheMapAndEvenDetachIt) {
  const Scratch scratch;
  Map map = scratch.Create();
  const std::vector<std::string> keys = Numbers(100);
  for (const std::string& key : keys) ASSERT_TRUE(map.Put(key, "old").ok());
  const auto change = [&](size_t index, std::string_view value) {
    EXPECT_EQ(value, "old");
    EXPECT_TRUE(map.Put(keys[index], "new").ok());
  };
  EXPECT_EQ(*map.GetMany(ViewsOf(keys), change), 100u);
  size_t visited = 0;
  const auto detach = [&](size_t, std::string_view value) {
    EXPECT_EQ(value, "new");
    map.Detach();
    ++visited;
  };
  EXPECT_EQ(map.GetMany(ViewsOf(keys), detach).status(), Status::kNotAttached);
  EXPECT_GE(visited, 1u);
  EXPECT_LT(visited, 100u);
}

TEST(Many, WhatCannotBeIsRefusedBeforeAnythingIsDone) {
  const Scratch scratch;
  const Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "value").ok());
  const auto never = [](size_t, std::string_view) { ADD_FAILURE() << "visited"; };
  const std::string_view null(nullptr, 3);
  const std::string_view endless("x", SIZE_MAX);
  for (const auto& [bad, status] :
       {std::pair(null, Status::kInvalidArgument), std::pair(endless, Status::kTooLarge)}) {
    std::vector<std::string_view> keys(100, "key");
    keys.back() = bad;
    std::vector<Buffer> buffers(100);
    EXPECT_EQ(map.GetMany(keys, never).status(), status);
    EXPECT_EQ(map.GetMany(keys.data(), 100, buffers.data()).status(), status);
    std::vector<KeyValue> pairs(100, KeyValue{"fresh", "value"});
    pairs.back().key = bad;
    EXPECT_EQ(map.PutMany(pairs).status(), status);
    pairs.back() = {"fresh", bad};
    const shf::Result<size_t> put = map.PutMany(pairs);
    EXPECT_EQ(put.status(), status);
    EXPECT_EQ(put.done(), 0u);
  }
  const std::string_view key[] = {"key"};
  Buffer buffer;
  buffer.capacity = 1;
  EXPECT_EQ(map.GetMany(key, 1, &buffer).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.GetMany(key, 1, static_cast<Buffer*>(nullptr)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.GetMany(nullptr, 1, never).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.PutMany(nullptr, 1).status(), Status::kInvalidArgument);
  EXPECT_EQ(*map.Size(), 1u);
}

TEST(Many, AHandleWithoutAMapOrForReadingOnlySaysSo) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const Map reader = scratch.OpenReadOnly();
  const Map detached;
  const std::string_view keys[] = {"key"};
  const KeyValue pairs[] = {{"key", "value"}};
  Buffer buffer;
  const auto never = [](size_t, std::string_view) { ADD_FAILURE() << "visited"; };
  EXPECT_EQ(detached.GetMany(keys, never).status(), Status::kNotAttached);
  EXPECT_EQ(detached.GetMany(keys, 1, &buffer).status(), Status::kNotAttached);
  EXPECT_EQ(detached.PutMany(pairs).status(), Status::kNotAttached);
  EXPECT_EQ(reader.PutMany(pairs).status(), Status::kReadOnly);
  EXPECT_EQ(reader.PutMany(pairs).done(), 0u);
  EXPECT_EQ(*reader.GetMany(keys, never), 0u);
}

TEST(Many, AFullMapSaysHowManyWerePut) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 1 << 20;
  const Map map = scratch.Create(options);
  const std::vector<std::string> keys = Numbers(20000);
  const std::string value(100, 'v');
  std::vector<KeyValue> pairs;
  for (const std::string& key : keys) pairs.push_back({key, value});
  std::vector<Placed> placed(pairs.size(), Placed{true, UINT64_MAX});
  const shf::Result<size_t> put = map.PutMany(pairs, placed.data());
  ASSERT_EQ(put.status(), Status::kNoSpace) << put.text();
  EXPECT_NE(put.text(), "");
  EXPECT_GT(put.done(), 3000u);
  EXPECT_EQ(*map.Size(), put.done());
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_EQ(*map.Contains(keys[i]), i < put.done()) << i;
    ASSERT_EQ(placed[i].uid == UINT64_MAX, i >= put.done()) << i;
  }
  EXPECT_EQ(GetMany(map, keys), GetSingle(map, keys));
}

TEST(Many, ProcessesThatPutAndGetBatchesSeeWholeValues) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const Map map = scratch.Create();
  const uint64_t seed = support::Seed();
  const std::vector<std::string> keys = Numbers(200);
  std::vector<pid_t> children;
  for (uint64_t p = 0; p < 4; ++p) {
    children.push_back(support::Fork([&, p] {
      const Map own = scratch.Open();
      support::Random random(seed + p);
      for (uint64_t i = 0; i < 400 / support::kSlowdown; ++i) {
        std::vector<std::string> values;
        std::vector<KeyValue> pairs;
        for (uint64_t k = p % 2; k < keys.size(); k += 1 + random.Below(5)) {
          values.push_back(ProvenValue(k, i, random.Below(400)));
          pairs.push_back({keys[k], std::string_view()});
        }
        for (size_t k = 0; k < pairs.size(); ++k) pairs[k].value = values[k];
        SHF_REQUIRE(own.PutMany(pairs).ok());
        bool good = true;
        const auto visit = [&](size_t index, std::string_view value) {
          good = good && support::IsProven(index, std::string(value));
        };
        const shf::Result<size_t> got = own.GetMany(ViewsOf(keys), visit);
        SHF_REQUIRE(good && (got.ok() || got.status() == Status::kBusy));
      }
      return true;
    }));
  }
  EXPECT_TRUE(support::JoinAll(children));
  EXPECT_TRUE(map.Verify()->empty());
}

}  // namespace
