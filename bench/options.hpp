// What the benchmark is asked to do.
#ifndef SHF_BENCH_OPTIONS_HPP_
#define SHF_BENCH_OPTIONS_HPP_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace bench {

struct Options {
  uint64_t keys = 10'000'000;
  size_t key_bytes = 16;
  size_t value_bytes = 100;
  size_t value_bytes_max = 0;  // at least value_bytes after parsing; sizes in between are as likely
  unsigned processes = 0;      // at least 1 after parsing
  double skew = 0;             // exponent of the Zipf distribution of MIX and GET; 0: uniform
  uint64_t seed = 1;
  std::string folder = "/dev/shm";
  std::string json;  // empty: no file
};

// Reads a command line. A number is what the program should end with: something was wrong, or help
// was asked for; either is printed.
std::optional<int> ParseOptions(int argc, char** argv, Options* options);

}  // namespace bench

#endif  // SHF_BENCH_OPTIONS_HPP_
