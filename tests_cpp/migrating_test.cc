// Goal: docs/migrating.md says what is so. Method: the column *here* of its tables, row by row; the
// check migrating-page-is-compiled demands every piece of code of that column in this file.
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Options;
using shf::Status;
using support::Scratch;

// With the names of the page.
constexpr char key[] = "key";
constexpr char value_of_key[] = "value";

// Compiled and never called: the map may be somebody's.
[[maybe_unused]] bool UseTheMapOfThePage() {
  SharedHashFile shf;
  Options options;
  options.temporary = true;
  options.fixed = shf::FixedLengths{16, 8};
  return shf.AttachExisting("/dev/shm", "hits") || shf.Attach("/dev/shm", "hits") ||
         shf::Map::OpenOrCreate("/dev/shm", "hits").ok() ||
         shf::Map::Create("/dev/shm", "hits", options).ok() ||
         shf::Map::Remove("/dev/shm", "hits").ok();
}

// Counts in *context the pairs that are key and value.
bool visit(void* context, std::string_view found_key, std::string_view found_value) {
  if (found_key == key && found_value == value_of_key) ++*static_cast<int*>(context);
  return true;
}

TEST(Migrating, TheCallsOfTheOriginalDoWhatTheirRowsSay) {
  const Scratch scratch;
  SharedHashFile shf;
  EXPECT_FALSE(shf.map().attached());
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str())) << shf.LastError();
  EXPECT_TRUE(shf.map().attached());
  shf.MakeHash("key", 3);
  ASSERT_NE(shf.PutVal("value", 5), SHF_UID_NONE);
  ASSERT_TRUE(shf.GetCopyViaKey());
  EXPECT_EQ(std::string_view(shf_val, shf_val_len), "value");
  const uint32_t uid = shf.PutVal("value", 5);
  ASSERT_TRUE(shf.GetKeyViaUid(uid));
  EXPECT_EQ(std::string_view(shf_val, shf_val_len), "key");
  ASSERT_TRUE(shf.GetCopyViaUid(uid));
  EXPECT_EQ(std::string_view(shf_val, shf_val_len), "value");
  EXPECT_TRUE(shf.DelKeyViaUid(uid));
  EXPECT_EQ(shf.PutVal("value", 5), uid);
  int seen = 0;
  void* const context = &seen;
  EXPECT_TRUE(shf.map().ForEach(visit, context).ok());
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(shf.map().Add("key", 1).status(), Status::kWrongType);
  EXPECT_TRUE(shf.DelKey());
  EXPECT_TRUE(shf.SetIsLockable(false));
  EXPECT_GT(shf.DebugGetBytesMarkedAsDeleted(), 0u);
  EXPECT_EQ(*shf.map().Add("key", 1), 1);
  EXPECT_EQ(*shf.map().Add("key", 1), 2);

  shf.Detach();
  EXPECT_EQ(shf.PutVal("value", 5), SHF_UID_NONE);
  EXPECT_STRNE(shf.LastError(), "");
}

TEST(Migrating, TheCallsOfAMapDoWhatTheirRowsSay) {
  const Scratch scratch;
  const std::string& folder = scratch.folder();
  const std::string& name = scratch.name();
  const shf::Result<shf::Map> opened = shf::Map::OpenOrCreate(folder, name);
  ASSERT_TRUE(opened.ok()) << opened.text();
  const shf::Map& map = *opened;
  EXPECT_TRUE(shf::Map::OpenReadOnly(folder, name).ok());

  std::string value = value_of_key;
  ASSERT_TRUE(map.Put(key, value).ok());
  value.clear();
  ASSERT_TRUE(map.Get(key, &value).ok());
  EXPECT_EQ(value, value_of_key);
  EXPECT_TRUE(*map.Contains(key));
  EXPECT_EQ(*map.Size(), 1u);
  EXPECT_EQ(map.GetStats()->keys, 1u);
  EXPECT_NE(shf::ToJson(*map.GetStats())->find(R"("keys":1)"), std::string::npos);
  int seen = 0;
  void* const context = &seen;
  EXPECT_TRUE(map.ForEach(visit, context).ok());
  EXPECT_EQ(seen, 1);

  EXPECT_EQ(map.Add(key, 1).status(), Status::kWrongType);
  EXPECT_TRUE(*map.Delete(key));
  EXPECT_FALSE(*map.Delete(key));
  EXPECT_FALSE(*map.Contains(key));
  EXPECT_EQ(map.Get(key, &value).status(), Status::kAbsent);
  EXPECT_EQ(*map.Add(key, 5), 5);
  EXPECT_EQ(*map.Add(key, 1), 6);
  ASSERT_TRUE(map.Get(key, &value).ok());
  EXPECT_EQ(value, std::string_view("\6\0\0\0\0\0\0\0", 8));
  // These are the bytes of an integer, and put they are bytes all the same.
  ASSERT_TRUE(map.Put(key, value).ok());
  EXPECT_EQ(map.Add(key, 1).status(), Status::kWrongType);
  EXPECT_EQ(*map.Clear(), 1u);
  EXPECT_EQ(*map.Size(), 0u);

  const shf::KeyValue pairs[] = {{"first", "1"}, {"second", "2"}};
  EXPECT_EQ(*map.PutMany(pairs), 0u);
  const std::string_view keys[] = {"second", "third", "first"};
  std::string used;
  const auto use = [&](size_t, std::string_view value_of_one) { used += value_of_one; };
  EXPECT_EQ(*map.GetMany(keys, use), 2u);
  EXPECT_EQ(used, "21");
}

