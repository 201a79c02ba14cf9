// The file of the map that a benchmark works on.
#ifndef SHF_BENCH_MAP_FILE_HPP_
#define SHF_BENCH_MAP_FILE_HPP_

#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "shf/map.hpp"

namespace bench {

// Names a map file, and removes it at the end whatever happened in between.
class MapFile {
 public:
  explicit MapFile(std::string folder)
      : folder_(std::move(folder)), name_("bench-" + std::to_string(getpid())) {}
  ~MapFile() {
    const shf::Result<void> removed = shf::Map::Remove(folder_, name_);
    if (!removed.ok() && removed.status() != shf::Status::kNotFound) {
      std::fprintf(stderr, "bench: remove: %s\n", removed.text().c_str());
    }
  }
  MapFile(const MapFile&) = delete;
  MapFile& operator=(const MapFile&) = delete;
  const std::string& folder() const { return folder_; }
  const std::string& name() const { return name_; }

 private:
  const std::string folder_;
  const std::string name_;
};

}  // namespace bench

#endif  // SHF_BENCH_MAP_FILE_HPP_
