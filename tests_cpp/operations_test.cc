// Goal: conditional changes, values with a type, UIDs and walks do what their comments say. Method:
// each promise asked for by name; the engine's own tests look deeper.
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "SharedHashFile.hpp"
#include "shf/map.hpp"
#include "support.hpp"

namespace {

using shf::Condition;
using shf::Status;
using shf::Type;
using shf::Value;
using support::Scratch;

std::string ValueOf(const shf::Map& map, std::string_view key) {
  std::string value = "stale";
  EXPECT_TRUE(map.Get(key, &value).ok());
  return value;
}

TEST(Conditions, EachDecides) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  EXPECT_EQ(map.PutIf("k", "v", Condition::Present()).status(), Status::kConditionNotMet);
  EXPECT_FALSE(map.PutIf("k", "v", Condition::Absent())->replaced);
  EXPECT_EQ(map.PutIf("k", "w", Condition::Absent()).status(), Status::kConditionNotMet);
  EXPECT_TRUE(map.PutIf("k", "w", Condition::Value("v"))->replaced);
  EXPECT_EQ(map.PutIf("k", "x", Condition::Value("v")).status(), Status::kConditionNotMet);
  std::string value;
  const shf::Result<shf::Token> token = map.GetWithToken("k", &value);
  ASSERT_TRUE(token.ok());
  EXPECT_EQ(value, "w");
  EXPECT_TRUE(map.PutIf("k", "x", Condition::Token(*token)).ok());
  EXPECT_EQ(map.PutIf("k", "y", Condition::Token(*token)).status(), Status::kConditionNotMet);
  EXPECT_FALSE(*map.DeleteIf("k", Condition::Value("y")));
  EXPECT_TRUE(*map.DeleteIf("k", Condition::Value("x")));
  EXPECT_EQ(*map.GetWithToken("k", &value), 0u);
  EXPECT_EQ(value, "");
  EXPECT_TRUE(map.PutIf("k", Value::Integer(3), Condition::Token(0)).ok());
  EXPECT_EQ(*map.GetInteger("k"), 3);
  shf::Type type = shf::Type::kBytes;
  EXPECT_NE(*map.GetWithToken("k", &value, &type), 0u);
  EXPECT_EQ(type, shf::Type::kInteger);
}

TEST(Conditions, TheKeyMayLieInTheString) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const std::string keys[] = {"key", std::string(100, 'k')};
  for (const std::string& key : keys) {
    ASSERT_TRUE(map.Put(key, Value::Text("value")).ok());
    std::string both = key;
    EXPECT_NE(*map.GetWithToken(both, &both), 0u);
    EXPECT_EQ(both, "value");
    both = key;
    ASSERT_TRUE(map.GetText(both, &both).ok());
    EXPECT_EQ(both, "value");
    both = key;
    ASSERT_TRUE(map.Take(both, &both).ok());
    EXPECT_EQ(both, "value");
  }
}

TEST(Conditions, TakeAndAppend) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  EXPECT_EQ(*map.Append("k", "one"), 3u);
  EXPECT_EQ(*map.Append("k", " two"), 7u);
  std::string value = "stale";
  ASSERT_TRUE(map.Take("k", &value).ok());
  EXPECT_EQ(value, "one two");
  EXPECT_TRUE(map.Take("k", &value).absent());
  EXPECT_EQ(value, "");
  const std::string large(100000, 'x');
  ASSERT_TRUE(map.Put("large", large).ok());
  ASSERT_TRUE(map.Take("large", &value).ok());
  EXPECT_EQ(value, large);
  EXPECT_EQ(map.Take("k", nullptr).status(), Status::kInvalidArgument);
}

TEST(Conditions, AnUpdateMayThrowAndUseTheMap) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const auto count = [&](const std::string* old, std::string* fresh) {
    *fresh = std::to_string((old == nullptr ? 0 : std::stoi(*old)) + 1);
    return shf::Change::kPut;
  };
  EXPECT_EQ(*map.Update("n", count), shf::Change::kPut);
  EXPECT_EQ(*map.Update("n", count), shf::Change::kPut);
  EXPECT_EQ(ValueOf(map, "n"), "2");
  EXPECT_THROW((void)map.Update("n",
                                [](const std::string*, std::string*) -> shf::Change {
                                  throw std::runtime_error("in the middle");
                                }),
               std::runtime_error);
  int runs = 0;
  const shf::Result<shf::Change> done =
      map.Update("n", [&](const std::string*, std::string* fresh) {
        if (runs++ == 0) {
          EXPECT_TRUE(map.Put("n", "10").ok());
        }
        *fresh = "x";
        return shf::Change::kPut;
      });
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(*map.Update("n", [](const std::string*, std::string*) { return shf::Change::kDelete; }),
            shf::Change::kDelete);
  EXPECT_FALSE(*map.Contains("n"));
  ASSERT_TRUE(map.Add("i", 1).ok());
  EXPECT_EQ(map.Update("i", count).status(), Status::kWrongType);
}

