// What the comparison is asked to do.
#ifndef SHF_BENCH_PEERS_OPTIONS_HPP_
#define SHF_BENCH_PEERS_OPTIONS_HPP_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "workload.hpp"

namespace bench {

// The parts of the comparison, in the order in which they run.
enum Section : unsigned {
  kCore,
  kLimit,
  kLatency,
  kMemory,
  kAttach,
  kLock,
  kCounters,
  kOperations,
  kHits,
  kWider,
  kGrowth,
  kSections,
};
constexpr std::array<const char*, kSections> kSectionNames = {
    "core",     "limit",      "latency", "memory", "attach", "lock",
    "counters", "operations", "hits",    "wider",  "growth"};
// Those that run unless some are named: the core run.
constexpr unsigned kSectionsByDefault = kOperations + 1;

struct Options {
  Workload work;
  unsigned runs = 3;
  std::string folder = "/dev/shm";
  std::string json;
  std::string rust_maps;           // path of the Rust program; empty: there is none
  std::vector<std::string> peers;  // parts of names; empty: all
  uint64_t get_loop = 0;
  bool tbb_array_key = false;
  std::array<bool, kSections> wanted{};

  // Whether results of this name are asked for.
  bool Wants(const std::string& name) const;
};

// Reads a command line. A number is what the program should end with: something was wrong, or help
// was asked for; either is printed.
std::optional<int> ParseOptions(int argc, char** argv, Options* options);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_OPTIONS_HPP_
