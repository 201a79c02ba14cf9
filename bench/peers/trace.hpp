// The requests that caches are measured with. A request wants the value of one key; a cache that
// misses it is given the value.
#ifndef SHF_BENCH_PEERS_TRACE_HPP_
#define SHF_BENCH_PEERS_TRACE_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "workload.hpp"

namespace bench {

// What decides about a trace. Of the keys that come again, the r-th in order of popularity is
// wanted in proportion to 1 / r^skew; those of scans, and others that are wanted once, never come
// again.
struct Pattern {
  std::string name;
  double skew = 0;            // above 0, at most 20
  unsigned once_percent = 0;  // of the requests, each for a key that is wanted once
  // After so many hundredths of the keys were wanted, a scan over so many hundredths of them.
  unsigned scan_every_percent = 0;  // 0: there are no scans
  unsigned scan_percent = 0;
  unsigned drift_every = 0;  // after so many requests all popularities move on by one key; 0: never
  bool mixed_sizes = false;  // whether values have from half of the bytes to half more
  bool brief = false;        // whether slow caches are measured with it, too
};

struct Trace {
  Pattern pattern;
  std::vector<uint64_t> requests;  // indexes of keys

  uint64_t ValueBytes(const Workload& work, uint64_t index) const {
    return pattern.mixed_sizes ? SizeOf(work, index, 0) : work.value_bytes;
  }
};

// All patterns, in the order in which they are measured.
const std::vector<Pattern>& Patterns();

// So many requests for so many keys, those that are wanted once not counted. The same seed makes
// the same ones.
Trace MakeTrace(const Pattern& pattern, uint64_t keys, uint64_t requests, uint64_t seed);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_TRACE_HPP_
