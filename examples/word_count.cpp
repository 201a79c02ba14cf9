// Counts the words of real text with several processes in one shared map, kills some with -9 in
// the middle, replaces them, and compares the result with a count by a single process.
//
// word_count_text.hpp says what is read, word_count_workers.hpp how processes count it together;
// this file counts alone, compares, and reports.

#include <getopt.h>
#include <sys/mman.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "word_count_workers.hpp"

namespace word_count {
namespace {

struct Settings {
  std::vector<std::string> folders;
  unsigned workers = 4;
  unsigned kills = 3;
  unsigned mebibytes = 128;
  uint64_t seed = std::random_device()();
};

// Prints each word whose counts differ. True when nothing is missing and at most one add for each
// kill is there twice.
bool Compare(const Counts& expected, Counts shared, unsigned kills) {
  int64_t missing = 0;
  int64_t extra = 0;
  const auto note = [&](const std::string& word, int64_t right, int64_t found) {
    std::printf("  differs: '%s' is %lld, should be %lld\n", word.c_str(),
                static_cast<long long>(found), static_cast<long long>(right));
    (found < right ? missing : extra) += std::abs(found - right);
  };
  for (const auto& [word, right] : expected) {
    const auto at = shared.find(word);
    const int64_t found = at == shared.end() ? 0 : at->second;
    if (found != right) note(word, right, found);
    if (at != shared.end()) shared.erase(at);
  }
  for (const auto& [word, found] : shared) note(word, 0, found);

  if (missing == 0 && extra == 0) {
    std::printf("result: equal to the single-process count, after %u kill(s)\n", kills);
  } else if (missing == 0 && extra <= static_cast<int64_t>(kills)) {
    std::printf("result: differs by %lld add(s) in flight of %u kill(s), as it may\n",
                static_cast<long long>(extra), kills);
  } else {
    std::printf("result: WRONG, %lld add(s) missing and %lld too many after %u kill(s)\n",
                static_cast<long long>(missing), static_cast<long long>(extra), kills);
    return false;
  }
  return true;
}

void PrintSummary(const shf::Map& map, const Counts& counts, uint64_t words, double seconds) {
  std::printf("top words:");
  for (const auto& [count, word] : Top(counts, 10)) {
    std::printf("  %s %lld", word.c_str(), static_cast<long long>(count));
  }
  std::printf("\n");
  const shf::Result<shf::Stats> stats = map.GetStats();
  if (!stats.ok()) {
    std::fprintf(stderr, "stats: %s\n", stats.text().c_str());
    return;
  }
  std::printf("map: %llu keys in %.1f MiB; %.2f M adds/s; %llu shard(s) repaired\n",
              static_cast<unsigned long long>(stats->keys),
              static_cast<double>(stats->committed_bytes) / (1 << 20),
              static_cast<double>(words) / std::max(seconds, 1e-3) / 1e6,
              static_cast<unsigned long long>(stats->repairs));
}

// Counts with the workers, on a map that exists already, and checks what they counted.
bool CountAndCompare(const Plan& plan, const shf::Map& map, const Counts& expected,
                     uint64_t words_total) {
  Supervisor supervisor(plan, map, words_total);
  if (!supervisor.Run()) {
    std::fprintf(stderr, interrupted ? "interrupted\n" : "a worker failed\n");
    return false;
  }
  const Counts counts = ReadCounts(map);
  PrintSummary(map, counts, words_total, supervisor.seconds());
  return Compare(expected, counts, supervisor.kills());
}

bool Run(const Settings& settings) {
  Plan plan;
  plan.map_name = "word-count-" + std::to_string(getpid());
  plan.workers = settings.workers;
  plan.kills = settings.kills;
  plan.seed = settings.seed;
  plan.files = CollectFiles(settings.folders, uint64_t{settings.mebibytes} << 20, settings.seed);
  std::printf("seed %llu: %zu text files\n", static_cast<unsigned long long>(settings.seed),
              plan.files.size());
  if (plan.files.empty()) {
    std::fprintf(stderr, "no text files found; name a folder that has some\n");
    return false;
  }

  const Clock::time_point start = Clock::now();
  Counts expected;
  uint64_t words_total = 0;
  for (const std::string& file : plan.files) {
    ForEachWord(ReadFile(file), [&](std::string_view word) {
      ++expected[std::string(word)];
      ++words_total;
    });
    if (interrupted) return false;
  }
  std::printf("one process, private memory: %llu words, %zu different, %.2f s\n",
              static_cast<unsigned long long>(words_total), expected.size(), SecondsSince(start));

  const size_t bytes = plan.files.size() * sizeof(FileProgress);
  void* shared = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) {
    std::perror("mmap");
    return false;
  }
  plan.progress = static_cast<FileProgress*>(shared);
  for (size_t i = 0; i < plan.files.size(); ++i) new (&plan.progress[i]) FileProgress;

