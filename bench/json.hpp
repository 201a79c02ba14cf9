// What the benchmarks' JSON files have in common.
#ifndef SHF_BENCH_JSON_HPP_
#define SHF_BENCH_JSON_HPP_

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "machine.hpp"

namespace bench {

inline nlohmann::json MachineJson(const Machine& machine) {
  return {{"processor", machine.processor},
          {"processors", machine.processors},
          {"kernel", machine.kernel},
          {"load", machine.load}};
}

// What was measured, as CMake knows it.
inline nlohmann::json BuildJson() {
  return {{"version", SHF_BENCH_VERSION},
          {"type", SHF_BENCH_BUILD_TYPE},
          {"compiler", SHF_BENCH_COMPILER},
          {"rustc", SHF_BENCH_RUSTC}};
}

// An empty path is none. False: the file could not be written, which has been said.
inline bool WriteJsonFile(const std::string& path, const nlohmann::json& json) {
  if (path.empty()) return true;
  std::ofstream out(path);
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  if (out.flush()) return true;
  std::fprintf(stderr, "bench: cannot write %s\n", path.c_str());
  return false;
}

}  // namespace bench

#endif  // SHF_BENCH_JSON_HPP_
