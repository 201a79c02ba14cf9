// The rows as tables for people and as JSON for programs.
#ifndef SHF_BENCH_PEERS_REPORT_HPP_
#define SHF_BENCH_PEERS_REPORT_HPP_

#include <vector>

#include "context.hpp"

namespace bench {

// What the figures will be measured on, and how.
void PrintHeading(const Options& options);
// Medians, and how the peers relate to our map; then what was skipped.
void PrintTables(const Context& context);
// Every run by itself, where it was asked for. False: the file could not be written, which has been
// said.
bool WriteJson(const Context& context);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_REPORT_HPP_
