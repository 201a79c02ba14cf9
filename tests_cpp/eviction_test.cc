// Goal: maps that evict do what their comments say, from C++ and between processes. The engine's
// own tests look deeper.
#include <string>
#include <vector>

#include "SharedHashFile.hpp"
#include "shf/map.hpp"
#include "support.hpp"

namespace {

using shf::Map;
using shf::Result;
using shf::Status;
using support::Scratch;

constexpr uint64_t kMaxBytes = 4 << 20;
constexpr size_t kLargest = kMaxBytes / 8;

Map CreateEvicting(const Scratch& scratch) {
  shf::Options options;
  options.max_bytes = kMaxBytes;
  options.evict = true;
  return scratch.Create(options);
}

std::string Key(const char* kind, int number) { return kind + std::to_string(number); }

TEST(Eviction, MakesRoomForProcessesThatPutWhateverTheyLike) {
  const Scratch scratch;
  const Map map = CreateEvicting(scratch);
  const support::Watchdog watchdog;
  std::vector<pid_t> writers;
  for (int writer = 0; writer < 3; ++writer) {
    writers.push_back(support::Fork([&, writer] {
      const Result<Map> own = Map::Open(scratch.folder(), scratch.name());
      SHF_REQUIRE(own.ok());
      const std::string value(kLargest, 'v');
      for (int number = 0; number < 4000; ++number) {
        const std::string key = Key("key", number * 3 + writer);
        const size_t length = number % 97 == 0 ? kLargest - key.size() : size_t(number) * 37 % 9000;
        SHF_REQUIRE(own->Put(key, std::string_view(value).substr(0, length)).ok());
        SHF_REQUIRE(own->Contains("key0").ok());
      }
      return true;
    }));
  }
  EXPECT_TRUE(support::JoinAll(writers));
  const Result<shf::Stats> stats = map.GetStats();
  EXPECT_GT(stats->evicted_keys, 1000u);
  EXPECT_LE(stats->committed_bytes, kMaxBytes);
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Eviction, KeepsWhatIsUsedUnlessTheMapIsOpenForReadingOnly) {
  const Scratch scratch;
  const Map map = CreateEvicting(scratch);
  const Map reader = scratch.OpenReadOnly();
  const std::string value(200, 'v');
  ASSERT_TRUE(map.Put("used", value).ok());
  ASSERT_TRUE(map.Put("looked at", value).ok());
  for (int number = 0; number < 60'000; ++number) {
    ASSERT_TRUE(map.Put(Key("scanned", number), value).ok());
    if (number % 100 != 0) continue;
    ASSERT_TRUE(*map.Contains("used")) << number;
    ASSERT_TRUE(reader.Contains("looked at").ok());
  }
  EXPECT_TRUE(*reader.Contains("used"));
  EXPECT_FALSE(*reader.Contains("looked at"));
}

TEST(Eviction, RefusesWhatItCannotDoAndSaysSo) {
  const Scratch scratch;
  shf::Options options;
  options.evict = true;
  options.durable = true;
  const Result<Map> durable = Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(durable.status(), Status::kInvalidArgument);
  EXPECT_NE(durable.text().find("evict"), std::string::npos) << durable.text();
  options.durable.reset();
  options.max_bytes = kMaxBytes;
  options.shards = 4096;
  const Result<Map> small = Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(small.status(), Status::kInvalidArgument);
  EXPECT_NE(small.text().find("max_bytes"), std::string::npos) << small.text();
  const Map map = CreateEvicting(scratch);
  const std::string value(kLargest, 'v');
  EXPECT_TRUE(map.Put("", value).ok());
  const Result<shf::Placed> larger = map.Put("k", value);
  EXPECT_EQ(larger.status(), Status::kTooLarge);
  EXPECT_NE(larger.text().find(std::to_string(kLargest)), std::string::npos) << larger.text();
}

}  // namespace
