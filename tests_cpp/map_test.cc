// Goal: each method of shf::Map does what its comment says. Method: one map, one process, each
// promise asked for by name.
#include "shf/map.hpp"

#include <fcntl.h>

#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

std::string ValueOf(const shf::Map& map, std::string_view key) {
  std::string value = "stale";
  const shf::Result<void> got = map.Get(key, &value);
  EXPECT_TRUE(got.ok()) << shf::StatusName(got.status()) << ": " << got.text();
  return value;
}

TEST(Map, APutValueIsFoundUntilItIsDeleted) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string value = "stale";
  EXPECT_TRUE(map.Get("key", &value).absent());
  EXPECT_EQ(value, "");
  EXPECT_FALSE(*map.Contains("key"));
  EXPECT_FALSE(*map.Delete("key"));
  const shf::Result<shf::Placed> placed = map.Put("key", "one");
  ASSERT_TRUE(placed.ok()) << placed.text();
  EXPECT_FALSE(placed->replaced);
  EXPECT_TRUE(*map.Contains("key"));
  EXPECT_EQ(ValueOf(map, "key"), "one");
  EXPECT_TRUE(map.Put("key", "another")->replaced);
  EXPECT_EQ(ValueOf(map, "key"), "another");
  EXPECT_EQ(*map.Size(), 1u);
  EXPECT_TRUE(*map.Delete("key"));
  EXPECT_TRUE(map.Get("key", &value).absent());
  EXPECT_EQ(*map.Size(), 0u);
}

TEST(Map, AnAbsentKeyIsNoErrorAndHasNoText) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string value;
  const shf::Result<void> got = map.Get("key", &value);
  EXPECT_FALSE(got.ok());
  EXPECT_TRUE(got.absent());
  EXPECT_EQ(got.status(), Status::kAbsent);
  EXPECT_EQ(got.text(), "");
  EXPECT_TRUE(map.Contains("key").ok());
  EXPECT_TRUE(map.Delete("key").ok());
}

TEST(Map, KeysAndValuesAreAnyBytes) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const std::string_view zeros[] = {{"\0", 1}, {"\0\0", 2}, {"a\0b", 3}, {"a\0c", 3}, {"a", 1}};
  for (const std::string_view key : zeros) {
    ASSERT_TRUE(map.Put(key, std::string(key) + all).ok());
  }
  for (const std::string_view key : zeros) {
    EXPECT_EQ(ValueOf(map, key), std::string(key) + all);
  }
  ASSERT_TRUE(map.Put(all, "all").ok());
  EXPECT_EQ(ValueOf(map, all), "all");
}

TEST(Map, TheEmptyKeyAndTheEmptyValueAreLikeAnyOther) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  EXPECT_FALSE(*map.Contains(""));
  ASSERT_TRUE(map.Put("", "value of the empty key").ok());
  EXPECT_EQ(ValueOf(map, std::string_view()), "value of the empty key");
  ASSERT_TRUE(map.Put("empty value", std::string_view()).ok());
  EXPECT_EQ(ValueOf(map, "empty value"), "");
  EXPECT_EQ(*map.Get("empty value", nullptr, 0), 0u);
  EXPECT_TRUE(*map.Delete(""));
  EXPECT_FALSE(*map.Contains(""));
}

TEST(Map, ValuesOfEverySizeComeBackWhole) {
  // Sizes around every border: the stack of Get, pages, and runs of pages.
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string reused;
  for (const size_t size :
       std::initializer_list<size_t>{0, 1, 7, 8, 15, 16, 511, 512, 513, 4095, 4096, 5000, 65535,
                                     65536, 262144, 262145, 1000000, 9000000}) {
    const std::string value = support::ProvenValue(size, 1, size);
    ASSERT_TRUE(map.Put("key", value).ok()) << size;
    EXPECT_TRUE(ValueOf(map, "key") == value) << size;
    ASSERT_TRUE(map.Get("key", &reused).ok()) << size;
    EXPECT_TRUE(reused == value) << size;
  }
  ASSERT_TRUE(map.Put("key", "short").ok());
  ASSERT_TRUE(map.Get("key", &reused).ok());
  EXPECT_EQ(reused, "short");
}

TEST(Map, ABufferReceivesTheValueAndNothingAroundItIsTouched) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "0123456789").ok());
  char buffer[16];
  memset(buffer, 'x', sizeof buffer);
  EXPECT_EQ(*map.Get("key", buffer, sizeof buffer), 10u);
  EXPECT_EQ(std::string(buffer, sizeof buffer), "0123456789xxxxxx");
  EXPECT_EQ(*map.Get("key", buffer, 10), 10u);
}

