// Goal: maps with fixed lengths, from C++ and across processes: what they refuse, that all else
// works as in any map, and that they take less memory. Method: lengths with half a header and with
// a whole one; a writer that is killed beside a reader that judges each value.
#include <chrono>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::FixedLengths;
using shf::Map;
using shf::Options;
using shf::Status;
using support::Bytes;
using support::Fork;
using support::Scratch;

Options Fixed(uint32_t key_bytes, uint32_t value_bytes) {
  Options options;
  options.shards = 2;
  options.max_bytes = 32 << 20;
  options.fixed = FixedLengths{key_bytes, value_bytes};
  return options;
}

std::string KeyOf(uint64_t number, size_t bytes) {
  std::string key;
  while (key.size() < bytes) key += Bytes(number);
  return key.substr(0, bytes);
}

TEST(Fixed, OtherLengthsAreRefusedWithWhatWasExpectedAndFound) {
  const Scratch scratch;
  const Map map = scratch.Create(Fixed(8, 4));
  ASSERT_TRUE(map.Put("the key.", "four").ok());
  const shf::Result<shf::Placed> long_value = map.Put("the key.", "fiver");
  EXPECT_EQ(long_value.status(), Status::kWrongLength);
  EXPECT_STREQ(shf::StatusName(long_value.status()), "WrongLength");
  EXPECT_NE(long_value.text().find("value: expected 4 bytes, found 5"), std::string::npos)
      << long_value.text();
  const shf::Result<shf::Placed> short_key = map.Put("the key", "four");
  EXPECT_EQ(short_key.status(), Status::kWrongLength);
  EXPECT_NE(short_key.text().find("key: expected 8 bytes, found 7"), std::string::npos);
  const shf::KeyValue pairs[] = {{"1 key...", "good"}, {"2 key...", "too long"}};
  const auto put = map.PutMany(pairs);
  EXPECT_EQ(put.status(), Status::kWrongLength);
  EXPECT_EQ(put.done(), 1u);
  EXPECT_EQ(map.Append("the key.", "!").status(), Status::kWrongLength);
  EXPECT_EQ(map.PutIf("the key.", "fiver", shf::Condition::Present()).status(),
            Status::kWrongLength);

  std::string value;
  EXPECT_EQ(map.Get("the key", &value).status(), Status::kAbsent);
  EXPECT_FALSE(*map.Contains("the key"));
  EXPECT_FALSE(*map.Delete("the key"));
  ASSERT_TRUE(map.Get("the key.", &value).ok());
  EXPECT_EQ(value, "four");
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Fixed, TypesListsAndAgesAreRefused) {
  const Scratch scratch;
  const Map map = scratch.Create(Fixed(3, 8));
  EXPECT_EQ(map.Add("key", 1).status(), Status::kWrongType);
  EXPECT_EQ(map.Put("key", shf::Value::Integer(1)).status(), Status::kWrongType);
  EXPECT_EQ(map.Push("key", "eight by").status(), Status::kWrongType);
  EXPECT_EQ(map.PutFor("key", "eight by", std::chrono::hours(1)).status(),
            Status::kInvalidArgument);
  EXPECT_EQ(map.SetDefaultAge(std::chrono::hours(1)).status(), Status::kInvalidArgument);
  EXPECT_EQ(*map.Size(), 0u);
}

TEST(Fixed, WhatDoesNotGoTogetherIsRefusedAtCreation) {
  const Scratch scratch;
  const auto created = [&](const Options& options) {
    return Map::Create(scratch.folder(), scratch.name(), options).status();
  };
  Options options = Fixed(8, 4);
  options.durable = true;
  EXPECT_EQ(created(options), Status::kInvalidArgument);
  options = Fixed(8, 4);
  options.evict = true;
  EXPECT_EQ(created(options), Status::kInvalidArgument);
  options = Fixed(8, 4);
  options.default_age = std::chrono::hours(1);
  EXPECT_EQ(created(options), Status::kInvalidArgument);
  EXPECT_EQ(created(Fixed(0, 0)), Status::kInvalidArgument);
  EXPECT_EQ(created(Fixed(UINT32_MAX, 2)), Status::kInvalidArgument);
  EXPECT_EQ(created(Fixed(8, 4)), Status::kOk);
}

