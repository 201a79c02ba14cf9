// What the benchmarks' JSON files have in common.
#ifndef SHF_BENCH_JSON_HPP_
#define SHF_BENCH_JSON_HPP_

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

// False: the file could not be written.
inline bool WriteJsonFile(const std::string& path, const nlohmann::json& json) {
  std::ofstream out(path);
  out << json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  return static_cast<bool>(out.flush());
}

}  // namespace bench

#endif  // SHF_BENCH_JSON_HPP_