TEST(Map, ValuesOfChangingLengthsComeBackWholeInOneBuffer) {
  // Goal: a get gives the value, however long the one before was, and leaves the rest of the buffer
  // alone. Method: lengths of all ways to copy, each after each, where one byte more would be seen.
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  constexpr size_t kLengths[] = {0,  1,  7,  8,  9,   15,  16,  17,  31,   32,
                                 33, 63, 64, 65, 100, 127, 128, 129, 1023, 1024};
  const auto value = [](size_t length) {
    std::string bytes;
    for (size_t i = 0; i < length; ++i) bytes += static_cast<char>('a' + (length + i) % 23);
    return bytes;
  };
  for (const size_t length : kLengths) {
    ASSERT_TRUE(map.Put(std::to_string(length), value(length)).ok());
  }
  char buffer[1100];
  for (const size_t first : kLengths) {
    for (const size_t second : kLengths) {
      for (const size_t length : {first, second}) {
        for (const size_t room : {length, length + 1, (length + 70) / 8 * 8, sizeof buffer}) {
          memset(buffer, 'x', sizeof buffer);
          ASSERT_EQ(*map.Get(std::to_string(length), buffer, room), length);
          ASSERT_EQ(std::string_view(buffer, sizeof buffer),
                    value(length) + std::string(sizeof buffer - length, 'x'));
        }
      }
    }
  }
}

TEST(Map, ABufferTooSmallIsNotWrittenAndTheSizeIsSaid) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "0123456789").ok());
  char buffer[9];
  memset(buffer, 'x', sizeof buffer);
  for (const size_t room : {size_t{9}, size_t{1}, size_t{0}}) {
    const shf::Result<size_t> got = map.Get("key", buffer, room);
    EXPECT_EQ(got.status(), Status::kBufferTooSmall);
    EXPECT_EQ(got.needed_bytes(), 10u);
    EXPECT_NE(got.text(), "");
  }
  EXPECT_EQ(std::string(buffer, sizeof buffer), "xxxxxxxxx");
  EXPECT_EQ(map.Get("key", nullptr, 0).needed_bytes(), 10u);
  EXPECT_TRUE(map.Get("no key", buffer, sizeof buffer).absent());
}

TEST(Map, AKeyMayLieInTheMemoryThatReceivesItsValue) {
  // Sizes on both sides of what Get keeps on the stack, of value and string.
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (const size_t bytes : std::initializer_list<size_t>{0, 3, 100, 600, 5000, 100000}) {
    for (const size_t key_bytes : std::initializer_list<size_t>{1, 5, 40, 700}) {
      const std::string key(key_bytes, 'k');
      const std::string expected(bytes, 'v');
      ASSERT_TRUE(map.Put(key, expected).ok());
      std::string whole = key;
      ASSERT_TRUE(map.Get(whole, &whole).ok()) << bytes << " " << key_bytes;
      EXPECT_TRUE(whole == expected);
      std::string part = "<" + key + std::string(1000, '>');
      ASSERT_TRUE(map.Get(std::string_view(part).substr(1, key_bytes), &part).ok());
      EXPECT_TRUE(part == expected);
      std::string reserved;
      reserved.reserve(200000);
      reserved = key;
      ASSERT_TRUE(map.Get(reserved, &reserved).ok());
      EXPECT_TRUE(reserved == expected);
      std::string buffer = "<" + key + std::string(100000, '>');
      const std::string_view inside = std::string_view(buffer).substr(1, key_bytes);
      const shf::Result<size_t> got = map.Get(inside, buffer.data(), buffer.size());
      ASSERT_TRUE(got.ok()) << got.text();
      EXPECT_TRUE(buffer.substr(0, *got) == expected);
    }
  }
  std::string missing = "missing";
  EXPECT_TRUE(map.Get(missing, &missing).absent());
  EXPECT_EQ(missing, "");
  std::string both = "key and value";
  ASSERT_TRUE(map.Put(both, both).ok());
  EXPECT_EQ(ValueOf(map, "key and value"), "key and value");
}

TEST(Map, AddCountsFromZeroAndInBothDirections) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  EXPECT_EQ(*map.Add("count", 5), 5);
  EXPECT_EQ(*map.Add("count", -12), -7);
  EXPECT_EQ(*map.Add("count", 0), -7);
  const int64_t expected = -7;
  const std::string bytes = ValueOf(map, "count");
  ASSERT_EQ(bytes.size(), sizeof expected);
  EXPECT_EQ(memcmp(bytes.data(), &expected, sizeof expected), 0);
  EXPECT_TRUE(*map.Delete("count"));
  EXPECT_EQ(*map.Add("count", 1), 1);
}

