// The figures as a table for people and as JSON for programs.
#ifndef SHF_BENCH_REPORT_HPP_
#define SHF_BENCH_REPORT_HPP_

#include <cstdio>

#include "measure.hpp"

namespace bench {

// What the figures were measured on, and how.
void PrintHeading(const Options& options);
// Medians over the runs, and how shf::Map relates to TBB.
void PrintTable(const Options& options, const Figures& figures);
// Every run by itself, where it was asked for. False: the file could not be written, which has been
// said.
bool WriteJson(const Options& options, const Figures& figures);

}  // namespace bench

#endif  // SHF_BENCH_REPORT_HPP_
