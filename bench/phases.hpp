// What one process of the benchmark does, and what it leaves in shared memory about it.
#ifndef SHF_BENCH_PHASES_HPP_
#define SHF_BENCH_PHASES_HPP_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "options.hpp"
#include "processes.hpp"
#include "shf-bench-kit/src/lib.rs.h"
#include "shf/map.hpp"

namespace bench {

enum Phase : unsigned { kPut, kMix, kGet, kPhases };
constexpr std::array<const char*, kPhases> kPhaseNames = {"PUT", "MIX", "GET"};
// One in this many operations of MIX deletes its key and puts it again, which counts as one.
constexpr uint64_t kUpdateEvery = 50;

// Nanoseconds on the system's monotonic clock.
inline uint64_t NowNs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

// What a process did in one phase. Others read all but `operations` when it has ended.
struct PhaseReport {
  // Cells that a histogram of two digits up to an hour can have.
  static constexpr size_t kCells = 4608;

  alignas(64) std::atomic<uint64_t> operations{0};  // up to now
  uint64_t start = 0;                               // both by NowNs()
  uint64_t end = 0;
  uint64_t longest = 0;
  size_t cells = 0;  // of latencies in use
  std::array<kit::Cell, kCells> latencies = {};
  shf::Stats stats;  // of the map after the end
};

// What one process tells the one that waits for it.
struct Report {
  // Stored with release when all processes have ended the phase before: who loads it with acquire
  // may read all that they wrote about that one.
  std::atomic<unsigned> phase{kPut};
  std::array<PhaseReport, kPhases> phases = {};
};

// Works through all phases as process number n, on a map that exists. Returns what went wrong, or
// nothing.
std::string RunPhases(const Options& options, const std::string& map_name, unsigned n,
                      Barrier* barrier, Report* report);

}  // namespace bench

#endif  // SHF_BENCH_PHASES_HPP_
