// The numbers of a map: what they say, what the walk over its index counts, and the texts that
// others read.
#include "shf/stats.hpp"

#include <map>
#include <string>
#include <vector>

#include "shf/map.hpp"
#include "support.hpp"

namespace {

using shf::Map;
using shf::ProbeLengths;
using shf::Result;
using shf::Stats;
using shf::Status;
using support::Bytes;
using support::Scratch;

// All numbers of the structure by their names.
std::vector<std::pair<std::string, uint64_t>> Numbers(const Stats& stats) {
  return {{"keys", stats.keys},
          {"elements", stats.elements},
          {"timed_keys", stats.timed_keys},
          {"committed_bytes", stats.committed_bytes},
          {"max_bytes", stats.max_bytes},
          {"free_bytes_left", stats.free_bytes_left},
          {"apparent_bytes", stats.apparent_bytes},
          {"front_bytes", stats.front_bytes},
          {"descriptor_bytes", stats.descriptor_bytes},
          {"live_bytes", stats.live_bytes},
          {"dead_bytes", stats.dead_bytes},
          {"free_bytes", stats.free_bytes},
          {"unused_bytes", stats.unused_bytes},
          {"index_bytes", stats.index_bytes},
          {"shards", stats.shards},
          {"tables", stats.tables},
          {"bucket_count", stats.bucket_count},
          {"max_bucket_count", stats.max_bucket_count},
          {"slots", stats.slots},
          {"splits", stats.splits},
          {"vacated_pages", stats.vacated_pages},
          {"moved_records", stats.moved_records},
          {"repairs", stats.repairs},
          {"expired_keys", stats.expired_keys},
          {"evicted_keys", stats.evicted_keys},
          {"retries", stats.retries},
          {"created_ns", stats.created_ns},
          {"fixed_key_bytes", stats.fixed_key_bytes},
          {"fixed_value_bytes", stats.fixed_value_bytes}};
}

// A map with keys, elements, and memory of each kind.
Map Eventful(const Scratch& scratch) {
  shf::Options options;
  options.shards = 4;
  options.max_bytes = 64 << 20;
  Map map = scratch.Create(options);
  for (uint64_t i = 0; i < 30000; ++i)
    EXPECT_TRUE(map.Put(Bytes(i), std::string(i % 200, 'x')).ok());
  for (uint64_t i = 0; i < 30000; i += 5) EXPECT_TRUE(*map.Delete(Bytes(i)));
  EXPECT_TRUE(map.Put("large", std::string(100000, 'y')).ok());
  EXPECT_TRUE(*map.Delete("large"));
  EXPECT_TRUE(map.Push("list", "one").ok());
  EXPECT_TRUE(map.Push("list", "two").ok());
  return map;
}

TEST(Stats, TheKindsOfMemoryAddUpToWhatTheFileHas) {
  const Scratch scratch;
  const Map map = Eventful(scratch);
  const Result<Stats> stats = map.GetStats();
  ASSERT_TRUE(stats.ok()) << stats.text();
  EXPECT_EQ(stats->front_bytes + stats->descriptor_bytes + stats->live_bytes + stats->dead_bytes +
                stats->free_bytes + stats->unused_bytes + stats->index_bytes,
            stats->committed_bytes);
  struct stat file {};
  ASSERT_EQ(stat(scratch.path().c_str(), &file), 0);
  EXPECT_EQ(static_cast<uint64_t>(file.st_blocks) * 512, stats->committed_bytes);
  EXPECT_EQ(static_cast<uint64_t>(file.st_size), stats->apparent_bytes);
  EXPECT_EQ(stats->free_bytes_left, stats->max_bytes - stats->committed_bytes);
  for (const uint64_t bytes : {stats->descriptor_bytes, stats->live_bytes, stats->dead_bytes,
                               stats->free_bytes, stats->unused_bytes, stats->index_bytes}) {
    EXPECT_GT(bytes, 0u);
  }
}

TEST(Stats, TheIndexIsCountedInBucketsAndSlots) {
  const Scratch scratch;
  const Map map = Eventful(scratch);
  const Stats stats = *map.GetStats();
  EXPECT_EQ(stats.keys, 24001u);
  EXPECT_EQ(stats.elements, 2u);
  EXPECT_EQ(stats.shards, 4u);
  EXPECT_EQ(stats.bucket_count, stats.tables * 64);
  EXPECT_EQ(stats.slots, stats.bucket_count * 12);
  EXPECT_LT(stats.bucket_count, stats.max_bucket_count);
  EXPECT_DOUBLE_EQ(stats.load_factor(), 24003.0 / static_cast<double>(stats.slots));
  EXPECT_LT(stats.load_factor(), stats.max_load_factor());
  EXPECT_EQ(Stats().load_factor(), 0);
  const uint64_t now_s = static_cast<uint64_t>(time(nullptr));
  EXPECT_LE(stats.created_ns / 1000000000, now_s);
  EXPECT_GE(stats.created_ns / 1000000000, now_s - 3600);
}

TEST(Stats, ProbeLengthsAreCountedThroughEveryHandle) {
  const Scratch scratch;
  const Map map = Eventful(scratch);
  const Stats stats = *map.GetStats();
  const Result<ProbeLengths> lengths = scratch.OpenReadOnly().GetProbeLengths();
  ASSERT_TRUE(lengths.ok()) << lengths.text();
  const auto sum = [](const auto& counts) {
    uint64_t all = 0;
    for (const uint64_t count : counts) all += count;
    return all;
  };
  EXPECT_EQ(sum(lengths->keys), stats.keys + stats.elements);
  EXPECT_EQ(sum(lengths->tables_by_depth), stats.tables);
  EXPECT_EQ(sum(lengths->tables_by_fill), stats.tables);
  EXPECT_GT(lengths->keys[0], lengths->keys[1]);
  EXPECT_GT(lengths->keys[1], lengths->keys[2]);
  EXPECT_DOUBLE_EQ(lengths->mean(), static_cast<double>(lengths->keys[0] + 2 * lengths->keys[1] +
                                                        3 * lengths->keys[2]) /
                                        static_cast<double>(sum(lengths->keys)));
  EXPECT_EQ(ProbeLengths().mean(), 0);
  EXPECT_EQ(Map().GetProbeLengths().status(), Status::kNotAttached);
}

// The numbers of a flat object.
std::map<std::string, std::string> Parsed(std::string_view json) {
  std::map<std::string, std::string> found;
  EXPECT_EQ(json.front(), '{');
  EXPECT_EQ(json.back(), '}');
  json = json.substr(1);
  while (json.size() > 1) {
    const size_t quote = json.find('"', 1);
    const size_t end = json.find_first_of(",}");
    EXPECT_EQ(json.substr(quote, 2), "\":");
    found.emplace(json.substr(1, quote - 1), json.substr(quote + 2, end - quote - 2));
    json = json.substr(end + 1);
  }
  return found;
}

TEST(Stats, JsonHasEveryNumberUnderItsName) {
  const Scratch scratch;
  Stats stats = *Eventful(scratch).GetStats();
  stats.repairs = UINT64_MAX;
  const Result<std::string> json = shf::ToJson(stats);
  ASSERT_TRUE(json.ok()) << json.text();
  std::map<std::string, std::string> found = Parsed(*json);
  for (const auto& [name, number] : Numbers(stats)) EXPECT_EQ(found[name], std::to_string(number));
  EXPECT_EQ(found.size(), Numbers(stats).size() + 2);
  EXPECT_EQ(sizeof(Stats), Numbers(stats).size() * sizeof(uint64_t));
  EXPECT_DOUBLE_EQ(std::stod(found["load_factor"]), stats.load_factor());
  EXPECT_DOUBLE_EQ(std::stod(found["max_load_factor"]), 1);
}

TEST(Stats, TheTextForPrometheusNamesTheMapAndEscapesItsName) {
  const Scratch scratch;
  const Stats stats = *Eventful(scratch).GetStats();
  const Result<std::string> text = shf::ToPrometheus(stats, "a \"map\"\\ of\nlines");
  ASSERT_TRUE(text.ok()) << text.text();
  const std::string label = R"({map="a \"map\"\\ of\nlines"})";
  const auto has = [&](const std::string& line) {
    EXPECT_NE(("\n" + *text).find("\n" + line + "\n"), std::string::npos) << line << "\n" << *text;
  };
  has("# TYPE shf_keys gauge");
  has("shf_keys" + label + " " + std::to_string(stats.keys));
  has("# TYPE shf_splits_total counter");
  has("shf_splits_total" + label + " " + std::to_string(stats.splits));
  has("shf_committed_bytes" + label + " " + std::to_string(stats.committed_bytes));
  has("shf_memory_bytes" + label.substr(0, label.size() - 1) + ",kind=\"live\"} " +
      std::to_string(stats.live_bytes));
  // Several maps have one family each.
  Stats other = stats;
  other.keys = 7;
  const Result<std::string> both = shf::ToPrometheus({{"one", stats}, {"two", other}});
  ASSERT_TRUE(both.ok()) << both.text();
  EXPECT_NE(both->find("# TYPE shf_keys gauge\nshf_keys{map=\"one\"} " +
                       std::to_string(stats.keys) + "\nshf_keys{map=\"two\"} 7\n"),
            std::string::npos)
      << *both;
  EXPECT_EQ(*shf::ToPrometheus(std::vector<shf::NamedStats>()), "");
}