TEST(Migrating, ChangesUnderAConditionDoWhatTheirRowsSay) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string value = value_of_key;
  EXPECT_TRUE(map.PutIf(key, value, shf::Condition::Absent()).ok());
  EXPECT_EQ(map.PutIf(key, value, shf::Condition::Absent()).status(), Status::kConditionNotMet);
  EXPECT_TRUE(map.PutIf(key, value, shf::Condition::Present()).ok());
  const std::string suffix = " and more";
  EXPECT_EQ(*map.Append(key, suffix), value.size() + suffix.size());
  const shf::Result<shf::Token> token = map.GetWithToken(key, &value);
  ASSERT_TRUE(token.ok());
  const std::string fresh = "fresh";
  EXPECT_TRUE(map.PutIf(key, fresh, shf::Condition::Token(*token)).ok());
  EXPECT_FALSE(map.PutIf(key, fresh, shf::Condition::Token(*token)).ok());
  EXPECT_TRUE(map.Take(key, &value).ok());
  EXPECT_EQ(value, fresh);
  EXPECT_EQ(*map.AddDouble(key, 0.5), 0.5);
  EXPECT_EQ(*map.AddDouble(key, 0.5), 1.0);
}

TEST(Migrating, AgesDoWhatTheirRowsSay) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string value = value_of_key;
  const shf::Condition absent = shf::Condition::Absent();
  EXPECT_TRUE(map.PutFor(key, value, std::chrono::seconds(60)).ok());
  EXPECT_TRUE(map.TimeLeft(key)->has_value());
  EXPECT_TRUE(*map.Touch(key, shf::Age::Never()));
  EXPECT_FALSE(map.TimeLeft(key)->has_value());
  EXPECT_TRUE(*map.Touch(key, std::chrono::seconds(60)));
  EXPECT_TRUE(map.TimeLeft(key)->has_value());
  EXPECT_EQ(map.PutIfFor(key, value, absent, std::chrono::seconds(60)).status(),
            Status::kConditionNotMet);
  EXPECT_TRUE(*map.Delete(key));
  EXPECT_EQ(map.TimeLeft(key).status(), Status::kAbsent);
  EXPECT_TRUE(map.PutIfFor(key, value, shf::Condition::Absent(), std::chrono::seconds(60)).ok());
  value.clear();
  EXPECT_TRUE(map.GetAndTouch(key, std::chrono::seconds(60), &value).ok());
  EXPECT_EQ(value, value_of_key);
}

TEST(Migrating, WalksOfAPrefixDoWhatTheirRowSays) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (const char* name : {"user:1", "user:2", "other"}) ASSERT_TRUE(map.Put(name, "v").ok());
  int seen = 0;
  for (const shf::Entry& entry : map.Walk("user:")) seen += entry.value == "v";
  EXPECT_EQ(seen, 2);
  const auto use_entry = [&](const shf::Entry& entry) { seen -= entry.key != "other"; };
  uint64_t cursor = 0;
  while (*map.Scan(&cursor, "user:", use_entry)) {
  }
  EXPECT_EQ(seen, 0);
}

TEST(Migrating, ListsDoWhatTheirRowsSay) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::string element = "second";
  EXPECT_EQ(*map.Push(key, element), 1u);
  element = "first";
  EXPECT_EQ(*map.Unshift(key, element), 2u);
  EXPECT_EQ(*map.Length(key), 2u);
  std::vector<std::string> elements;
  EXPECT_TRUE(map.Range(key, 0, 10, &elements).ok());
  EXPECT_EQ(elements, (std::vector<std::string>{"first", "second"}));
  EXPECT_TRUE(map.Range(key, -2, shf::Map::kEnd, &elements).ok());
  EXPECT_EQ(elements, (std::vector<std::string>{"first", "second"}));
  EXPECT_TRUE(map.Pop(key, &element).ok());
  EXPECT_EQ(element, "second");
  EXPECT_TRUE(map.Shift(key, &element).ok());
  EXPECT_EQ(element, "first");
  EXPECT_FALSE(*map.Contains(key));
}

TEST(Migrating, AMapAtItsMaximumStaysReadableAndDeletable) {
  uint64_t Options::*const maximum = &Options::max_bytes;
  Options options;
  options.*maximum = 1 << 20;
  const Scratch scratch;
  const shf::Map map = scratch.Create(options);
  const std::string value(1000, 'v');
  int keys = 0;
  Status status = Status::kOk;
  for (; status == Status::kOk && keys < 2000; ++keys) {
    status = map.Put(std::to_string(keys), value).status();
  }
  EXPECT_EQ(status, Status::kNoSpace);
  ASSERT_GT(keys, 1);
  std::string found;
  EXPECT_TRUE(map.Get("0", &found).ok());
  EXPECT_EQ(found, value);
  EXPECT_TRUE(*map.Delete("0"));
}

}  // namespace
