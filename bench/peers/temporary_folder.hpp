// A folder for one measurement, with a name that nobody else has.
#ifndef SHF_BENCH_PEERS_TEMPORARY_FOLDER_HPP_
#define SHF_BENCH_PEERS_TEMPORARY_FOLDER_HPP_

#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace bench {

// Removes the folder and what is in it at the end, whatever happened in between.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& parent) : path_(parent + "/shf-bench-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) {
      throw std::system_error(errno, std::generic_category(), "a folder in " + parent);
    }
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Real bytes that the file system says a file takes.
inline uint64_t FileBytes(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? static_cast<uint64_t>(file.st_blocks) * 512 : 0;
}

}  // namespace bench

#endif  // SHF_BENCH_PEERS_TEMPORARY_FOLDER_HPP_
