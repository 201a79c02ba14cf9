// The measurements of the benchmark, and the figures that they yield.
//
// A throughput sample is one process that loads a store and then runs the phases on it. Latency is
// a pass of its own, so that reading the clock twice for each put weighs on no throughput.
#ifndef SHF_BENCH_MEASURE_HPP_
#define SHF_BENCH_MEASURE_HPP_

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "map_file.hpp"
#include "processes.hpp"
#include "shf-bench-kit/src/lib.rs.h"
#include "stores.hpp"
#include "workload.hpp"

namespace bench {

// What can be measured; the first ones are the phases of a throughput sample, in their order.
enum Section : unsigned {
  kPut,
  kGet,
  kMiss,
  kMix,
  kUpdate,
  kResize,
  kPhases,
  kMemory = kPhases,
  kLatency,
  kScaling,
  kEmpty,
  kSections,
};
constexpr std::array<const char*, kSections> kSectionNames = {
    "put", "get", "miss", "mix", "update", "resize", "memory", "latency", "scaling", "empty"};
constexpr unsigned kRoundsOfReplacing = 5;

struct Options {
  Workload work;
  unsigned runs = 3;
  unsigned processes = 2;
  std::string folder = "/dev/shm";
  std::string json;
  uint64_t get_loop = 0;
  bool tbb = true;
  bool tbb_array_key = false;
  std::array<bool, kSections> wanted{};
};

// 0 stands for "not measured" in all figures.
struct Throughput {
  std::array<double, kPhases> mops{};  // million operations a second
  double loaded = 0;                   // memory over payload after the load
  double replaced = 0;                 // the same after everything was replaced
  uint64_t loaded_bytes = 0;
  uint64_t loaded_file_bytes = 0;  // what the file system says
};

// Of single puts while the store grows from empty, in nanoseconds.
struct Latency {
  uint64_t p50 = 0;
  uint64_t p99 = 0;
  uint64_t p999 = 0;
  uint64_t max = 0;
  uint64_t max_undisturbed = 0;  // the longest one during which the kernel ran nobody else here
};

// Million operations a second that some processes reach together.
struct Together {
  double put = 0;
  double get = 0;
  double mix = 0;
};

struct StoreFigures {
  std::string name;  // empty: not measured
  std::vector<Throughput> throughput;
  std::vector<Latency> latency;
};

struct Figures {
  StoreFigures shf;
  StoreFigures tbb;
  std::vector<Together> one;   // process
  std::vector<Together> many;  // processes
  uint64_t empty_bytes = 0;
};

// Runs in a child process of its own, which ends right after: the store is never torn down.
template <typename Store>
std::string RunPhases(const Options& options, const MapFile& file, bool with_memory,
                      Throughput* out) {
  const Workload& work = options.work;
  Store& store = *new Store(work, file.folder(), file.name());
  if (!store.Create()) return "create: " + store.error();
  Worker<Store> worker(work, store, work.seed);
  const auto time = [&](Section phase, auto run) {
    if (phase != kPut && !options.wanted[phase]) return;
    const double start = Now();
    const uint64_t operations = run();
    out->mops[phase] = static_cast<double>(operations) / (Now() - start) / 1e6;
  };
  time(kPut, [&] { return worker.PutFresh(0, work.keys); });
  if (with_memory) {
    out->loaded_bytes = store.Bytes();
    out->loaded_file_bytes = store.FileBytes();
    out->loaded = static_cast<double>(out->loaded_bytes) /
                  static_cast<double>(work.keys * (kKeyBytes + work.value_bytes));
  }
  time(kGet, [&] { return worker.GetHits(work.keys); });
  time(kMiss, [&] { return worker.GetMisses(work.keys); });
  time(kMix, [&] { return worker.Mixed(work.keys); });
  time(kUpdate, [&] { return worker.Update(work.keys); });
  time(kResize, [&] { return worker.Resize(work.keys); });
  if (with_memory) {
    const uint64_t payload = worker.ReplaceAll(kRoundsOfReplacing);
    out->replaced = static_cast<double>(store.Bytes()) / static_cast<double>(payload);
  }
  return worker.error();
}

inline long InvoluntarySwitches() {
  rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

// Runs in a child process of its own.
template <typename Store>
std::string RunLatency(const Options& options, const MapFile& file, Latency* out) {
  using Clock = std::chrono::steady_clock;
  const Workload& work = options.work;
  Store& store = *new Store(work, file.folder(), file.name());
  if (!store.Create()) return "create: " + store.error();
  Worker<Store> worker(work, store, work.seed);
  rust::Box<kit::Histogram> histogram = kit::new_histogram();
  long switches = InvoluntarySwitches();
  for (uint64_t index = 0; index < work.keys; ++index) {
    const Clock::time_point start = Clock::now();
    worker.Put(index, work.value_bytes);
    const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    const auto nanoseconds = static_cast<uint64_t>(took.count());
    histogram->record(nanoseconds);
    out->max = std::max(out->max, nanoseconds);
    // The kernel is asked only for a put that would be the longest one.
    if (nanoseconds > out->max_undisturbed) {
      const long switches_now = InvoluntarySwitches();
      if (switches_now == switches) out->max_undisturbed = nanoseconds;
      switches = switches_now;
    }
  }
  out->p50 = histogram->quantile(0.5);
  out->p99 = histogram->quantile(0.99);
  out->p999 = histogram->quantile(0.999);
  return worker.error();
}

template <typename Store>
bool MeasureThroughput(const Options& options, bool with_memory, StoreFigures* figures) {
  const MapFile file(options.folder);
  const Shared<Throughput> result;
  figures->name = Store::kName;
  const bool good = RunProcesses(
      1, nullptr, [&](unsigned) { return RunPhases<Store>(options, file, with_memory, &*result); });
  figures->throughput.push_back(*result);
  return good;
}

template <typename Store>
bool MeasureLatency(const Options& options, StoreFigures* figures) {
  const MapFile file(options.folder);
  const Shared<Latency> result;
  figures->name = Store::kName;
  const bool good = RunProcesses(
      1, nullptr, [&](unsigned) { return RunLatency<Store>(options, file, &*result); });
  figures->latency.push_back(*result);
  return good;
}

// What `count` processes reach together on one map: each puts its part of the keys, then all get
// and mix over all keys, the same number of operations in total whatever the count.
bool MeasureTogether(const Options& options, unsigned count, Together* out);

// The real size of a map that nothing was ever put into, in bytes; 0: failed.
uint64_t MeasureEmpty(const Options& options);

// Gets after attaching, between two marks on standard error, for a look with strace or perf.
bool RunGetLoop(const Options& options);

}  // namespace bench

#endif  // SHF_BENCH_MEASURE_HPP_
