// What one process of the benchmark does, and what it leaves in shared memory about it.
#ifndef SHF_BENCH_PHASES_HPP_
#define SHF_BENCH_PHASES_HPP_

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "options.hpp"
#include "processes.hpp"
#include "shf-bench-kit/src/lib.rs.h"

namespace bench {

enum Phase : unsigned { kPut, kMix, kGet, kPhases };
constexpr std::array<const char*, kPhases> kPhaseNames = {"PUT", "MIX", "GET"};
// One in this many operations of MIX deletes its key and puts it again, which counts as one.
constexpr uint64_t kUpdateEvery = 50;

// What a process did in one phase. Times are in nanoseconds on the system's monotonic clock.
struct PhaseReport {
  // Cells that a histogram of two digits up to an hour can have.
  static constexpr size_t kCells = 4608;

  uint64_t operations = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t longest = 0;
  size_t cells = 0;  // of latencies in use
  std::array<kit::Cell, kCells> latencies = {};
};

// What one process tells the one that waits for it.
struct Report {
  alignas(64) std::atomic<uint64_t> operations{0};  // in all phases up to now
  std::atomic<unsigned> phase{kPut};
  alignas(64) uint64_t retries = 0;  // looks that its gets made again
  std::array<PhaseReport, kPhases> phases = {};
};

// Works through all phases as process number n, on a map that exists. Returns what went wrong, or
// nothing.
std::string RunPhases(const Options& options, const std::string& map_name, unsigned n,
                      Barrier* barrier, Report* report);

}  // namespace bench

#endif  // SHF_BENCH_PHASES_HPP_
