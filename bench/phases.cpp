// Runs the phases in one process and times each operation.
#include "phases.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "payload.hpp"
#include "shf/map.hpp"

namespace bench {
namespace {

// Skewed indexes are drawn before the clock runs; so many at most, which are then used over and
// over.
constexpr uint64_t kSkewedIndexesMax = 1 << 24;

class Worker {
 public:
  Worker(const Options& options, unsigned n, shf::Map map)
      : options_(options),
        n_(n),
        map_(std::move(map)),
        payload_(options),
        random_(options.seed + n + 1),
        spread_(options.keys, options.seed),
        found_(options.value_bytes_max) {
    if (options.skew > 0) {
      const uint64_t count = 2 * options.keys / options.processes + 1;
      skewed_ = kit::zipf_numbers(options.keys, options.skew, options.seed + n + 1,
                                  std::min(count, kSkewedIndexesMax));
    }
  }

  std::string Run(Barrier* barrier, Report* report) {
    const uint64_t first = options_.keys * n_ / options_.processes;
    const uint64_t end = options_.keys * (n_ + 1) / options_.processes;
    const uint64_t count = end - first;
    Time(kPut, count, barrier, report, [&](uint64_t i) { Put(first + i); });
    Time(kMix, count, barrier, report, [&](uint64_t) { Mix(NextIndex()); });
    Time(kGet, count, barrier, report, [&](uint64_t) { Get(NextIndex(), false); });
    return error_;
  }

 private:
  // The end of one operation is the beginning of the next, so that the clock is read once for each;
  // what makes key and value is timed with it.
  template <typename Operation>
  void Time(Phase phase, uint64_t count, Barrier* barrier, Report* report, Operation operation) {
    if (!error_.empty() || !barrier->Wait(options_.processes)) return;
    PhaseReport& result = report->phases[phase];
    report->phase.store(phase, std::memory_order_release);
    rust::Box<kit::Histogram> histogram = kit::new_histogram();
    uint64_t now = NowNs();
    result.start = now;
    for (uint64_t i = 0; i < count && error_.empty(); ++i) {
      operation(i);
      const uint64_t took = NowNs() - now;
      now += took;
      histogram->record(took);
      result.longest = std::max(result.longest, took);
      result.operations.store(i + 1, std::memory_order_relaxed);
    }
    result.end = now;
    const rust::Vec<kit::Cell> cells = histogram->cells();
    result.cells = std::min(cells.size(), PhaseReport::kCells);
    std::copy_n(cells.begin(), result.cells, result.latencies.begin());
    result.stats = *map_.GetStats();
  }

  uint64_t NextIndex() {
    if (skewed_.empty()) return random_.Below(options_.keys);
    // The most wanted keys are spread over all processes' parts.
    const uint64_t rank = skewed_[next_++ % skewed_.size()];
    return spread_.At(rank);
  }

  void Put(uint64_t index) {
    const shf::Result<shf::Placed> placed = map_.Put(payload_.Key(index), payload_.Value(index));
    if (!placed.ok()) Fail("put", index, placed.text());
  }
  void Get(uint64_t index, bool may_be_absent) {
    const shf::Result<size_t> got = map_.Get(payload_.Key(index), found_.data(), found_.size());
    if (got.absent() && may_be_absent) return;
    if (!got.ok()) return Fail("get", index, got.absent() ? "the key is missing" : got.text());
    if (!payload_.IsValue(index, found_.data(), *got)) Fail("get", index, "another key's value");
  }
  void Mix(uint64_t index) {
    if (random_.Below(kUpdateEvery) != 0) return Get(index, true);
    const shf::Result<bool> deleted = map_.Delete(payload_.Key(index));
    if (!deleted.ok()) return Fail("delete", index, deleted.text());
    Put(index);
  }
  [[gnu::cold, gnu::noinline]] void Fail(const char* what, uint64_t index, const std::string& why) {
    error_ = std::string(what) + " of key " + std::to_string(index) + ": " + why;
  }

  const Options& options_;
  const unsigned n_;
  const shf::Map map_;
  Payload payload_;
  Random random_;
  const Shuffle spread_;
  rust::Vec<uint64_t> skewed_;
  size_t next_ = 0;
  std::vector<char> found_;
  std::string error_;
};

}  // namespace

std::string RunPhases(const Options& options, const std::string& map_name, unsigned n,
                      Barrier* barrier, Report* report) {
  shf::Result<shf::Map> map = shf::Map::Open(options.folder, map_name);
  if (!map.ok()) return "open: " + map.text();
  return Worker(options, n, std::move(map).value()).Run(barrier, report);
}

}  // namespace bench
