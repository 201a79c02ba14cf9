// What the memory of the machine allows: a store that does one random access to a record for each
// operation, and nothing else, would be as fast.
//
// The accesses go to a file in the same folder, as large as keys and values are together, that was
// written before. Dependent ones wait for each other, as one get after another does when the next
// key comes from the value; prefetched ones are 32 at a time under way together.
#ifndef SHF_BENCH_PEERS_MACHINE_LIMIT_HPP_
#define SHF_BENCH_PEERS_MACHINE_LIMIT_HPP_

#include <string>

#include "context.hpp"
#include "workload.hpp"

namespace bench {

inline constexpr char kMachine[] = "machine";
inline constexpr char kLimitConfiguration[] =
    "Random reads and copies in a shared mapping of a file in the same folder, as large as all "
    "keys "
    "and values, and written before. Dependent: each place depends on what was read before it. "
    "Prefetched: 32 places are prefetched, then read.";

// Adds the rows of the reads only, to any section.
void MeasureReads(const Workload& work, const std::string& section, Context* context);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_MACHINE_LIMIT_HPP_
