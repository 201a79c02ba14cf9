// The measurements that only shf::Map can be put through: several processes, an empty map, and
// gets under observation.
#include "measure.hpp"

namespace bench {
namespace {

enum Stage : unsigned { kStagePut, kStageGet, kStageMix, kStages };

// What the processes of one measurement share.
struct Meeting {
  Barrier barrier;
  double starts[kStages][kProcessesMax] = {};
  double ends[kStages][kProcessesMax] = {};

  // From when the first process started until the last one ended.
  double Seconds(Stage stage, unsigned count) const {
    return *std::max_element(ends[stage], ends[stage] + count) -
           *std::min_element(starts[stage], starts[stage] + count);
  }
};

// One of `count` processes, the n-th.
std::string RunOne(const Options& options, const MapFile& file, unsigned n, unsigned count,
                   Meeting* meeting) {
  const Workload& work = options.work;
  ShfStore store(work, file.folder(), file.name());
  if (!store.Open()) return "open: " + store.error();
  Worker<ShfStore> worker(work, store, work.seed + n + 1);
  const auto run = [&](Stage stage, auto body) {
    if (!meeting->barrier.Wait(count)) return;
    meeting->starts[stage][n] = Now();
    body();
    meeting->ends[stage][n] = Now();
  };
  const uint64_t share = work.keys / count;
  run(kStagePut, [&] { worker.PutFresh(share * n, n + 1 == count ? work.keys : share * (n + 1)); });
  // Each process has touched only the pages it wrote: let it meet the others' before it is timed.
  if (!meeting->barrier.Wait(count)) return "another process failed";
  worker.GetHits(work.keys / 16);
  run(kStageGet, [&] { worker.GetHits(share); });
  run(kStageMix, [&] { worker.Mixed(share); });
  return worker.error();
}

// Marks a point in a trace, by one system call that is easy to find.
void Mark(const std::string& text) {
  const std::string line = "---- " + text + "\n";
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

}  // namespace

bool MeasureTogether(const Options& options, unsigned count, Together* out) {
  const MapFile file(options.folder);
  ShfStore store(options.work, file.folder(), file.name());
  if (!store.Create()) {
    std::fprintf(stderr, "bench: create: %s\n", store.error().c_str());
    return false;
  }
  const Shared<Meeting> meeting;
  const bool good = RunProcesses(count, &meeting->barrier, [&](unsigned n) {
    return RunOne(options, file, n, count, &*meeting);
  });
  if (!good) return false;
  const auto rate = [&](Stage stage) {
    const uint64_t all = options.work.keys;
    const uint64_t operations = stage == kStagePut ? all : all / count * count;
    return static_cast<double>(operations) / meeting->Seconds(stage, count) / 1e6;
  };
  *out = {rate(kStagePut), rate(kStageGet), rate(kStageMix)};
  return true;
}

uint64_t MeasureEmpty(const Options& options) {
  const MapFile file(options.folder);
  ShfStore store(options.work, file.folder(), file.name());
  if (store.Create()) return store.FileBytes();
  std::fprintf(stderr, "bench: create: %s\n", store.error().c_str());
  return 0;
}

bool RunGetLoop(const Options& options) {
  const Workload& work = options.work;
  const MapFile file(options.folder);
  {
    ShfStore store(work, file.folder(), file.name());
    bool good = store.Create();
    Worker<ShfStore> worker(work, store, work.seed);
    worker.PutFresh(0, good ? work.keys : 0);
    good = good && worker.error().empty();
    if (!good) {
      std::fprintf(stderr, "bench: %s %s\n", worker.error().c_str(), store.error().c_str());
      return false;
    }
  }
  for (const bool read_only : {false, true}) {
    ShfStore store(work, file.folder(), file.name());
    if (!(read_only ? store.OpenReadOnly() : store.Open())) {
      std::fprintf(stderr, "bench: open: %s\n", store.error().c_str());
      return false;
    }
    Worker<ShfStore> worker(work, store, work.seed);
    const std::string what = std::to_string(options.get_loop) + " gets through a " +
                             (read_only ? "read-only" : "writable") + " handle";
    Mark("begin: " + what);
    worker.GetHits(options.get_loop);
    worker.GetMisses(options.get_loop);
    Mark("end: " + what + ", and as many that missed");
    if (!worker.error().empty()) {
      std::fprintf(stderr, "bench: %s\n", worker.error().c_str());
      return false;
    }
  }
  return true;
}

}  // namespace bench
