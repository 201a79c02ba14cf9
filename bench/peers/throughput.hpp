// Operations a second: one table, loaded and worked on by processes or threads that start each
// phase together.
#ifndef SHF_BENCH_PEERS_THROUGHPUT_HPP_
#define SHF_BENCH_PEERS_THROUGHPUT_HPP_

#include <string>
#include <vector>

#include "context.hpp"
#include "row.hpp"
#include "workload.hpp"

namespace bench {

struct Plan {
  Workload work;
  std::string section;
  unsigned processes = 1;
  std::vector<Phase> phases = {kPut, kGet, kZipf, kMiss, kMix, kUpdate, kResize};
  bool with_memory = false;  // whether bytes a key are measured after the load

  Scene scene() const { return {section, work.keys, work.value_bytes, processes}; }
};

// Measures one peer in all its ways, and adds a row for each phase of each way.
void MeasureThroughput(const Plan& plan, const Peer& peer, Context* context);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_THROUGHPUT_HPP_
