// Goal: lists do what their comments say, from C++ and across processes. Method: each promise asked
// for by name, and processes that push, pop and are killed; the engine's own tests look deeper.
#include <sys/wait.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "SharedHashFile.hpp"
#include "shf/map.hpp"
#include "support.hpp"

namespace {

using shf::Condition;
using shf::Map;
using shf::Result;
using shf::Status;
using shf::Type;
using shf::Value;
using std::chrono::hours;
using support::Scratch;
using Strings = std::vector<std::string>;

Strings AllOf(const Map& map, std::string_view key) {
  Strings elements = {"stale"};
  const Result<void> read = map.Range(key, 0, Map::kEnd, &elements);
  EXPECT_TRUE(read.ok()) << read.text();
  return elements;
}

std::string Popped(const Map& map, std::string_view key) {
  std::string element = "stale";
  const Result<void> popped = map.Pop(key, &element);
  EXPECT_TRUE(popped.ok()) << popped.text();
  return element;
}

std::string Shifted(const Map& map, std::string_view key) {
  std::string element = "stale";
  const Result<void> shifted = map.Shift(key, &element);
  EXPECT_TRUE(shifted.ok()) << shifted.text();
  return element;
}

TEST(Lists, HaveTwoEnds) {
  const Scratch scratch;
  const Map map = scratch.Create();
  EXPECT_EQ(*map.Push("list", "b"), 1u);
  EXPECT_EQ(*map.Push("list", std::string_view("\0c", 2)), 2u);
  EXPECT_EQ(*map.Unshift("list", "a"), 3u);
  EXPECT_EQ(*map.Unshift("list", std::string_view()), 4u);
  EXPECT_EQ(*map.Length("list"), 4u);
  EXPECT_EQ(AllOf(map, "list"), (Strings{"", "a", "b", std::string("\0c", 2)}));
  EXPECT_EQ(Popped(map, "list"), std::string("\0c", 2));
  EXPECT_EQ(Shifted(map, "list"), "");
  EXPECT_EQ(Shifted(map, "list"), "a");
  EXPECT_EQ(*map.Size(), 1u);
  EXPECT_EQ(Popped(map, "list"), "b");
  EXPECT_EQ(*map.Size(), 0u);
  EXPECT_FALSE(*map.Contains("list"));
}

TEST(Lists, ThatAreNotThereAreEmpty) {
  const Scratch scratch;
  const Map map = scratch.Create();
  std::string element = "stale";
  EXPECT_TRUE(map.Pop("none", &element).absent());
  EXPECT_EQ(element, "");
  element = "stale";
  EXPECT_TRUE(map.Shift("none", &element).absent());
  EXPECT_EQ(element, "");
  EXPECT_EQ(*map.Length("none"), 0u);
  EXPECT_TRUE(AllOf(map, "none").empty());
}

TEST(Lists, RangesCountFromEitherEnd) {
  const Scratch scratch;
  const Map map = scratch.Create();
  for (const char* element : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(map.Push("list", element).ok());
  const auto range = [&](int64_t start, int64_t end) {
    Strings elements;
    EXPECT_TRUE(map.Range("list", start, end, &elements).ok());
    std::string all;
    for (const std::string& element : elements) all += element;
    return all;
  };
  EXPECT_EQ(range(0, Map::kEnd), "abcde");
  EXPECT_EQ(range(1, 3), "bc");
  EXPECT_EQ(range(-2, Map::kEnd), "de");
  EXPECT_EQ(range(-99, -1), "abcd");
  EXPECT_EQ(range(3, 2), "");
  EXPECT_EQ(range(5, 9), "");
  EXPECT_EQ(range(INT64_MIN, INT64_MIN), "");
}

TEST(Lists, ElementsMayBeLarge) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const std::string large(3'000'000, 'x');
  ASSERT_TRUE(map.Push("list", large).ok());
  ASSERT_TRUE(map.Push("list", "small").ok());
  EXPECT_EQ(AllOf(map, "list"), (Strings{large, "small"}));
  EXPECT_EQ(Shifted(map, "list"), large);
}

TEST(Lists, AKeyMayLieInWhatItsAnswerReplaces) {
  const Scratch scratch;
  const Map map = scratch.Create();
  ASSERT_TRUE(map.Push("list", "an element that is longer than its key").ok());
  ASSERT_TRUE(map.Push("list", "b").ok());
  Strings strings = {"list"};
  ASSERT_TRUE(map.Range(strings[0], 1, Map::kEnd, &strings).ok());
  EXPECT_EQ(strings, Strings{"b"});
  std::string key = "list";
  ASSERT_TRUE(map.Shift(key, &key).ok());
  EXPECT_EQ(key, "an element that is longer than its key");
}

TEST(Lists, AreToldFromValues) {
  const Scratch scratch;
  const Map map = scratch.Create();
  ASSERT_TRUE(map.Push("list", "element").ok());
  ASSERT_TRUE(map.Put("bytes", "value").ok());
  ASSERT_TRUE(map.Add("number", 1).ok());
  EXPECT_EQ(*map.TypeOf("list"), Type::kList);
  EXPECT_STREQ(shf::TypeName(Type::kList), "list");
  std::string out = "stale";
  Strings elements = {"stale"};
  const Result<void> get = map.Get("list", &out);
  EXPECT_EQ(get.status(), Status::kWrongType);
  EXPECT_EQ(get.text(), "wrong type: expected bytes, found list");
  EXPECT_EQ(out, "");
  char buffer[] = "as it was, all of it";
  EXPECT_EQ(map.Get("list", buffer, sizeof buffer).status(), Status::kWrongType);
  EXPECT_STREQ(buffer, "as it was, all of it");
  EXPECT_EQ(map.Take("list", &out).status(), Status::kWrongType);
  EXPECT_EQ(map.Append("list", "x").status(), Status::kWrongType);
  EXPECT_EQ(map.Add("list", 1).status(), Status::kWrongType);
  EXPECT_EQ(map.GetText("list", &out).status(), Status::kWrongType);
  EXPECT_EQ(map.GetWithToken("list", &out).status(), Status::kWrongType);
  EXPECT_EQ(map.PutIf("list", "x", Condition::Value("y")).status(), Status::kWrongType);
  EXPECT_EQ(map.DeleteIf("list", Condition::Value("y")).status(), Status::kWrongType);
  EXPECT_EQ(map.GetAndTouch("list", hours(1), &out).status(), Status::kWrongType);
  for (const char* key : {"bytes", "number"}) {
    EXPECT_EQ(map.Push(key, "x").status(), Status::kWrongType);
    EXPECT_EQ(map.Unshift(key, "x").status(), Status::kWrongType);
    EXPECT_EQ(map.Pop(key, &out).status(), Status::kWrongType);
    EXPECT_EQ(map.Shift(key, &out).status(), Status::kWrongType);
    EXPECT_EQ(map.Length(key).status(), Status::kWrongType);
    EXPECT_EQ(map.Range(key, 0, 1, &elements).status(), Status::kWrongType);
    EXPECT_TRUE(elements.empty());
  }
  EXPECT_EQ(map.Push("number", "x").text(), "wrong type: expected list, found integer");
  EXPECT_EQ(AllOf(map, "list"), Strings{"element"});
}

TEST(Lists, AreReplacedAndDeletedAsOtherKeysAre) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const auto fill = [&] {
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(map.Push("list", "element").ok());
  };
  fill();
  EXPECT_EQ(map.GetStats()->elements, 1000u);
  EXPECT_TRUE(map.Put("list", "value")->replaced);
  EXPECT_TRUE(*map.Delete("list"));
  fill();
  EXPECT_TRUE(*map.Delete("list"));
  EXPECT_EQ(*map.Size(), 0u);
  EXPECT_GT(map.GetStats()->elements, 0u);
  EXPECT_EQ(*map.Reap(), 0u);
  EXPECT_EQ(map.GetStats()->elements, 0u);
  fill();
  EXPECT_EQ(*map.Clear(), 1u);
  EXPECT_EQ(map.GetStats()->elements, 0u);
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Lists, LiveForAnAge) {
  const Scratch scratch;
  shf::Options options;
  options.default_age = hours(1);
  const Map map = scratch.Create(options);
  ASSERT_TRUE(map.Push("list", "a").ok());
  EXPECT_LE(**map.TimeLeft("list"), hours(1));
  EXPECT_TRUE(*map.Touch("list", hours(5)));
  ASSERT_TRUE(map.Push("list", "b").ok());
  EXPECT_GT(**map.TimeLeft("list"), hours(4));
  EXPECT_EQ(AllOf(map, "list"), (Strings{"a", "b"}));
  EXPECT_TRUE(*map.Touch("list", std::chrono::milliseconds(1)));
  while (*map.Contains("list")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(*map.Length("list"), 0u);
  EXPECT_EQ(*map.Push("list", "c"), 1u);
  EXPECT_EQ(AllOf(map, "list"), Strings{"c"});
}

TEST(Lists, AreOneKeyForWalks) {
  const Scratch scratch;
  const Map map = scratch.Create();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(map.Push("list", std::to_string(i)).ok());
  int entries = 0;
  for (const shf::Entry& entry : map.Walk()) {
    ++entries;
    EXPECT_EQ(entry.key, "list");
    EXPECT_EQ(entry.type, Type::kList);
    EXPECT_EQ(shf::NumberKey::NumberOf(entry.value), 300u);
    EXPECT_EQ(entry.uid, *map.UidOf("list"));
  }
  EXPECT_EQ(entries, 1);
  EXPECT_EQ(map.GetStats()->keys, 1u);
}

TEST(Lists, WrongArgumentsAreErrors) {
  const Scratch scratch;
  const Map map = scratch.Create();
  const Map none;
  const std::string_view null(nullptr, 3);
  std::string out;
  Strings elements;
  EXPECT_EQ(none.Push("k", "v").status(), Status::kNotAttached);
  EXPECT_EQ(none.Unshift("k", "v").status(), Status::kNotAttached);
  EXPECT_EQ(none.Pop("k", &out).status(), Status::kNotAttached);
  EXPECT_EQ(none.Shift("k", &out).status(), Status::kNotAttached);
  EXPECT_EQ(none.Length("k").status(), Status::kNotAttached);
  EXPECT_EQ(none.Range("k", 0, 1, &elements).status(), Status::kNotAttached);
  EXPECT_EQ(map.Push(null, "v").text(), "key: null pointer with length 3");
  EXPECT_EQ(map.Push("k", null).text(), "element: null pointer with length 3");
  EXPECT_EQ(map.Unshift(null, "v").status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Unshift("k", null).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Pop(null, &out).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Shift(null, &out).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Length(null).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Range(null, 0, 1, &elements).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Pop("k", nullptr).text(), "element: null pointer");
  EXPECT_EQ(map.Shift("k", nullptr).text(), "element: null pointer");
  EXPECT_EQ(map.Range("k", 0, 1, nullptr).text(), "elements: null pointer");
  EXPECT_EQ(map.Push(std::string(17'000, 'k'), "v").status(), Status::kTooLarge);
  ASSERT_TRUE(map.Push("k", "v").ok());
  const Map reader = scratch.OpenReadOnly();
  EXPECT_EQ(reader.Push("k", "v").status(), Status::kReadOnly);
  EXPECT_EQ(reader.Pop("k", &out).status(), Status::kReadOnly);
  EXPECT_EQ(*reader.Length("k"), 1u);
  EXPECT_EQ(AllOf(reader, "k"), Strings{"v"});
}

// As a plain deque, by random calls.
TEST(Lists, DoWhatDequesDo) {
  const Scratch scratch;
  const Map map = scratch.Create();
  std::mt19937 random(7);
  std::map<std::string, std::deque<std::string>> model;
  for (int step = 0; step < 20'000; ++step) {
    const std::string key = "list " + std::to_string(random() % 5);
    const std::string element(random() % 60, static_cast<char>('a' + random() % 26));
    std::deque<std::string>& list = model[key];
    std::string out;
    switch (random() % 8) {
      case 0:
      case 1:
        list.push_back(element);
        ASSERT_EQ(*map.Push(key, element), list.size());
        break;
      case 2:
        list.push_front(element);
        ASSERT_EQ(*map.Unshift(key, element), list.size());
        break;
      case 3:
      case 4: {
        const bool back = random() % 2 == 0;
        const Result<void> popped = back ? map.Pop(key, &out) : map.Shift(key, &out);
        ASSERT_EQ(popped.absent(), list.empty());
        if (list.empty()) break;
        ASSERT_EQ(out, back ? list.back() : list.front());
        back ? list.pop_back() : list.pop_front();
        break;
      }
      case 5:
        ASSERT_EQ(*map.Length(key), list.size());
        break;
      case 6:
        if (random() % 20 == 0) {
          ASSERT_EQ(*map.Delete(key), !list.empty());
          list.clear();
        }
        break;
      default:
        ASSERT_EQ(AllOf(map, key), Strings(list.begin(), list.end()));
    }
  }
  EXPECT_TRUE(map.Verify()->empty());
}

// Each element is taken once, by one of several processes, in the order in which it was pushed.
TEST(Lists, AreQueuesBetweenProcesses) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const Map map = scratch.Create();
  constexpr int kElements = 20'000;
  constexpr int kConsumers = 3;
  std::vector<pid_t> children;
  for (int consumer = 0; consumer < kConsumers; ++consumer) {
    children.push_back(support::Fork([&] {
      const std::string own = "taken by " + std::to_string(consumer);
      const Map opened = scratch.Open();
      int last = -1;
      for (std::string element;;) {
        const Result<void> shifted = opened.Shift("queue", &element);
        if (shifted.absent()) continue;
        SHF_REQUIRE(shifted.ok());
        if (element == "end") return true;
        SHF_REQUIRE(std::stoi(element) > last);
        last = std::stoi(element);
        SHF_REQUIRE(opened.Push(own, element).ok());
      }
    }));
  }
  for (int i = 0; i < kElements; ++i) ASSERT_TRUE(map.Push("queue", std::to_string(i)).ok());
  for (int consumer = 0; consumer < kConsumers; ++consumer) {
    ASSERT_TRUE(map.Push("queue", "end").ok());
  }
  for (const pid_t child : children) EXPECT_TRUE(support::Join(child));
  std::set<int> taken;
  for (int consumer = 0; consumer < kConsumers; ++consumer) {
    for (const std::string& element : AllOf(map, "taken by " + std::to_string(consumer))) {
      EXPECT_TRUE(taken.insert(std::stoi(element)).second) << element;
    }
  }
  EXPECT_EQ(taken.size(), static_cast<size_t>(kElements));
  EXPECT_EQ(*map.Length("queue"), 0u);
}

// A writer that is killed leaves a list that is whole, and blocks nobody.
TEST(Lists, SurviveTheDeathOfAWriter) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const Map map = scratch.Create();
  std::mt19937 random(8);
  for (int round = 0; round < 60; ++round) {
    const pid_t child = support::Fork([&] {
      const Map opened = scratch.Open();
      std::string element;
      for (uint64_t n = 0;; ++n) {
        SHF_REQUIRE(opened.Push("list", std::to_string(n)).ok());
        SHF_REQUIRE(opened.Unshift("list", std::to_string(n)).ok());
        if (n % 3 != 0) SHF_REQUIRE(opened.Pop("list", &element).ok());
        if (n % 3 != 1) SHF_REQUIRE(opened.Shift("list", &element).ok());
        if (n % 50 == 49) SHF_REQUIRE(opened.Delete("list").ok());
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 8000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    // As it was before the call that was cut short, or after it; whoever writes next finishes that.
    ASSERT_EQ(*map.Length("list"), AllOf(map, "list").size());
    const uint64_t count = *map.Push("list", "last");
    const Strings elements = AllOf(map, "list");
    ASSERT_EQ(elements.size(), count);
    ASSERT_EQ(elements.back(), "last");
    ASSERT_EQ(Popped(map, "list"), "last");
    const Result<std::vector<shf::Violation>> violations = map.Verify();
    ASSERT_TRUE(violations->empty()) << violations->front().what;
  }
}

}  // namespace
