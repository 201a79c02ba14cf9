// What came out, as a table for people and as JSON for programs.
#ifndef SHF_BENCH_SUMMARY_HPP_
#define SHF_BENCH_SUMMARY_HPP_

#include <array>
#include <cstdint>
#include <vector>

#include "options.hpp"
#include "phases.hpp"
#include "processes.hpp"
#include "shf/map.hpp"

namespace bench {

// All processes' work in one phase. Latencies are in nanoseconds.
struct PhaseSummary {
  uint64_t operations = 0;
  double seconds = 0;  // from when the first process started until the last one ended
  uint64_t p50 = 0;
  uint64_t p99 = 0;
  uint64_t p999 = 0;
  uint64_t longest = 0;

  double mops() const { return seconds > 0 ? static_cast<double>(operations) / seconds / 1e6 : 0; }
};

struct Summary {
  std::array<PhaseSummary, kPhases> phases;
  uint64_t payload_bytes = 0;  // of all keys and values
  uint64_t retries = 0;        // looks that gets made again
  shf::Stats stats;

  double memory_over_payload() const {
    return static_cast<double>(stats.committed_bytes) / static_cast<double>(payload_bytes);
  }
};

Summary Summarise(const Options& options, const std::vector<Shared<Report>>& reports,
                  const shf::Stats& stats);
void PrintSummary(const Summary& summary);
// Where it was asked for. False: the file could not be written, which has been said.
bool WriteJson(const Options& options, const Summary& summary);

}  // namespace bench

#endif  // SHF_BENCH_SUMMARY_HPP_