TEST(Stats, TextsHaveTheCountersOfEachProcess) {
  // Goal: who collects numbers gets those of each process. Method: two handles of a map that do
  // different things, and what both texts say of them.
  const Scratch scratch;
  shf::Options options;
  options.application = "a \"collector\"";
  options.role = shf::Role::kLeader;
  const shf::Map map = scratch.Create(options);
  options.application = "other";
  options.role = shf::Role::kConsumer;
  const Result<shf::Map> opened = shf::Map::Open(scratch.folder(), scratch.name(), options);
  ASSERT_TRUE(opened.ok()) << opened.text();
  const shf::Map& other = *opened;
  std::string value;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(map.Put("key", "value").ok());
  ASSERT_TRUE(other.Get("key", &value).ok());
  ASSERT_TRUE(other.GetStats().ok());  // publishes
  const Stats stats = *map.GetStats();
  const std::vector<shf::Process> processes = *map.Processes();
  ASSERT_EQ(processes.size(), 2U);

  const Result<std::string> text = shf::ToPrometheus(stats, "m", processes);
  ASSERT_TRUE(text.ok()) << text.text();
  const auto sample = [](const shf::Process& process, const std::string& application,
                         const std::string& role, const std::string& rest) {
    return "\nshf_process_operations_total{map=\"m\",process=\"" + std::to_string(process.slot) +
           "\",pid=\"" + std::to_string(process.pid) + "\",application=\"" + application +
           "\",role=\"" + role + "\",operation=\"" + rest + "\n";
  };
  for (const shf::Process& process : processes) {
    const std::string expected = process.is_this
                                     ? sample(process, "a \\\"collector\\\"", "leader", "puts\"} 3")
                                     : sample(process, "other", "consumer", "hits\"} 1");
    EXPECT_NE(text->find(expected), std::string::npos) << expected << *text;
  }
  EXPECT_NE(text->find("# TYPE shf_process_operations_total counter\n"), std::string::npos);
  EXPECT_EQ(*shf::ToPrometheus({{"m", stats, processes}}), *text);
  EXPECT_EQ(*shf::ToPrometheus(stats, "m", {}), *shf::ToPrometheus(stats, "m"));

  const Result<std::string> json = shf::ToJson(stats, processes);
  ASSERT_TRUE(json.ok()) << json.text();
  for (const char* const part : {R"("application":"a \"collector\"")", R"("puts":3)", R"("hits":1)",
                                 R"("role":"leader")", R"("role":"consumer")", R"("keys":1)"}) {
    EXPECT_NE(json->find(part), std::string::npos) << part << *json;
  }
  EXPECT_NE(shf::ToJson(stats, {})->find(R"("processes":[])"), std::string::npos);
}

