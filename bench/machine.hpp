// The machine that the figures are measured on.
#ifndef SHF_BENCH_MACHINE_HPP_
#define SHF_BENCH_MACHINE_HPP_

#include <cstdint>
#include <string>

namespace bench {

struct Machine {
  std::string processor = "unknown processor";
  std::string kernel;
  long processors = 0;
  double load = 0;  // processes that ran or waited during the last minute
};

Machine ThisMachine();
void PrintMachine(const Machine& machine);

// Whether this many bytes of memory are available; otherwise says so on standard error. The kernel
// ends whom it likes when memory runs out, so a benchmark declines first.
bool FitsIntoMemory(uint64_t bytes);

}  // namespace bench

#endif  // SHF_BENCH_MACHINE_HPP_