TEST(Conditions, UpdatesOfManyThreadsLoseNothing) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&map] {
      for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(map.Update("n",
                               [](const std::string* old, std::string* fresh) {
                                 *fresh =
                                     std::to_string((old == nullptr ? 0 : std::stoi(*old)) + 1);
                                 return shf::Change::kPut;
                               })
                        .ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ValueOf(map, "n"), "2000");
}

TEST(Types, EachComesBackAndAnotherIsAnErrorThatNamesBoth) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("i", Value::Integer(-7)).ok());
  ASSERT_TRUE(map.Put("u", Value::Unsigned(UINT64_MAX)).ok());
  ASSERT_TRUE(map.Put("d", Value::Double(0.5)).ok());
  ASSERT_TRUE(map.Put("t", Value::Text("größer")).ok());
  ASSERT_TRUE(map.Put("e", Value::Text("")).ok());
  ASSERT_TRUE(map.Put("b", Value::Boolean(true)).ok());
  ASSERT_TRUE(map.Put("bytes", Value::Bytes("\xff")).ok());
  EXPECT_EQ(*map.GetInteger("i"), -7);
  EXPECT_EQ(*map.GetUnsigned("u"), UINT64_MAX);
  EXPECT_EQ(*map.GetDouble("d"), 0.5);
  EXPECT_TRUE(*map.GetBoolean("b"));
  std::string text;
  ASSERT_TRUE(map.GetText("t", &text).ok());
  EXPECT_EQ(text, "größer");
  ASSERT_TRUE(map.GetText("e", &text).ok());
  EXPECT_EQ(text, "");
  EXPECT_EQ(*map.TypeOf("t"), Type::kText);
  EXPECT_EQ(*map.TypeOf("bytes"), Type::kBytes);
  EXPECT_TRUE(map.TypeOf("none").absent());
  EXPECT_TRUE(map.GetInteger("none").absent());
  const shf::Result<double> wrong = map.GetDouble("i");
  EXPECT_EQ(wrong.status(), Status::kWrongType);
  EXPECT_EQ(wrong.text(), "wrong type: expected double, found integer");
  const shf::Result<shf::Placed> not_text = map.Put("t", Value::Text("ab\xff"));
  EXPECT_EQ(not_text.status(), Status::kInvalidArgument);
  EXPECT_EQ(not_text.text(), "text: expected UTF-8, found other bytes after 2");
  EXPECT_EQ(*map.AddUnsigned("n", 5), 5u);
  EXPECT_EQ(map.AddUnsigned("n", -6).status(), Status::kOverflow);
  EXPECT_EQ(*map.AddDouble("d", 0.25), 0.75);
  EXPECT_EQ(map.Add("d", 1).status(), Status::kWrongType);
}

TEST(Types, KeysMayBeNumbers) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put(shf::NumberKey(1), "one").ok());
  EXPECT_EQ(ValueOf(map, shf::NumberKey(1)), "one");
  EXPECT_EQ(shf::NumberKey::NumberOf(shf::NumberKey(77)), 77u);
  EXPECT_FALSE(shf::NumberKey::NumberOf("short").has_value());
}

TEST(Uids, NameALifeOfAKey) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const shf::Uid uid = map.Put("key", "value")->uid;
  EXPECT_EQ(*map.UidOf("key"), uid);
  EXPECT_EQ(map.Put("key", "another")->uid, uid);
  std::string text;
  ASSERT_TRUE(map.GetByUid(uid, &text).ok());
  EXPECT_EQ(text, "another");
  char buffer[16];
  EXPECT_EQ(*map.GetByUid(uid, buffer, sizeof buffer), 7u);
  const shf::Result<size_t> small = map.GetByUid(uid, buffer, 3);
  EXPECT_EQ(small.status(), Status::kBufferTooSmall);
  EXPECT_EQ(small.needed_bytes(), 7u);
  EXPECT_EQ(map.GetByUid(uid, nullptr, 0).needed_bytes(), 7u);
  ASSERT_TRUE(map.GetKeyByUid(uid, &text).ok());
  EXPECT_EQ(text, "key");
  EXPECT_EQ(map.PutByUid(uid, "third")->uid, uid);
  EXPECT_EQ(ValueOf(map, "key"), "third");
  EXPECT_TRUE(*map.DeleteByUid(uid));
  ASSERT_TRUE(map.Put("key", "reborn").ok());
  EXPECT_TRUE(map.GetByUid(uid, &text).absent());
  EXPECT_TRUE(map.GetByUid(uid, buffer, sizeof buffer).absent());
  EXPECT_TRUE(map.GetKeyByUid(uid, &text).absent());
  EXPECT_TRUE(map.PutByUid(uid, "late").absent());
  EXPECT_FALSE(*map.DeleteByUid(uid));
  EXPECT_FALSE(*map.ContainsUid(uid));
}