TEST(Fixed, WhoOpensAMapMayDemandItsLengths) {
  const Scratch scratch, other;
  { const Map map = scratch.Create(Fixed(8, 4)); }
  { const Map map = other.Create(); }
  const auto opened = [](const Scratch& from, const Options& options) {
    return Map::OpenOrCreate(from.folder(), from.name(), options);
  };
  EXPECT_TRUE(opened(scratch, Fixed(8, 4)).ok());
  EXPECT_TRUE(opened(scratch, Options()).ok());
  for (const auto& refused : {opened(scratch, Fixed(4, 8)), opened(other, Fixed(8, 4))}) {
    EXPECT_EQ(refused.status(), Status::kIncompatible);
    EXPECT_NE(refused.text().find("fixed lengths: expected keys of"), std::string::npos)
        << refused.text();
  }
  const Map map = scratch.Open();
  EXPECT_EQ(map.GetStats()->fixed_key_bytes, 8u);
  EXPECT_EQ(map.GetStats()->fixed_value_bytes, 4u);
  EXPECT_EQ(other.Open().GetStats()->fixed_key_bytes, 0u);
  EXPECT_NE(shf::ToJson(*map.GetStats())->find(R"("fixed_key_bytes":8)"), std::string::npos);
}

TEST(Fixed, EachRecordTakesAWordLessWhereThatIsPromised) {
  const support::Watchdog watchdog;
  constexpr uint64_t kKeys = 20000;
  const auto live = [&](const Options& options, size_t key_bytes, size_t value_bytes) {
    const Scratch scratch;
    const Map map = scratch.Create(options);
    const std::string value(value_bytes, 'v');
    for (uint64_t i = 0; i < kKeys; ++i) EXPECT_TRUE(map.Put(KeyOf(i, key_bytes), value).ok());
    EXPECT_EQ(*map.Size(), kKeys);
    return map.GetStats()->live_bytes;
  };
  Options any = Fixed(1, 1);
  any.fixed.reset();
  for (const auto& [key_bytes, value_bytes, saved] :
       std::vector<std::tuple<uint32_t, uint32_t, uint64_t>>{
           {8, 4, 8}, {4, 8, 8}, {16, 100, 8}, {20, 0, 8}, {8, 8, 0}}) {
    const uint64_t without = live(any, key_bytes, value_bytes);
    const uint64_t with = live(Fixed(key_bytes, value_bytes), key_bytes, value_bytes);
    EXPECT_NEAR(static_cast<double>(without) - static_cast<double>(with),
                static_cast<double>(kKeys * saved), 64 << 10)
        << key_bytes << ", " << value_bytes;
  }
}

TEST(Fixed, AllElseWorksAsInAnyMap) {
  const support::Watchdog watchdog;
  for (const auto& [key_bytes, value_bytes] :
       {std::pair<uint32_t, uint32_t>(8, 4), {10, 0}, {8, 8}}) {
    const Scratch scratch, copy, back;
    Map map = scratch.Create(Fixed(key_bytes, value_bytes));
    const std::string value(value_bytes, 'v');
    const std::string other(value_bytes, 'w');
    for (uint64_t i = 0; i < 5000; ++i) {
      ASSERT_TRUE(map.Put(KeyOf(i, key_bytes), value).ok());
    }
    const shf::Result<shf::Uid> uid = map.UidOf(KeyOf(7, key_bytes));
    ASSERT_TRUE(map.PutByUid(*uid, other).ok());
    std::string found;
    ASSERT_TRUE(map.GetByUid(*uid, &found).ok());
    EXPECT_EQ(found, other);
    ASSERT_TRUE(map.GetKeyByUid(*uid, &found).ok());
    EXPECT_EQ(found, KeyOf(7, key_bytes));
    for (uint64_t i = 0; i < 4000; ++i) EXPECT_TRUE(*map.Delete(KeyOf(i, key_bytes)));
    uint64_t seen = 0;
    for (const shf::Entry& entry : map.Walk()) {
      EXPECT_EQ(entry.key.size(), key_bytes);
      EXPECT_EQ(entry.value, value);
      ++seen;
    }
    EXPECT_EQ(seen, 1000u);
    EXPECT_TRUE(map.Verify()->empty());
    ASSERT_TRUE(map.Snapshot("/dev/shm", copy.name()).ok());
    ASSERT_TRUE(map.Freeze().ok());
    EXPECT_TRUE(map.Verify()->empty());
    const auto restored = [&](const Options& options) {
      return Map::Restore("/dev/shm", copy.name(), "/dev/shm", back.name(), options);
    };
    EXPECT_EQ(restored(Fixed(key_bytes + 1, value_bytes)).status(), Status::kWrongLength);
    const shf::Result<Map> again = restored(Fixed(key_bytes, value_bytes));
    ASSERT_TRUE(again.ok()) << again.text();
    EXPECT_EQ(*again->Size(), 1000u);
    EXPECT_TRUE(again->Verify()->empty());
  }
}

