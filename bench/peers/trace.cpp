// Makes the requests that caches are measured with.
#include "trace.hpp"

#include <algorithm>

#include "random.hpp"
#include "shf-bench-kit/src/lib.rs.h"

namespace bench {

const std::vector<Pattern>& Patterns() {
  static const std::vector<Pattern> patterns = [] {
    std::vector<Pattern> all(8);
    all[0].name = "zipf 0.7";
    all[0].skew = 0.7;
    all[1].name = "zipf 0.9";
    all[1].skew = 0.9;
    all[1].brief = true;
    all[2].name = "zipf 1.0";
    all[2].skew = 1.0;
    all[3].name = "zipf 1.1";
    all[3].skew = 1.1;
    all[4].name = "zipf 0.9 and scans";
    all[4].skew = 0.9;
    all[4].scan_every_percent = 20;
    all[4].scan_percent = 10;
    all[4].brief = true;
    all[5].name = "zipf 0.9, 30 % once";
    all[5].skew = 0.9;
    all[5].once_percent = 30;
    all[6].name = "zipf 0.9, drifting";
    all[6].skew = 0.9;
    all[6].drift_every = 10;
    all[7].name = "zipf 0.9, mixed";
    all[7].skew = 0.9;
    all[7].mixed_sizes = true;
    return all;
  }();
  return patterns;
}

Trace MakeTrace(const Pattern& pattern, uint64_t keys, uint64_t requests, uint64_t seed) {
  Trace trace;
  trace.pattern = pattern;
  trace.requests.reserve(requests);
  const auto ranks = kit::zipf_numbers(keys, pattern.skew, seed, requests);
  const uint64_t scan_every = keys * pattern.scan_every_percent / 100;
  const uint64_t scan = keys * pattern.scan_percent / 100;
  Random random(seed);
  uint64_t once = keys;  // the next key that is wanted once
  uint64_t popular = 0;  // requests for others
  while (trace.requests.size() < requests) {
    if (random.Below(100) < pattern.once_percent) {
      trace.requests.push_back(once++);
      continue;
    }
    const uint64_t drift =
        pattern.drift_every > 0 ? trace.requests.size() / pattern.drift_every : 0;
    trace.requests.push_back((ranks[popular++] + keys - drift % keys) % keys);
    if (scan_every == 0 || popular % scan_every != 0) continue;
    const uint64_t left = requests - trace.requests.size();
    for (uint64_t n = std::min(scan, left); n > 0; --n) trace.requests.push_back(once++);
  }
  return trace;
}

}  // namespace bench