TEST(Uids, TokensOfTheClassicInterfaceNameKeys) {
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  std::vector<uint32_t> tokens;
  for (uint32_t i = 0; i < 3000; ++i) {
    shf.MakeHash(reinterpret_cast<const char*>(&i), sizeof i);
    tokens.push_back(shf.PutVal(reinterpret_cast<const char*>(&i), sizeof i));
  }
  for (uint32_t i = 0; i < 3000; ++i) {
    ASSERT_TRUE(shf.GetCopyViaUid(tokens[i])) << i << shf.LastError();
    ASSERT_EQ(std::string(shf_val, shf_val_len), std::string(reinterpret_cast<char*>(&i), 4));
  }
  EXPECT_TRUE(shf.PutValViaUid(tokens[5], "five", 4));
  EXPECT_TRUE(shf.GetCopyViaUid(tokens[5]));
  EXPECT_STREQ(shf_val, "five");
  EXPECT_TRUE(shf.GetKeyViaUid(tokens[5]));
  EXPECT_EQ(std::string(shf_val, shf_val_len), std::string("\5\0\0\0", 4));
  EXPECT_TRUE(shf.DelKeyViaUid(tokens[5]));
  EXPECT_FALSE(shf.DelKeyViaUid(tokens[5]));
  EXPECT_FALSE(shf.GetCopyViaUid(tokens[5]));
  EXPECT_FALSE(shf.GetKeyViaUid(tokens[5]));
  EXPECT_EQ(shf_val_len, 0u);
  EXPECT_EQ(shf.LastStatus(), Status::kAbsent);
  EXPECT_FALSE(shf.PutValViaUid(tokens[5], "late", 4));
}

TEST(Walks, ALoopSeesEachEntryOnce) {
  const Scratch scratch;
  shf::Map map = scratch.Create();
  std::map<std::string, std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    const std::string key = (i % 2 == 0 ? "even:" : "odd:") + std::to_string(i);
    ASSERT_TRUE(map.Put(key, std::to_string(i * i)).ok());
    if (i % 2 == 0) expected[key] = std::to_string(i * i);
  }
  std::map<std::string, std::string> seen;
  shf::Entries entries = map.Walk("even:");
  for (const shf::Entry& entry : entries) {
    EXPECT_TRUE(seen.emplace(entry.key, entry.value).second);
    EXPECT_EQ(entry.uid, *map.UidOf(entry.key));
    EXPECT_EQ(entry.type, Type::kBytes);
  }
  EXPECT_TRUE(entries.status().ok());
  EXPECT_EQ(seen, expected);
  // A range keeps its map.
  shf::Entries all = map.Walk();
  map.Detach();
  size_t count = 0;
  for (const shf::Entry& entry : all) count += entry.key.empty() ? 0 : 1;
  EXPECT_EQ(count, 5000u);
  shf::Entries none = map.Walk();
  for (const shf::Entry& entry : none) FAIL() << entry.key;
  EXPECT_EQ(none.status().status(), Status::kNotAttached);
}

TEST(Walks, AScanGoesOnWhereItWas) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(map.Put("k" + std::to_string(i), "v").ok());
  std::set<std::string> seen;
  uint64_t cursor = 0;
  for (;;) {
    const shf::Result<bool> more = map.Scan(
        &cursor, "k", [&](const shf::Entry& entry) { EXPECT_TRUE(seen.insert(entry.key).second); });
    ASSERT_TRUE(more.ok());
    if (!*more) break;
  }
  EXPECT_EQ(seen.size(), 5000u);
  size_t viewed = 0;
  for (uint32_t shard = 0;; ++shard) {
    const shf::Result<bool> more = map.ViewShard(shard, [&](const shf::Entry&) { ++viewed; });
    ASSERT_TRUE(more.ok());
    if (!*more) break;
  }
  EXPECT_EQ(viewed, 5000u);
}

}  // namespace