TEST(Fixed, AReaderNeverSeesHalfAValueOfAWriterThatIsKilled) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  // A proven value has 24 bytes more.
  const Map map = scratch.Create(Fixed(8, 24 + 12));
  int begun[2];
  int written[2];
  ASSERT_EQ(pipe(begun), 0);
  ASSERT_EQ(pipe(written), 0);
  const pid_t reader = Fork([&] {
    close(begun[1]);
    const Map reading = scratch.OpenReadOnly();
    SHF_REQUIRE(reading.attached());
    std::string value;
    uint64_t seen = 0;
    for (char byte = 'y'; byte == 'y';) {
      for (uint64_t key = 0; key < 200; ++key) {
        if (!reading.Get(Bytes(key), &value).ok()) continue;
        SHF_REQUIRE(support::IsProven(key, value));
        ++seen;
      }
      if (read(begun[0], &byte, 1) != 1) break;
    }
    return seen > 0;
  });
  close(begun[0]);
  for (uint64_t round = 0; round < 20; ++round) {
    const pid_t writer = Fork([&] {
      const uint64_t first = round << 32;
      for (uint64_t i = first;; ++i) {
        const uint64_t key = i * 7 % 200;
        if (!map.Put(Bytes(key), support::ProvenValue(key, i, 12)).ok()) return false;
        if (i % 5 == 0 && !map.Delete(Bytes(i % 200)).ok()) return false;
        // However long it took to come to that.
        if (i == first + 100 && write(written[1], "y", 1) != 1) return false;
      }
    });
    char byte = 0;
    EXPECT_EQ(read(written[0], &byte, 1), 1);
    usleep(3000);
    EXPECT_EQ(write(begun[1], "y", 1), 1);
    kill(writer, SIGKILL);
    EXPECT_FALSE(support::Join(writer));
    EXPECT_TRUE(map.Verify()->empty());
  }
  close(begun[1]);
  EXPECT_TRUE(support::Join(reader));
  close(written[0]);
  close(written[1]);
}

TEST(Fixed, TheOriginalsCallsReadAndWriteSuchAMap) {
  const Scratch scratch;
  const Map map = scratch.Create(Fixed(3, 5));
  SharedHashFile shf;
  ASSERT_TRUE(shf.AttachExisting("/dev/shm", scratch.name().c_str()));
  shf.MakeHash("key", 3);
  ASSERT_NE(shf.PutVal("value", 5), SHF_UID_NONE);
  ASSERT_TRUE(shf.GetCopyViaKey());
  EXPECT_EQ(std::string(shf_val, shf_val_len), "value");
  EXPECT_EQ(shf.PutVal("longer", 6), SHF_UID_NONE);
  EXPECT_EQ(shf.LastStatus(), Status::kWrongLength);
  shf.MakeHash("other", 5);
  EXPECT_FALSE(shf.GetCopyViaKey());
  EXPECT_EQ(shf.LastStatus(), Status::kAbsent);
}

}  // namespace
