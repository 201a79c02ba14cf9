// The stores that the benchmark compares, behind the interface that workload.hpp asks for.
#ifndef SHF_BENCH_STORES_HPP_
#define SHF_BENCH_STORES_HPP_

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "shf/map.hpp"
#include "workload.hpp"

#ifdef SHF_BENCH_TBB
#include <tbb/concurrent_hash_map.h>
#endif

namespace bench {

// A shf::Map in a file of its own, with default options: it grows from empty.
class ShfStore {
 public:
  static constexpr char kName[] = "shf::Map";

  ShfStore(const Workload& work, std::string folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)), value_bytes_max_(work.bytes_most()) {}

  bool Create() { return Take(shf::Map::Create(folder_, name_)); }
  bool Open() { return Take(shf::Map::Open(folder_, name_)); }
  bool OpenReadOnly() { return Take(shf::Map::OpenReadOnly(folder_, name_)); }

  bool Put(const Key& key, std::string_view value) {
    const shf::Result<shf::Placed> placed = map_.Put(key.view(), value);
    if (!placed.ok()) error_ = placed.text();
    return placed.ok();
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) {
    const shf::Result<size_t> found = map_.Get(key.view(), buffer, value_bytes_max_);
    if (!found.ok()) return Missed(found.error());
    *bytes = *found;
    return true;
  }
  // Real bytes that the map says it takes.
  uint64_t Bytes() const {
    const shf::Result<shf::Stats> stats = map_.GetStats();
    return stats.ok() ? stats->committed_bytes : 0;
  }
  // Real bytes that the file system says the file takes.
  uint64_t FileBytes() const {
    struct stat file;
    const std::string path = folder_ + "/" + name_ + ".shf";
    return stat(path.c_str(), &file) == 0 ? static_cast<uint64_t>(file.st_blocks) * 512 : 0;
  }
  const std::string& error() const { return error_; }

 private:
  bool Take(shf::Result<shf::Map> opened) {
    if (!opened.ok()) error_ = opened.text();
    map_ = std::move(opened).value();
    return map_.attached();
  }
  [[gnu::noinline]] bool Missed(const shf::Error& error) {
    if (error.status != shf::Status::kAbsent) error_ = error.text;
    return false;
  }

  const std::string folder_;
  const std::string name_;
  const uint64_t value_bytes_max_;
  shf::Map map_;
  std::string error_;
};

#ifdef SHF_BENCH_TBB

// The key types to measure TBB with. A std::string is what holds any bytes, as shf::Map does; the
// fixed array is a special case in TBB's favour: 16 bytes inside the node, no second allocation.
// Neither allocates on a lookup.
struct StringKey {
  using Type = std::string;
  static constexpr char kName[] = "TBB string";
  static void Assign(const Key& key, Type* out) { out->assign(key.view()); }
  static std::string_view View(const Type& key) { return key; }
};
struct ArrayKey {
  using Type = Key;
  static constexpr char kName[] = "TBB 16-byte key";
  static void Assign(const Key& key, Type* out) { *out = key; }
  static std::string_view View(const Type& key) { return key.view(); }
};

// A tbb::concurrent_hash_map in the private memory of one process, values in a std::string each,
// with the C++ library's hash of all 16 bytes, growing from empty.
template <typename KeyKind>
class TbbStore {
 public:
  static constexpr const char* kName = KeyKind::kName;

  // Takes what ShfStore takes, of which it needs nothing.
  TbbStore(const Workload&, const std::string&, const std::string&) {}

  bool Create() {
    bytes_before_ = PrivateBytes();
    return true;
  }
  bool Put(const Key& key, std::string_view value) {
    KeyKind::Assign(key, &key_);
    typename Table::accessor at;
    table_.insert(at, key_);
    at->second.assign(value);
    return true;
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) {
    KeyKind::Assign(key, &key_);
    typename Table::const_accessor at;
    if (!table_.find(at, key_)) return false;
    *bytes = at->second.size();
    std::memcpy(buffer, at->second.data(), at->second.size());
    return true;
  }
  // What the process's private memory has grown by.
  uint64_t Bytes() const { return PrivateBytes() - bytes_before_; }
  uint64_t FileBytes() const { return Bytes(); }
  const std::string& error() const { return error_; }

 private:
  struct HashCompare {
    size_t hash(const typename KeyKind::Type& key) const {
      return std::hash<std::string_view>()(KeyKind::View(key));
    }
    bool equal(const typename KeyKind::Type& a, const typename KeyKind::Type& b) const {
      return KeyKind::View(a) == KeyKind::View(b);
    }
  };
  using Table = tbb::concurrent_hash_map<typename KeyKind::Type, std::string, HashCompare>;

  static uint64_t PrivateBytes() {
    unsigned long pages = 0, resident = 0, shared = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    const int read = std::fscanf(file, "%lu %lu %lu", &pages, &resident, &shared);
    std::fclose(file);
    return read == 3 ? (resident - shared) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
  }

  Table table_;
  typename KeyKind::Type key_{};
  uint64_t bytes_before_ = 0;
  std::string error_;
};

#endif  // SHF_BENCH_TBB

}  // namespace bench

#endif  // SHF_BENCH_STORES_HPP_
