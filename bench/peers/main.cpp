// Measures shf::Map, beside tbb::concurrent_hash_map where that is there; --help says how.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "machine.hpp"
#include "report.hpp"

namespace bench {
namespace {

#ifdef SHF_BENCH_TBB
constexpr bool kHaveTbb = true;
#else
constexpr bool kHaveTbb = false;
#endif

// Reads a command line. A number is what the program should end with.
std::optional<int> ParseOptions(int argc, char** argv, Options* options) {
  CLI::App app("Measures shf::Map, beside tbb::concurrent_hash_map where that is there.");
  Workload& work = options->work;
  AddOption(&app, "--keys", &work.keys, "How many keys")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1'000'000'000}));
  AddOption(&app, "--value-bytes", &work.value_bytes,
            "Bytes of a value; resizing takes half of it to half more")
      ->check(CLI::Range(uint64_t{16}, uint64_t{1} << 20));
  AddOption(&app, "--runs", &options->runs, "The table shows medians of so many")
      ->check(CLI::Range(1U, 99U));
  AddOption(&app, "--processes", &options->processes, "Processes of the scaling")
      ->check(CLI::Range(1U, kProcessesMax));
  AddOption(&app, "--seed", &work.seed, "The same seed makes the same keys and order");
  AddOption(&app, "--folder", &options->folder, "Where the map's file goes")
      ->check(CLI::ExistingDirectory);
  AddOption(&app, "--json", &options->json, "Also writes every run's figures to this file");
  std::vector<std::string> only;
  const std::vector<std::string> names(kSectionNames.begin(), kSectionNames.end());
  app.add_option("--only", only, "Only this section; may be repeated")->check(CLI::IsMember(names));
  app.add_flag_callback(
      "--no-tbb", [&] { options->tbb = false; }, "Without tbb::concurrent_hash_map");
  std::string tbb_key = "string";
  AddOption(&app, "--tbb-key", &tbb_key,
            "string: std::string, as for any bytes; array: a fixed 16-byte key, its best case")
      ->check(CLI::IsMember(std::vector<std::string>{"string", "array"}));
  app.add_option("--get-loop", options->get_loop,
                 "Instead of measuring: so many gets that hit and as many that miss, between two\n"
                 "marks on standard error, through a writable and a read-only handle; to run\n"
                 "under strace or perf");
  return ParseCommandLine(&app, argc, argv, [&] {
    for (unsigned section = 0; section < kSections; ++section) {
      const auto named = std::find(only.begin(), only.end(), kSectionNames[section]);
      options->wanted[section] = only.empty() || named != only.end();
    }
    options->tbb_array_key = tbb_key == "array";
    options->tbb = options->tbb && kHaveTbb;
    CheckWritable("--json", options->json);
  });
}

// TBB needs the most: its strings keep the capacity of the longest value that they ever had, or
// twice that.
bool Fits(const Options& options) {
  return FitsIntoMemory(options.work.keys * (2 * options.work.bytes_most() + kKeyBytes + 112));
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
  if (!Fits(options)) return 1;
  if (options.get_loop > 0) return RunGetLoop(options) ? 0 : 1;
  PrintHeading(options);
  Figures figures;
  if (!Measure(options, &figures)) return 1;
  PrintTable(options, figures);
  return WriteJson(options, figures) ? 0 : 1;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::Main<bench::Options>(argc, argv, bench::ParseOptions, bench::Run);
}
