// Gets from our map under observation.
#ifndef SHF_BENCH_PEERS_GET_LOOP_HPP_
#define SHF_BENCH_PEERS_GET_LOOP_HPP_

#include "options.hpp"

namespace bench {

// Gets after attaching, between two marks on standard error, for a look with strace or perf. False:
// failed, which was said.
bool RunGetLoop(const Options& options);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_GET_LOOP_HPP_
