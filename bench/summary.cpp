// Adds up the processes' reports, and writes what came out.
#include "summary.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "json.hpp"
#include "machine.hpp"
#include "payload.hpp"

namespace bench {
namespace {

PhaseSummary SummarisePhase(const std::vector<Shared<Report>>& reports, unsigned phase) {
  PhaseSummary summary;
  uint64_t start = std::numeric_limits<uint64_t>::max();
  uint64_t end = 0;
  rust::Box<kit::Histogram> latencies = kit::new_histogram();
  for (const Shared<Report>& report : reports) {
    const PhaseReport& part = report->phases[phase];
    summary.operations += part.operations.load(std::memory_order_relaxed);
    summary.longest = std::max(summary.longest, part.longest);
    start = std::min(start, part.start);
    end = std::max(end, part.end);
    latencies->add({part.latencies.data(), part.cells});
  }
  summary.seconds = static_cast<double>(end - start) / 1e9;
  summary.p50 = latencies->quantile(0.5);
  summary.p99 = latencies->quantile(0.99);
  summary.p999 = latencies->quantile(0.999);
  return summary;
}

nlohmann::json PhaseJson(const PhaseSummary& phase) {
  return {
      {"operations", phase.operations},
      {"seconds", phase.seconds},
      {"million_operations_per_second", phase.mops()},
      {"latency_ns",
       {{"p50", phase.p50}, {"p99", phase.p99}, {"p99.9", phase.p999}, {"max", phase.longest}}}};
}

}  // namespace

Summary Summarise(const Options& options, const std::vector<Shared<Report>>& reports,
                  const shf::Stats& stats) {
  Summary summary;
  summary.stats = stats;
  for (unsigned phase = 0; phase < kPhases; ++phase) {
    summary.phases[phase] = SummarisePhase(reports, phase);
  }
  for (const Shared<Report>& report : reports) {
    summary.retries += report->phases[kGet].stats.retries;
  }
  const Payload payload(options);
  for (uint64_t index = 0; index < options.keys; ++index) {
    summary.payload_bytes += options.key_bytes + payload.ValueBytes(index);
  }
  return summary;
}

void PrintSummary(const Summary& summary) {
  std::printf("\n%12s %9s %9s %12s %9s %9s %9s\n", "operations", "seconds", "M ops/s",
              "latency: p50", "p99", "p99.9", "max us");
  for (unsigned i = 0; i < kPhases; ++i) {
    const PhaseSummary& phase = summary.phases[i];
    const auto us = [](uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e3; };
    std::printf("%s%9" PRIu64 " %9.2f %9.2f %12.2f %9.2f %9.2f %9.0f\n", kPhaseNames[i],
                phase.operations, phase.seconds, phase.mops(), us(phase.p50), us(phase.p99),
                us(phase.p999), us(phase.longest));
  }
  const shf::Stats& stats = summary.stats;
  std::printf("\nmemory %.1f MiB for %.1f MiB of keys and values: %.3f times as much\n",
              static_cast<double>(stats.committed_bytes) / (1 << 20),
              static_cast<double>(summary.payload_bytes) / (1 << 20),
              summary.memory_over_payload());
  std::printf("%" PRIu64 " splits, %" PRIu64 " records moved, %" PRIu64 " repairs, %" PRIu64
              " retries of gets\n",
              stats.splits, stats.moved_records, stats.repairs, summary.retries);
}

bool WriteJson(const Options& options, const Summary& summary) {
  nlohmann::json json = {{"machine", MachineJson(ThisMachine())},
                         {"build", BuildJson()},
                         {"options",
                          {{"keys", options.keys},
                           {"key_bytes", options.key_bytes},
                           {"value_bytes", options.value_bytes},
                           {"value_bytes_max", options.value_bytes_max},
                           {"processes", options.processes},
                           {"skew", options.skew},
                           {"seed", options.seed},
                           {"folder", options.folder}}},
                         {"memory",
                          {{"committed_bytes", summary.stats.committed_bytes},
                           {"payload_bytes", summary.payload_bytes},
                           {"ratio", summary.memory_over_payload()}}},
                         {"splits", summary.stats.splits},
                         {"moved_records", summary.stats.moved_records},
                         {"repairs", summary.stats.repairs},
                         {"retries", summary.retries}};
  for (unsigned phase = 0; phase < kPhases; ++phase) {
    json["phases"][kPhaseNames[phase]] = PhaseJson(summary.phases[phase]);
  }
  return WriteJsonFile(options.json, json);
}

}  // namespace bench
