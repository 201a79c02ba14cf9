// How long single puts take while the table grows from empty.
//
// A pass of its own, so that reading the clock twice for each put weighs on no throughput. Beside
// it, on the next processor, a process does nothing but look at the clock: what it misses is what
// the machine took away from everybody.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "../context.hpp"
#include "../rust_maps.hpp"
#include "../worker.hpp"
#include "shf-bench-kit/src/lib.rs.h"

namespace bench {
namespace {

enum Figure : unsigned { kP50, kP99, kP999, kP9999, kMax, kMaxUndisturbed, kBeside, kFigures };
constexpr std::array<const char*, kFigures> kNames = {
    "p50", "p99", "p99.9", "p99.99", "max", "max, not preempted", "beside it: max"};
constexpr std::array<double, kMax> kShares = {0.5, 0.99, 0.999, 0.9999};
constexpr std::array<const char*, kMax + 1> kRustNames = {"p50", "p99", "p999", "p9999", "max"};
constexpr uint64_t kLongGap = 1'000'000;  // nanoseconds

struct Latencies {
  Barrier barrier;
  std::atomic<bool> ended{false};
  std::array<uint64_t, kFigures> nanoseconds = {};  // 0: not measured
  uint64_t long_gaps = 0;                           // of the one beside
  char rust_version[64] = {};
};

uint64_t Nanoseconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

long InvoluntarySwitches() {
  rusage usage;
  return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

void Spin(Latencies* out) {
  uint64_t last = Nanoseconds();
  while (!out->ended.load(std::memory_order_relaxed) && !out->barrier.broken()) {
    const uint64_t now = Nanoseconds();
    const uint64_t gap = now - last;
    last = now;
    out->nanoseconds[kBeside] = std::max(out->nanoseconds[kBeside], gap);
    if (gap > kLongGap) ++out->long_gaps;
  }
}

std::string PutAll(const Workload& work, const Way& way, Store* store, Latencies* out) {
  const std::unique_ptr<Session> session = store->Open();
  if (session == nullptr) return "open: " + store->error();
  Worker worker(work, way, session.get(), work.seed);
  rust::Box<kit::Histogram> histogram = kit::new_histogram();
  uint64_t& longest = out->nanoseconds[kMax];
  uint64_t& undisturbed = out->nanoseconds[kMaxUndisturbed];
  long switches = InvoluntarySwitches();
  for (uint64_t index = 0; index < work.keys; ++index) {
    const uint64_t start = Nanoseconds();
    worker.Put(index, work.value_bytes);
    const uint64_t took = Nanoseconds() - start;
    histogram->record(took);
    longest = std::max(longest, took);
    // The kernel is asked only for a put that would be the longest one.
    if (took > undisturbed) {
      const long switches_now = InvoluntarySwitches();
      if (switches_now == switches) undisturbed = took;
      switches = switches_now;
    }
  }
  for (unsigned n = 0; n < kMax; ++n) out->nanoseconds[n] = histogram->quantile(kShares[n]);
  return worker.error();
}

std::string AskRust(const Workload& work, const Peer& peer, const Options& options,
                    const cpu_set_t& allowed, Latencies* out) {
  std::vector<std::string> arguments = RustArguments(peer, work, options, 1);
  arguments.push_back("--latency");
  std::string error;
  const std::string text = RunRustProgram(options, arguments, allowed, &error);
  if (!error.empty()) return error;
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("latency_ns")) return "not an answer: " + text;
  for (unsigned n = 0; n < kRustNames.size(); ++n) {
    out->nanoseconds[n] = json["latency_ns"].value(kRustNames[n], uint64_t{0});
  }
  json.value("version", "").copy(out->rust_version, sizeof(out->rust_version) - 1);
  return "";
}

// One way of one peer.
void Measure(const Peer& peer, const Way& way, const std::string& run, Context* context) {
  const Workload& work = context->options.work;
  const std::string section = kSectionNames[kLatency];
  context->Begin(section + ", " + std::to_string(work.keys) + " keys" + run + ": " + way.name);
  std::unique_ptr<Place> place;
  if (peer.rust_store.empty()) {
    place = std::make_unique<Place>(peer, work, context->options.folder);
    if (!place->Create()) return context->Fail(way.name, section);
  }
  const cpu_set_t allowed = AllowedProcessors();
  const Shared<Latencies> result;
  const unsigned processes = CPU_COUNT(&allowed) > 1 ? 2 : 1;
  const bool good = RunProcesses(processes, &result->barrier, [&](unsigned n) -> std::string {
    if (!result->barrier.Wait(processes)) return "";
    if (n == 1) return Spin(&*result), "";
    const std::string error = place == nullptr
                                  ? AskRust(work, peer, context->options, allowed, &*result)
                                  : PutAll(work, way, &**place, &*result);
    result->ended.store(true);
    return error;
  });
  if (!good) return context->Fail(way.name, section);
  const Scene scene = {section, work.keys, work.value_bytes, 1};
  for (unsigned n = 0; n < kFigures; ++n) {
    if (result->nanoseconds[n] == 0) continue;
    context->Add(way.name, scene, kNames[n], kNanoseconds,
                 static_cast<double>(result->nanoseconds[n]));
  }
  context->results.Note(way.name + ", latency" + run + ": the process beside it missed " +
                        std::to_string(result->long_gaps) + " times more than 1 ms");
}

}  // namespace

void MeasureLatency(Context* context) {
  const Options& options = context->options;
  for (unsigned run = 0; run < options.runs; ++run) {
    for (const Peer& peer : context->peers) {
      for (const Way& way : peer.ways) {
        // A way so slow that it is measured with fewer operations is not measured again.
        const bool again = run > 0 && way.operations_max < options.work.keys;
        if (!way.latency || !options.Wants(way.name) || again || interrupted) continue;
        Measure(peer, way,
                ", run " + std::to_string(run + 1) + " of " + std::to_string(options.runs),
                context);
      }
    }
  }
}

}  // namespace bench