TEST(Stats, NamesThatNoTextHoldsAreRefused) {
  const Stats stats;
  EXPECT_EQ(shf::ToPrometheus(stats, "\xff").status(), Status::kInvalidName);
  EXPECT_EQ(shf::ToPrometheus({{"\xff", stats}}).status(), Status::kInvalidName);
  EXPECT_EQ(shf::ToPrometheus(stats, std::string_view(nullptr, 1)).status(),
            Status::kInvalidArgument);
  EXPECT_TRUE(shf::ToPrometheus(stats, std::string_view()).ok());
}

TEST(Stats, InitialBytesAreThereFromTheBeginning) {
  // Goal: Options::initial_bytes, from C++. Method: what the file has right after creation, and
  // what is refused.
  const Scratch scratch;
  shf::Options options;
  options.shards = 4;
  options.max_bytes = 16 << 20;
  options.initial_bytes = 6 << 20;
  const Map map = scratch.Create(options);
  struct stat file {};
  ASSERT_EQ(stat(scratch.path().c_str(), &file), 0);
  EXPECT_GE(file.st_blocks * 512, 6 << 20);
  EXPECT_LE(file.st_blocks * 512, (6 << 20) + 4 * 4096);
  EXPECT_EQ(map.GetStats()->committed_bytes, static_cast<uint64_t>(file.st_blocks) * 512);
  for (uint64_t i = 0; i < 20000; ++i) ASSERT_TRUE(map.Put(Bytes(i), std::string(150, 'x')).ok());
  EXPECT_TRUE(map.Verify()->empty());
  const Scratch other;
  options.initial_bytes = options.max_bytes + 1;
  const Result<Map> refused = Map::Create(other.folder(), other.name(), options);
  EXPECT_EQ(refused.status(), Status::kInvalidArgument);
  EXPECT_NE(refused.text().find("initial_bytes"), std::string::npos) << refused.text();
}

}  // namespace