TEST(Map, AnAddThatWouldOverflowChangesNothing) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(*map.Add("high", kMax), kMax);
  const shf::Result<int64_t> over = map.Add("high", 1);
  EXPECT_EQ(over.status(), Status::kOverflow);
  EXPECT_NE(over.text(), "");
  EXPECT_EQ(*map.Add("high", 0), kMax);
  EXPECT_EQ(*map.Add("low", kMin), kMin);
  EXPECT_EQ(map.Add("low", -1).status(), Status::kOverflow);
  EXPECT_EQ(*map.Add("low", 0), kMin);
}

TEST(Map, AnAddToBytesIsAWrongTypeAndAPutReplacesANumber) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("bytes", "12345678").ok());
  const shf::Result<int64_t> sum = map.Add("bytes", 1);
  EXPECT_EQ(sum.status(), Status::kWrongType);
  EXPECT_NE(sum.text(), "");
  EXPECT_EQ(ValueOf(map, "bytes"), "12345678");
  EXPECT_EQ(*map.Add("number", 1), 1);
  EXPECT_TRUE(map.Put("number", "now bytes")->replaced);
  EXPECT_EQ(ValueOf(map, "number"), "now bytes");
}

TEST(Map, CreateOpenAndOpenOrCreateAgreeOnWhatExists) {
  const Scratch scratch;
  EXPECT_EQ(shf::Map::Open(scratch.folder(), scratch.name()).status(), Status::kNotFound);
  EXPECT_EQ(shf::Map::OpenReadOnly(scratch.folder(), scratch.name()).status(), Status::kNotFound);
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "value").ok());
  EXPECT_EQ(shf::Map::Create(scratch.folder(), scratch.name()).status(), Status::kAlreadyExists);
  const shf::Result<shf::Map> same = shf::Map::OpenOrCreate(scratch.folder(), scratch.name());
  ASSERT_TRUE(same.ok()) << same.text();
  EXPECT_EQ(ValueOf(*same, "key"), "value");
  EXPECT_TRUE(shf::Map::Remove(scratch.folder(), scratch.name()).ok());
  EXPECT_EQ(shf::Map::Remove(scratch.folder(), scratch.name()).status(), Status::kNotFound);
  EXPECT_EQ(ValueOf(map, "key"), "value") << "a removed map lives on where it is open";
  const shf::Result<shf::Map> fresh = shf::Map::OpenOrCreate(scratch.folder(), scratch.name());
  ASSERT_TRUE(fresh.ok()) << fresh.text();
  EXPECT_FALSE(*fresh->Contains("key"));
}

TEST(Map, AMapOutlivesItsHandles) {
  const Scratch scratch;
  ASSERT_TRUE(scratch.Create().Put("key", "value").ok());
  EXPECT_EQ(ValueOf(scratch.Open(), "key"), "value");
}

TEST(Map, OptionsShapeTheMapAndBadOnesAreNamed) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 3;
  const shf::Result<shf::Map> odd = shf::Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(odd.status(), Status::kInvalidArgument);
  EXPECT_NE(odd.text().find("shards"), std::string::npos) << odd.text();
  options = shf::Options();
  options.max_bytes = 1;
  const shf::Result<shf::Map> tiny = shf::Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(tiny.status(), Status::kInvalidArgument);
  EXPECT_NE(tiny.text().find("max_bytes"), std::string::npos) << tiny.text();
  options = shf::Options();
  options.mode = 01777;
  const shf::Result<shf::Map> sticky = shf::Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(sticky.status(), Status::kInvalidArgument);
  EXPECT_NE(sticky.text().find("mode"), std::string::npos) << sticky.text();
  struct stat status {};
  (void)scratch.Create();
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u) << "unless it is asked for";
  ASSERT_TRUE(shf::Map::Remove(scratch.folder(), scratch.name()).ok());
  options = shf::Options();
  options.shards = 4;
  options.max_bytes = 64 << 20;
  options.expected_keys = 1000;
  options.mode = 0640;
  options.group = geteuid() == 0 ? 64242 : getegid();
  const shf::Map map = scratch.Create(options);
  EXPECT_EQ(map.GetStats()->max_bytes, 64u << 20);
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(status.st_gid, options.group);
}

TEST(Map, AnEmptyMapTakesAtMostTwoMebibytes) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  struct stat status {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  EXPECT_LE(status.st_blocks * 512, 2 << 20);
  EXPECT_LE(map.GetStats()->committed_bytes, 2u << 20);
}

TEST(Map, StatsCountWhatHappened) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 50000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "12345678").ok());
  const shf::Result<shf::Stats> stats = map.GetStats();
  ASSERT_TRUE(stats.ok()) << stats.text();
  EXPECT_EQ(stats->keys, 50000u);
  EXPECT_EQ(*map.Size(), 50000u);
  EXPECT_GT(stats->committed_bytes, 50000u * 16);
  EXPECT_GE(stats->max_bytes, stats->committed_bytes);
  EXPECT_GT(stats->tables, 0u);
  EXPECT_EQ(stats->repairs, 0u);
}

