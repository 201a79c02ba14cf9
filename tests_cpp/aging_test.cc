// Goal: ages do what their comments say, from C++. Method: each promise asked for by name, with
// ages of hours for what has to be there and of a millisecond for what has to be gone; the engine's
// own tests, which can set the clock, look deeper.
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "SharedHashFile.hpp"
#include "shf/map.hpp"
#include "support.hpp"

namespace {

using shf::Age;
using shf::Condition;
using shf::Map;
using shf::Result;
using shf::Status;
using shf::Value;
using std::chrono::hours;
using std::chrono::milliseconds;
using support::Scratch;
using MaybeTime = std::optional<milliseconds>;

constexpr milliseconds kLongest{(int64_t{1} << 47) - 1};

std::string ValueOf(const Map& map, std::string_view key) {
  std::string value = "stale";
  EXPECT_TRUE(map.Get(key, &value).ok());
  return value;
}

// Whether the key lives for so many hours, of which the last has begun: no test takes that long.
bool LivesFor(const Map& map, std::string_view key, int64_t count) {
  const Result<MaybeTime> left = map.TimeLeft(key);
  return left.ok() && left->has_value() && **left <= hours(count) && **left > hours(count - 1);
}

bool LivesForEver(const Map& map, std::string_view key) {
  const Result<MaybeTime> left = map.TimeLeft(key);
  return left.ok() && !left->has_value();
}

// Returns when what had an age of a millisecond before has expired, by the clock of ages.
void WaitUntilExpired() {
  const auto now = [] { return std::chrono::system_clock::now(); };
  const auto end = now() + milliseconds(3);
  while (now() < end) std::this_thread::sleep_for(milliseconds(1));
}

// Puts the key, and returns the name of its life when that is over.
shf::Uid Expire(const Map& map, std::string_view key, const Value& value = Value::Bytes("old")) {
  const Result<shf::Placed> placed = map.PutFor(key, value, milliseconds(1));
  EXPECT_TRUE(placed.ok()) << placed.text();
  WaitUntilExpired();
  return placed->uid;
}

// A call that takes an age.
struct Call {
  const char* name;
  std::function<shf::Error(const Map&, Age)> make;
};

std::vector<Call> CallsWithAnAge() {
  return {
      {"PutFor", [](const Map& map, Age age) { return map.PutFor("key", "new", age).error(); }},
      {"PutFor of a type",
       [](const Map& map, Age age) { return map.PutFor("key", Value::Integer(1), age).error(); }},
      {"PutIfFor",
       [](const Map& map, Age age) {
         return map.PutIfFor("key", "new", Condition::Present(), age).error();
       }},
      {"PutIfFor of a type",
       [](const Map& map, Age age) {
         return map.PutIfFor("key", Value::Text("new"), Condition::Present(), age).error();
       }},
      {"Touch", [](const Map& map, Age age) { return map.Touch("key", age).error(); }},
      {"Touch of no key", [](const Map& map, Age age) { return map.Touch("none", age).error(); }},
      {"GetAndTouch",
       [](const Map& map, Age age) {
         std::string value = "stale";
         shf::Error error = map.GetAndTouch("key", age, &value).error();
         EXPECT_TRUE(value.empty() || !map.attached());
         return error;
       }},
  };
}

TEST(Ages, EachPutGivesTheOneThatItIsTold) {
  const Scratch scratch;
  const Map map = scratch.Create();
  EXPECT_FALSE(map.PutFor("key", "bytes", hours(2))->replaced);
  EXPECT_TRUE(LivesFor(map, "key", 2));
  const Result<shf::Placed> again = map.PutFor("key", Value::Text("text"), hours(5));
  EXPECT_TRUE(again->replaced);
  EXPECT_EQ(again->uid, *map.UidOf("key"));
  EXPECT_TRUE(LivesFor(map, "key", 5));
  EXPECT_EQ(*map.TypeOf("key"), shf::Type::kText);
  ASSERT_TRUE(map.PutFor("key", "bytes", Age::Never()).ok());
  EXPECT_TRUE(LivesForEver(map, "key"));
  ASSERT_TRUE(map.PutFor("key", "bytes", kLongest).ok());
  EXPECT_GT(**map.TimeLeft("key"), hours(1'000'000));
  ASSERT_TRUE(map.PutFor("key", std::string_view(), hours(3)).ok());
  EXPECT_EQ(ValueOf(map, "key"), "");
  ASSERT_TRUE(map.Put("key", "of the map's age").ok());
  EXPECT_TRUE(LivesForEver(map, "key"));
  EXPECT_TRUE(map.TimeLeft("none").absent());
}

TEST(Ages, ADurationOfAnyUnitIsOne) {
  const Scratch scratch;
  const Map map = scratch.Create();
  EXPECT_TRUE(map.PutFor("key", "value", std::chrono::minutes(120)).ok());
  EXPECT_TRUE(LivesFor(map, "key", 2));
  EXPECT_TRUE(*map.Touch("key", std::chrono::nanoseconds(hours(3))));
  EXPECT_TRUE(LivesFor(map, "key", 3));
  EXPECT_TRUE(*map.Touch("key", std::chrono::duration<double, std::ratio<3600>>(3.5)));
  EXPECT_TRUE(LivesFor(map, "key", 4));
  // A part of a millisecond is more than none.
  EXPECT_TRUE(map.PutFor("short", "value", std::chrono::nanoseconds(1)).ok());
  WaitUntilExpired();
  EXPECT_FALSE(*map.Contains("short"));
  const std::string allowed = " ms, but it has to be from 1 to 140737488355327 ms";
  const Age far[] = {hours::max(), std::chrono::duration<double>(1e300),
                     std::chrono::duration<int64_t, std::ratio<86'400>>::max(),
                     std::chrono::duration<int64_t, std::ratio<1, 3>>::max()};
  for (const Age age : far) {
    EXPECT_EQ(map.Touch("key", age).text(), "an age of 18446744073709551615" + allowed);
  }
  const double none = std::numeric_limits<double>::quiet_NaN();
  const Age nothing[] = {hours::min(), std::chrono::duration<double>(none), hours::zero(),
                         std::chrono::nanoseconds::min()};
  for (const Age age : nothing) EXPECT_EQ(map.Touch("key", age).text(), "an age of 0" + allowed);
  EXPECT_TRUE(LivesFor(map, "key", 4));
}

TEST(Ages, OnesOutOfRangeAreRefusedWithATextThatNamesBoth) {
  const Scratch scratch;
  const Map map = scratch.Create();
  ASSERT_TRUE(map.PutFor("key", "value", hours(7)).ok());
  const shf::Token token = *map.GetWithToken("key", std::make_unique<std::string>().get());
  struct Wrong {
    milliseconds age;
    std::string found;
  };
  const Wrong wrong[] = {
      {milliseconds(0), "0"},
      {milliseconds(-1), "0"},
      {milliseconds::min(), "0"},
      {kLongest + milliseconds(1), "140737488355328"},
      {milliseconds((int64_t{1} << 50) - 1), "1125899906842623"},
      {milliseconds::max(), "18446744073709551615"},
  };
  for (const Wrong& one : wrong) {
    const std::string text =
        "an age of " + one.found + " ms, but it has to be from 1 to 140737488355327 ms";
    for (const Call& call : CallsWithAnAge()) {
      const shf::Error error = call.make(map, one.age);
      EXPECT_EQ(error.status, Status::kInvalidArgument) << call.name;
      EXPECT_EQ(error.text, text) << call.name;
    }
    const Result<void> set = map.SetDefaultAge(one.age);
    EXPECT_EQ(set.status(), Status::kInvalidArgument);
    EXPECT_EQ(set.text(), text);
    const Scratch other;
    shf::Options options;
    options.default_age = one.age;
    const Result<Map> made = Map::Create(other.folder(), other.name(), options);
    EXPECT_EQ(made.status(), Status::kInvalidArgument);
    EXPECT_NE(made.text().find("default_age"), std::string::npos) << made.text();
    EXPECT_NE(made.text().find("from 1 to 140737488355327 ms"), std::string::npos) << made.text();
  }
  std::string value;
  EXPECT_EQ(*map.GetWithToken("key", &value), token);
  EXPECT_EQ(value, "value");
  EXPECT_TRUE(LivesFor(map, "key", 7));
  EXPECT_FALSE(map.DefaultAge()->has_value());
}

TEST(Ages, ACallThatCannotBeIsRefused) {
  const Scratch scratch;
  const Map detached;
  for (const Call& call : CallsWithAnAge()) {
    EXPECT_EQ(call.make(detached, hours(1)).status, Status::kNotAttached) << call.name;
  }
  EXPECT_EQ(detached.TimeLeft("key").status(), Status::kNotAttached);
  EXPECT_EQ(detached.Reap().status(), Status::kNotAttached);
  EXPECT_EQ(detached.SetDefaultAge(hours(1)).status(), Status::kNotAttached);
  EXPECT_EQ(detached.DefaultAge().status(), Status::kNotAttached);

  const Map map = scratch.Create();
  const std::string_view null(nullptr, 3);
  std::string value;
  EXPECT_EQ(map.PutFor(null, "value", hours(1)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.PutFor("key", null, hours(1)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.PutFor("key", Value::Text("\xff"), hours(1)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.PutIfFor(null, "value", Condition::Absent(), hours(1)).status(),
            Status::kInvalidArgument);
  EXPECT_EQ(map.PutIfFor("key", null, Condition::Absent(), hours(1)).status(),
            Status::kInvalidArgument);
  EXPECT_EQ(map.PutIfFor("key", "value", Condition::Value(null), hours(1)).status(),
            Status::kInvalidArgument);
  EXPECT_EQ(map.Touch(null, hours(1)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.GetAndTouch(null, hours(1), &value).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.GetAndTouch("key", hours(1), nullptr).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.TimeLeft(null).status(), Status::kInvalidArgument);
  EXPECT_EQ(*map.Size(), 0u);

  ASSERT_TRUE(map.PutFor("key", "value", hours(1)).ok());
  const Map reader = scratch.OpenReadOnly();
  for (const Call& call : CallsWithAnAge()) {
    EXPECT_EQ(call.make(reader, hours(2)).status, Status::kReadOnly) << call.name;
  }
  EXPECT_EQ(reader.Reap().status(), Status::kReadOnly);
  EXPECT_EQ(reader.SetDefaultAge(hours(1)).status(), Status::kReadOnly);
  EXPECT_FALSE(reader.DefaultAge()->has_value());
  EXPECT_TRUE(LivesFor(reader, "key", 1));
}

TEST(Ages, ATouchGivesAnotherOneAndKeepsTheRest) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const shf::Uid uid = map.Put("key", Value::Integer(40))->uid;
  EXPECT_TRUE(*map.Touch("key", hours(2)));
  EXPECT_TRUE(LivesFor(map, "key", 2));
  std::string value;
  const shf::Token token = *map.GetWithToken("key", &value);
  EXPECT_TRUE(*map.Touch("key", hours(4)));
  EXPECT_TRUE(LivesFor(map, "key", 4));
  EXPECT_TRUE(*map.Touch("key", Age::Never()));
  EXPECT_TRUE(LivesForEver(map, "key"));
  ASSERT_TRUE(map.SetDefaultAge(hours(6)).ok());
  EXPECT_TRUE(*map.Touch("key", Age::Default()));
  EXPECT_TRUE(LivesFor(map, "key", 6));
  EXPECT_EQ(*map.GetWithToken("key", &value), token);
  EXPECT_EQ(*map.UidOf("key"), uid);
  EXPECT_EQ(*map.GetInteger("key"), 40);
  EXPECT_FALSE(*map.Touch("none", hours(1)));
  EXPECT_TRUE(*map.Touch("key", milliseconds(1)));
  WaitUntilExpired();
  EXPECT_FALSE(*map.Touch("key", Age::Never()));
}

TEST(Ages, AGetMayGiveOne) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const std::string keys[] = {"key", std::string(100, 'k')};
  const std::string values[] = {"", "value", std::string(100'000, 'v')};
  for (const std::string& key : keys) {
    for (const std::string& expected : values) {
      ASSERT_TRUE(map.PutFor(key, expected, hours(1)).ok());
      std::string value = "stale";
      ASSERT_TRUE(map.GetAndTouch(key, hours(2), &value).ok());
      EXPECT_EQ(value, expected);
      EXPECT_TRUE(LivesFor(map, key, 2));
      // The key may lie in the string.
      value = key;
      ASSERT_TRUE(map.GetAndTouch(value, Age::Never(), &value).ok());
      EXPECT_EQ(value, expected);
      EXPECT_TRUE(LivesForEver(map, key));
    }
  }
  std::string value = "stale";
  EXPECT_TRUE(map.GetAndTouch("none", hours(1), &value).absent());
  EXPECT_EQ(value, "");
  Expire(map, "key");
  value = "stale";
  EXPECT_TRUE(map.GetAndTouch("key", hours(1), &value).absent());
  EXPECT_EQ(value, "");
}

TEST(Ages, AConditionComesBeforeOne) {
  const Scratch scratch;
  const Map map = scratch.Create();
  EXPECT_FALSE(map.PutIfFor("lock", "mine", Condition::Absent(), hours(1))->replaced);
  EXPECT_TRUE(LivesFor(map, "lock", 1));
  EXPECT_EQ(map.PutIfFor("lock", "yours", Condition::Absent(), hours(2)).status(),
            Status::kConditionNotMet);
  EXPECT_TRUE(LivesFor(map, "lock", 1));
  EXPECT_TRUE(map.PutIfFor("lock", Value::Text("mine"), Condition::Value("mine"), hours(3)).ok());
  EXPECT_TRUE(LivesFor(map, "lock", 3));
  EXPECT_EQ(*map.TypeOf("lock"), shf::Type::kText);
  EXPECT_EQ(map.PutIfFor("lock", "mine", Condition::Absent(), milliseconds(0)).status(),
            Status::kConditionNotMet);
}

TEST(Ages, ChangesOfAValueKeepTheKeysOwn) {
  const Scratch scratch;
  const Map map = scratch.Create();
  ASSERT_TRUE(map.SetDefaultAge(hours(9)).ok());
  const auto grow = [](const std::string* old, std::string* fresh) {
    *fresh = (old == nullptr ? "" : *old) + "!";
    return shf::Change::kPut;
  };
  ASSERT_TRUE(map.PutFor("bytes", "one", hours(2)).ok());
  EXPECT_EQ(*map.Append("bytes", " two"), 7u);
  EXPECT_TRUE(LivesFor(map, "bytes", 2));
  EXPECT_EQ(*map.Update("bytes", grow), shf::Change::kPut);
  EXPECT_EQ(ValueOf(map, "bytes"), "one two!");
  EXPECT_TRUE(LivesFor(map, "bytes", 2));
  ASSERT_TRUE(map.PutFor("for ever", "one", Age::Never()).ok());
  EXPECT_EQ(*map.Update("for ever", grow), shf::Change::kPut);
  EXPECT_TRUE(LivesForEver(map, "for ever"));
  ASSERT_TRUE(map.PutFor("number", Value::Integer(1), hours(3)).ok());
  EXPECT_EQ(*map.Add("number", 1), 2);
  EXPECT_TRUE(LivesFor(map, "number", 3));
  ASSERT_TRUE(map.PutFor("unsigned", Value::Unsigned(1), hours(3)).ok());
  EXPECT_EQ(*map.AddUnsigned("unsigned", 1), 2u);
  EXPECT_TRUE(LivesFor(map, "unsigned", 3));
  ASSERT_TRUE(map.PutFor("double", Value::Double(1), hours(3)).ok());
  EXPECT_EQ(*map.AddDouble("double", 0.5), 1.5);
  EXPECT_TRUE(LivesFor(map, "double", 3));
  // Keys that are new have the map's.
  EXPECT_EQ(*map.Update("updated", grow), shf::Change::kPut);
  EXPECT_EQ(*map.Append("appended", "x"), 1u);
  EXPECT_EQ(*map.Add("added", 1), 1);
  for (const char* key : {"updated", "appended", "added"}) EXPECT_TRUE(LivesFor(map, key, 9));
}

TEST(Ages, ANumberWithOneHasAKeyOfEightBytesLess) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const std::string longest(16'360, 'k');
  EXPECT_EQ(*map.Add(longest, 1), 1);
  EXPECT_EQ(map.Touch(longest, hours(1)).status(), Status::kTooLarge);
  EXPECT_TRUE(LivesForEver(map, longest));
  const std::string_view shorter = std::string_view(longest).substr(8);
  EXPECT_TRUE(map.PutFor(shorter, Value::Integer(1), hours(1)).ok());
  ASSERT_TRUE(map.SetDefaultAge(hours(1)).ok());
  EXPECT_EQ(map.Add(std::string_view(longest).substr(1, 16'353), 1).status(), Status::kTooLarge);
  EXPECT_EQ(*map.Add(shorter, 1), 2);
}

TEST(DefaultAges, AreOfTheMapAndSeenByAll) {
  const Scratch scratch;
  shf::Options options;
  options.default_age = hours(5);
  const Map map = scratch.Create(options);
  const Map second = scratch.Open();
  const Map reader = scratch.OpenReadOnly();
  EXPECT_EQ(*map.DefaultAge(), MaybeTime(hours(5)));
  EXPECT_EQ(*second.DefaultAge(), MaybeTime(hours(5)));
  EXPECT_EQ(*reader.DefaultAge(), MaybeTime(hours(5)));
  ASSERT_TRUE(second.Put("key", "value").ok());
  EXPECT_TRUE(LivesFor(map, "key", 5));
  EXPECT_TRUE(support::InChild([&] {
    SHF_REQUIRE(*map.DefaultAge() == MaybeTime(hours(5)));
    SHF_REQUIRE(map.Put("child", "value").ok());
    SHF_REQUIRE(map.SetDefaultAge(hours(8)).ok());
    return true;
  }));
  EXPECT_TRUE(LivesFor(map, "child", 5));
  EXPECT_EQ(*map.DefaultAge(), MaybeTime(hours(8)));
  EXPECT_EQ(*reader.DefaultAge(), MaybeTime(hours(8)));
  // Keys that are there keep what they have.
  EXPECT_TRUE(LivesFor(map, "key", 5));
  EXPECT_TRUE(support::InChild([&] {
    const Result<Map> own = Map::Open(scratch.folder(), scratch.name());
    SHF_REQUIRE(own.ok());
    SHF_REQUIRE(*own->DefaultAge() == MaybeTime(hours(8)));
    SHF_REQUIRE(own->PutFor("for ever", "value", Age::Never()).ok());
    SHF_REQUIRE(own->PutFor("default", "value", Age::Default()).ok());
    return true;
  }));
  EXPECT_TRUE(LivesForEver(map, "for ever"));
  EXPECT_TRUE(LivesFor(map, "default", 8));
  // Who opens a map takes what its file says.
  options.default_age = hours(1);
  EXPECT_EQ(*Map::Open(scratch.folder(), scratch.name(), options)->DefaultAge(),
            MaybeTime(hours(8)));
  ASSERT_TRUE(second.SetDefaultAge(std::nullopt).ok());
  EXPECT_EQ(*map.DefaultAge(), MaybeTime());
  ASSERT_TRUE(map.Put("key", "value").ok());
  EXPECT_TRUE(LivesForEver(second, "key"));
}

TEST(DefaultAges, AreThoseOfEveryPutThatNamesNone) {
  const Scratch scratch;
  shf::Options options;
  options.default_age = hours(2);
  const Map map = scratch.Create(options);
  const shf::Uid uid = map.PutFor("by UID", "value", Age::Never())->uid;
  EXPECT_TRUE(map.PutByUid(uid, "value").ok());
  EXPECT_TRUE(map.Put("typed", Value::Boolean(true)).ok());
  EXPECT_TRUE(map.PutIf("conditional", "value", Condition::Absent()).ok());
  const shf::KeyValue pairs[] = {{"first", "1"}, {"second", "2"}};
  EXPECT_EQ(*map.PutMany(pairs), 0u);
  SharedHashFile classic;
  ASSERT_TRUE(classic.AttachExisting(scratch.folder().c_str(), scratch.name().c_str()));
  classic.MakeHash("classic", 7);
  EXPECT_NE(classic.PutVal("value", 5), SHF_UID_NONE);
  for (const char* key : {"by UID", "typed", "conditional", "first", "second", "classic"}) {
    EXPECT_TRUE(LivesFor(map, key, 2)) << key;
  }
}

TEST(ExpiredKeys, AreNotThere) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const Map reader = scratch.OpenReadOnly();
  const shf::Uid uid = Expire(map, "key");
  char buffer[16];
  std::string value = "stale";
  for (const Map* one : {&map, &reader}) {
    EXPECT_TRUE(one->Get("key", &value).absent());
    EXPECT_EQ(value, "");
    EXPECT_TRUE(one->Get("key", buffer, sizeof buffer).absent());
    EXPECT_FALSE(*one->Contains("key"));
    EXPECT_EQ(*one->GetWithToken("key", &value), 0u);
    EXPECT_TRUE(one->TypeOf("key").absent());
    EXPECT_TRUE(one->TimeLeft("key").absent());
    EXPECT_TRUE(one->UidOf("key").absent());
    EXPECT_FALSE(*one->ContainsUid(uid));
    EXPECT_TRUE(one->GetByUid(uid, &value).absent());
    EXPECT_TRUE(one->GetKeyByUid(uid, &value).absent());
    const std::string_view keys[] = {"key", "key"};
    EXPECT_EQ(*one->GetMany(keys, [](size_t, std::string_view) {}), 0u);
  }
  EXPECT_TRUE(support::InChild([&] {
    SHF_REQUIRE(!*map.Contains("key"));
    return true;
  }));
  EXPECT_TRUE(map.Take("key", &value).absent());
  EXPECT_FALSE(*map.DeleteIf("key", Condition::Present()));
  EXPECT_TRUE(map.PutByUid(uid, "value").absent());
  EXPECT_FALSE(*map.DeleteByUid(uid));
  EXPECT_FALSE(*map.Delete("key"));
}

TEST(ExpiredKeys, BeginANewLife) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const shf::Uid uid = Expire(map, "key");
  const Result<shf::Placed> placed = map.Put("key", "new");
  EXPECT_FALSE(placed->replaced);
  EXPECT_NE(placed->uid, uid);
  EXPECT_FALSE(*map.ContainsUid(uid));
  std::string value;
  EXPECT_TRUE(map.GetByUid(uid, &value).absent());
  EXPECT_TRUE(map.PutByUid(uid, "value").absent());
  EXPECT_FALSE(*map.DeleteByUid(uid));
  EXPECT_EQ(ValueOf(map, "key"), "new");

  Expire(map, "lock");
  EXPECT_EQ(map.PutIf("lock", "new", Condition::Present()).status(), Status::kConditionNotMet);
  EXPECT_EQ(map.PutIf("lock", "new", Condition::Value("old")).status(), Status::kConditionNotMet);
  EXPECT_FALSE(map.PutIf("lock", "new", Condition::Absent())->replaced);
  Expire(map, "lock");
  EXPECT_FALSE(map.PutIfFor("lock", "new", Condition::Absent(), hours(1))->replaced);
  Expire(map, "number", Value::Integer(40));
  EXPECT_EQ(*map.Add("number", 2), 2);
  Expire(map, "appended");
  EXPECT_EQ(*map.Append("appended", "x"), 1u);
  Expire(map, "updated");
  EXPECT_TRUE(map.Update("updated",
                         [](const std::string* old, std::string* fresh) {
                           EXPECT_EQ(old, nullptr);
                           *fresh = "new";
                           return shf::Change::kPut;
                         })
                  .ok());
  for (const char* key : {"key", "number", "appended", "updated"}) {
    EXPECT_TRUE(LivesForEver(map, key)) << key;
  }
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(ExpiredKeys, AreNotMetByWalks) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  const Map map = scratch.Create(options);
  ASSERT_TRUE(map.PutFor("there", "value", hours(1)).ok());
  const Map reader = scratch.OpenReadOnly();
  Expire(map, "gone");
  std::vector<std::string> met;
  const auto meet = [&](const shf::Entry& entry) { met.push_back(entry.key); };
  for (const shf::Entry& entry : map.Walk()) meet(entry);
  for (const shf::Entry& entry : reader.Walk()) meet(entry);
  uint64_t cursor = 0;
  while (*map.Scan(&cursor, "", meet)) {
  }
  EXPECT_FALSE(*map.ViewShard(0, meet));
  const auto visit = [](void* into, std::string_view key, std::string_view) {
    static_cast<std::vector<std::string>*>(into)->emplace_back(key);
    return true;
  };
  EXPECT_TRUE(map.ForEach(visit, &met).ok());
  EXPECT_EQ(met, std::vector<std::string>(5, "there"));
}

TEST(ExpiredKeys, CountUntilTheyAreReaped) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 2;
  const Map map = scratch.Create(options);
  constexpr uint64_t kKeys = 3000;
  for (uint64_t n = 0; n < kKeys; ++n) {
    const Age ages[] = {Age::Never(), hours(1), hours(2)};
    ASSERT_TRUE(map.PutFor(shf::NumberKey(n), "value", ages[n % 3]).ok());
  }
  EXPECT_EQ(map.GetStats()->timed_keys, kKeys / 3 * 2);
  EXPECT_EQ(map.GetStats()->expired_keys, 0u);
  EXPECT_EQ(*map.Reap(), 0u);
  // One store each, and no put or delete after it that would reap.
  for (uint64_t n = 1; n < kKeys; n += 3) {
    ASSERT_TRUE(*map.Touch(shf::NumberKey(n), milliseconds(1)));
  }
  WaitUntilExpired();
  EXPECT_EQ(*map.Size(), kKeys);
  EXPECT_EQ(map.GetStats()->keys, kKeys);
  EXPECT_EQ(*map.Reap(), kKeys / 3);
  EXPECT_EQ(*map.Reap(), 0u);
  EXPECT_EQ(*map.Size(), kKeys / 3 * 2);
  const Result<shf::Stats> stats = map.GetStats();
  EXPECT_EQ(stats->keys, kKeys / 3 * 2);
  EXPECT_EQ(stats->timed_keys, kKeys / 3);
  EXPECT_EQ(stats->expired_keys, kKeys / 3);
  for (uint64_t n = 0; n < kKeys; ++n) {
    ASSERT_EQ(*map.Contains(shf::NumberKey(n)), n % 3 != 1) << n;
  }
  EXPECT_TRUE(map.Verify()->empty());
  // Other operations reap as well, without anyone asking: the map does not grow with what expired.
  for (uint64_t n = 2; n < kKeys; n += 3) {
    ASSERT_TRUE(*map.Touch(shf::NumberKey(n), milliseconds(1)));
  }
  WaitUntilExpired();
  for (uint64_t round = 0; round < 3 * kKeys && map.GetStats()->timed_keys != 0; ++round) {
    ASSERT_TRUE(map.Put(shf::NumberKey(round % kKeys / 3 * 3), "value").ok());
  }
  EXPECT_EQ(map.GetStats()->timed_keys, 0u);
  EXPECT_EQ(map.GetStats()->expired_keys, kKeys / 3 * 2);
  EXPECT_EQ(*map.Size(), kKeys / 3);
}

TEST(ExpiredKeys, AreDeletedByClearAsWell) {
  const Scratch scratch;
  const Map map = scratch.Create();
  Expire(map, "gone");
  ASSERT_TRUE(map.PutFor("there", "value", Age::Never()).ok());
  EXPECT_GE(*map.Clear(), 1u);
  EXPECT_EQ(*map.Size(), 0u);
  EXPECT_EQ(map.GetStats()->timed_keys, 0u);
  EXPECT_EQ(map.GetStats()->expired_keys, 1u);
}

TEST(ExpiredKeys, AreNotThereInADurableMapEither) {
  const Scratch scratch("/var/tmp");
  const Result<Map> made = Map::Create(scratch.folder(), scratch.name());
  if (!made.ok() || !made->Sync().ok()) GTEST_SKIP() << "no durable map in /var/tmp";
  const Map& map = *made;
  ASSERT_TRUE(map.PutFor("there", "value", hours(1)).ok());
  Expire(map, "gone");
  ASSERT_TRUE(map.Sync().ok());
  EXPECT_FALSE(*map.Contains("gone"));
  EXPECT_TRUE(LivesFor(map, "there", 1));
  EXPECT_TRUE(*map.Touch("there", hours(2)));
  EXPECT_TRUE(LivesFor(map, "there", 2));
  EXPECT_EQ(*map.Reap(), 1u);
  EXPECT_EQ(*map.Size(), 1u);
  EXPECT_TRUE(map.Verify()->empty());
}

}  // namespace
