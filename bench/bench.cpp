// Measures shf::Map, beside tbb::concurrent_hash_map where that is there; --help says how.

#include <getopt.h>

#include <cctype>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "report.hpp"

namespace bench {
namespace {

#ifdef SHF_BENCH_TBB
constexpr bool kHaveTbb = true;
#else
constexpr bool kHaveTbb = false;
#endif

int Usage(std::FILE* out) {
  std::fprintf(out,
               "usage: shf_bench [options]\n"
               "  --keys N          how many keys, 1000 to 1000000000 (10000000)\n"
               "  --value-bytes N   16 to 1048576 (100); resizing takes half of it to half more\n"
               "  --runs N          1 to 99 (3); the table shows medians\n"
               "  --processes N     1 to %u (2), for the scaling\n"
               "  --seed N          (1)\n"
               "  --folder PATH     where the map's file goes (/dev/shm)\n"
               "  --only SECTION    may be repeated: put get miss mix update resize memory\n"
               "                    latency scaling empty (all of them)\n"
               "  --no-tbb          without tbb::concurrent_hash_map\n"
               "  --tbb-key KIND    string: std::string, as for any bytes (default);\n"
               "                    array: a fixed 16-byte key, TBB's best case\n"
               "  --json FILE       also writes every run's figures to FILE\n"
               "  --get-loop N      instead of measuring: N gets that hit and N that miss, after\n"
               "                    attaching, between two marks on standard error, through a\n"
               "                    writable and a read-only handle; to run under strace or perf\n",
               kProcessesMax);
  return out == stdout ? 0 : 2;
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

// Returns false for anything wrong.
bool ParseOptions(int argc, char** argv, Options* options, bool* help) {
  const option known[] = {{"keys", required_argument, nullptr, 'k'},
                          {"value-bytes", required_argument, nullptr, 'v'},
                          {"runs", required_argument, nullptr, 'r'},
                          {"processes", required_argument, nullptr, 'p'},
                          {"seed", required_argument, nullptr, 's'},
                          {"folder", required_argument, nullptr, 'f'},
                          {"only", required_argument, nullptr, 'o'},
                          {"no-tbb", no_argument, nullptr, 'n'},
                          {"tbb-key", required_argument, nullptr, 't'},
                          {"json", required_argument, nullptr, 'j'},
                          {"get-loop", required_argument, nullptr, 'g'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  Workload& work = options->work;
  bool only = false;
  for (int which; (which = getopt_long(argc, argv, "", known, nullptr)) != -1;) {
    uint64_t number = 0;
    bool good = true;
    if (which == 'k') {
      good = Parse(optarg, 1000, 1'000'000'000, &work.keys);
    } else if (which == 'v') {
      good = Parse(optarg, 16, 1 << 20, &work.value_bytes);
    } else if (which == 'r') {
      good = Parse(optarg, 1, 99, &number);
      options->runs = static_cast<unsigned>(number);
    } else if (which == 'p') {
      good = Parse(optarg, 1, kProcessesMax, &number);
      options->processes = static_cast<unsigned>(number);
    } else if (which == 's') {
      good = Parse(optarg, 0, kAny, &work.seed);
    } else if (which == 'f') {
      options->folder = optarg;
    } else if (which == 'o') {
      const auto* const name =
          std::find_if(kSectionNames.begin(), kSectionNames.end(),
                       [](const char* each) { return std::strcmp(each, optarg) == 0; });
      good = name != kSectionNames.end();
      if (good) options->wanted[static_cast<size_t>(name - kSectionNames.begin())] = true;
      only = true;
    } else if (which == 'n') {
      options->tbb = false;
    } else if (which == 't') {
      options->tbb_array_key = std::strcmp(optarg, "array") == 0;
      good = options->tbb_array_key || std::strcmp(optarg, "string") == 0;
    } else if (which == 'j') {
      options->json = optarg;
    } else if (which == 'g') {
      good = Parse(optarg, 1, kAny, &options->get_loop);
    } else if (which == 'h') {
      *help = true;
      return true;
    } else {
      return false;
    }
    if (!good) {
      std::fprintf(stderr, "bench: cannot take '%s'\n", optarg);
      return false;
    }
  }
  if (!only) options->wanted.fill(true);
  options->tbb = options->tbb && kHaveTbb;
  return optind == argc;
}

// The kernel ends whom it likes when memory runs out, so the benchmark declines first. TBB needs
// the most: its strings keep the capacity of the longest value that they ever had, or twice that.
bool FitsIntoMemory(const Options& options) {
  const uint64_t needed = options.work.keys * (2 * options.work.bytes_most() + kKeyBytes + 112);
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    unsigned long long kibibytes = 0;
    if (std::sscanf(line.c_str(), "MemAvailable: %llu", &kibibytes) != 1) continue;
    if (needed <= kibibytes * 1024) return true;
    std::fprintf(stderr, "bench: needs about %llu MiB of memory, %llu MiB are available\n",
                 static_cast<unsigned long long>(needed >> 20), kibibytes >> 10);
    return false;
  }
  return true;
}

bool WantsThroughput(const Options& options) {
  const auto end = options.wanted.begin() + kMemory + 1;
  return std::find(options.wanted.begin(), end, true) != end;
}

// The stores take turns, so that a change of the machine's mood meets all of them. Memory depends
// on the workload and hardly on chance: it is measured in the first run only.
template <typename TbbStore>
bool MeasureStores(const Options& options, Figures* figures) {
  for (unsigned run = 0; run < options.runs; ++run) {
    const bool with_memory = options.wanted[kMemory] && run == 0;
    if (WantsThroughput(options)) {
      if (!MeasureThroughput<ShfStore>(options, with_memory, &figures->shf)) return false;
      if (options.tbb && !MeasureThroughput<TbbStore>(options, with_memory, &figures->tbb)) {
        return false;
      }
    }
    if (options.wanted[kLatency]) {
      if (!MeasureLatency<ShfStore>(options, &figures->shf)) return false;
      if (options.tbb && !MeasureLatency<TbbStore>(options, &figures->tbb)) return false;
    }
    if (options.wanted[kScaling]) {
      if (!MeasureTogether(options, 1, &figures->one.emplace_back())) return false;
      if (!MeasureTogether(options, options.processes, &figures->many.emplace_back())) return false;
    }
  }
  return true;
}

bool Measure(const Options& options, Figures* figures) {
  if (options.wanted[kEmpty]) {
    figures->empty_bytes = MeasureEmpty(options);
    if (figures->empty_bytes == 0) return false;
  }
#ifdef SHF_BENCH_TBB
  if (options.tbb_array_key) return MeasureStores<TbbStore<ArrayKey>>(options, figures);
  return MeasureStores<TbbStore<StringKey>>(options, figures);
#else
  return MeasureStores<ShfStore>(options, figures);  // options.tbb is false
#endif
}

int Run(const Options& options) {
  if (!FitsIntoMemory(options)) return 1;
  if (options.get_loop > 0) return RunGetLoop(options) ? 0 : 1;
  PrintHeading(options);
  Figures figures;
  if (!Measure(options, &figures)) return 1;
  PrintTable(options, figures);
  if (!options.json.empty() && !WriteJson(options, figures)) {
    std::fprintf(stderr, "bench: cannot write %s\n", options.json.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Options options;
  bool help = false;
  if (!bench::ParseOptions(argc, argv, &options, &help)) return bench::Usage(stderr);
  if (help) return bench::Usage(stdout);
  // No SA_RESTART: the wait for a child ends, and the map's file is removed on the way out.
  struct sigaction action = {};
  action.sa_handler = [](int) { bench::interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return bench::Run(options);
}