TEST(Map, ADamagedIndexIsFoundAndMadeAnew) {
  // Goal: Verify names what is wrong, Repair brings every key back. Method: the last page of the
  // file, the first table of the only shard, is overwritten with zeros.
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  const shf::Map map = scratch.Create(options);
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "12345678").ok());
  EXPECT_TRUE(map.Verify()->empty());
  EXPECT_EQ(map.Repair()->shards, 0u);
  struct stat status {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  const std::string zeros(4096, '\0');
  const int file = open(scratch.path().c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(pwrite(file, zeros.data(), zeros.size(), status.st_size - 4096), 4096);
  close(file);
  const shf::Result<std::vector<shf::Violation>> found = map.Verify();
  ASSERT_TRUE(found.ok()) << found.text();
  ASSERT_FALSE(found->empty());
  EXPECT_EQ(found->front().shard, 0u);
  EXPECT_FALSE(found->front().what.empty());
  const shf::Result<shf::Repaired> repaired = map.Repair();
  ASSERT_TRUE(repaired.ok()) << repaired.text();
  EXPECT_EQ(repaired->shards, 1u);
  EXPECT_EQ(repaired->keys, 5000u);
  EXPECT_TRUE(repaired->lost.empty());
  EXPECT_TRUE(map.Verify()->empty());
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(*map.Contains(support::Bytes(i)));
  EXPECT_EQ(scratch.OpenReadOnly().Verify().status(), Status::kReadOnly);
  EXPECT_EQ(scratch.OpenReadOnly().Repair().status(), Status::kReadOnly);
}

struct Walk {
  std::map<std::string, std::string> found;
  size_t stop_after = SIZE_MAX;
  static bool Visit(void* context, std::string_view key, std::string_view value) {
    auto* walk = static_cast<Walk*>(context);
    walk->found[std::string(key)] = std::string(value);
    return walk->found.size() < walk->stop_after;
  }
};

TEST(Map, ForEachVisitsEveryKeyAndStopsWhenAsked) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::map<std::string, std::string> model;
  for (uint64_t i = 0; i < 5000; ++i) {
    const std::string key = support::Bytes(i);
    model[key] = support::ProvenValue(i, 0, i % 100);
    ASSERT_TRUE(map.Put(key, model[key]).ok());
  }
  Walk walk;
  const shf::Result<void> walked = map.ForEach(&Walk::Visit, &walk);
  ASSERT_TRUE(walked.ok()) << walked.text();
  EXPECT_TRUE(walk.found == model);
  Walk stopped;
  stopped.stop_after = 10;
  ASSERT_TRUE(map.ForEach(&Walk::Visit, &stopped).ok());
  EXPECT_EQ(stopped.found.size(), 10u);
}

TEST(Map, ClearDeletesEveryKeyAndTheMapGoesOn) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  const shf::Result<uint64_t> cleared = map.Clear();
  ASSERT_TRUE(cleared.ok()) << cleared.text();
  EXPECT_EQ(*cleared, 5000u);
  EXPECT_EQ(*map.Size(), 0u);
  EXPECT_FALSE(*map.Contains(support::Bytes(7)));
  EXPECT_EQ(*map.Clear(), 0u);
  ASSERT_TRUE(map.Put("key", "value").ok());
  EXPECT_EQ(*map.Size(), 1u);
}

TEST(Map, AMovedMapWorksAndTheOneItLeftIsDetached) {
  const Scratch scratch;
  const Scratch other;
  shf::Map first = scratch.Create();
  ASSERT_TRUE(first.Put("key", "value").ok());
  shf::Map second = std::move(first);
  EXPECT_EQ(ValueOf(second, "key"), "value");
  EXPECT_FALSE(first.attached());  // NOLINT: what a move leaves behind is documented
  EXPECT_EQ(first.Put("key", "value").status(), Status::kNotAttached);
  shf::Map third = other.Create();
  third = std::move(second);
  EXPECT_EQ(ValueOf(third, "key"), "value");
  third.Detach();
  EXPECT_FALSE(third.attached());
}

TEST(Map, EveryStatusHasANameOfItsOwn) {
  std::map<std::string, uint32_t> names;
  for (uint32_t code = 0; code <= 26; ++code) {
    names[shf::StatusName(static_cast<Status>(code))] = code;
  }
  EXPECT_EQ(names.size(), 27u);
  EXPECT_EQ(names.at("NoSpace"), static_cast<uint32_t>(Status::kNoSpace));
  EXPECT_STREQ(shf::StatusName(static_cast<Status>(4711)), "Unknown");
}

}  // namespace