  const shf::Result<shf::Map> created = shf::Map::Create(kMapFolder, plan.map_name);
  if (!created.ok()) {
    std::fprintf(stderr, "create: %s\n", created.text().c_str());
    return false;
  }
  std::printf("%u processes, one map %s/%s.shf:\n", settings.workers, kMapFolder,
              plan.map_name.c_str());
  const bool good = CountAndCompare(plan, *created, expected, words_total);
  const shf::Result<void> removed = shf::Map::Remove(kMapFolder, plan.map_name);
  if (!removed.ok()) std::fprintf(stderr, "remove: %s\n", removed.text().c_str());
  munmap(shared, bytes);
  return good && removed.ok();
}

// ---- options -----------------------------------------------------------------------------------

int Usage() {
  std::fprintf(stderr,
               "usage: word_count [--workers 1..64] [--kills 0..1000] [--mebibytes 1..4096]\n"
               "                  [--seed S] [folder...]\n"
               "Counts the words of the text files below the folders, the system's headers and\n"
               "documentation by default, with processes of which some are killed.\n");
  return 2;
}

bool Parse(const char* text, uint64_t least, uint64_t most, uint64_t* number) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long parsed = std::strtoull(text, &end, 10);
  if (!std::isdigit(static_cast<unsigned char>(text[0])) || *end != '\0' || errno != 0)
    return false;
  *number = parsed;
  return parsed >= least && parsed <= most;
}

}  // namespace
}  // namespace word_count

int main(int argc, char** argv) {
  using word_count::Parse;
  word_count::Settings settings;
  const option options[] = {{"workers", required_argument, nullptr, 'w'},
                            {"kills", required_argument, nullptr, 'k'},
                            {"mebibytes", required_argument, nullptr, 'm'},
                            {"seed", required_argument, nullptr, 's'},
                            {nullptr, 0, nullptr, 0}};
  for (int which; (which = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    uint64_t number = 0;
    if (which == 'w' && Parse(optarg, 1, 64, &number)) {
      settings.workers = static_cast<unsigned>(number);
    } else if (which == 'k' && Parse(optarg, 0, 1000, &number)) {
      settings.kills = static_cast<unsigned>(number);
    } else if (which == 'm' && Parse(optarg, 1, 4096, &number)) {
      settings.mebibytes = static_cast<unsigned>(number);
    } else if (which == 's' && Parse(optarg, 0, UINT64_MAX, &number)) {
      settings.seed = number;
    } else {
      return word_count::Usage();
    }
  }
  settings.folders.assign(argv + optind, argv + argc);
  if (settings.folders.empty()) {
    settings.folders = {"/usr/include", "/usr/share/doc", "/usr/share/common-licenses"};
  }
  const auto interrupt = [](int) { word_count::interrupted = 1; };
  signal(SIGINT, interrupt);
  signal(SIGTERM, interrupt);
  return word_count::Run(settings) ? 0 : 1;
}
