// A std::unordered_map of strings in 256 shards, each behind a std::shared_mutex: what one writes
// who has no library for it.
#include <array>
#include <cstring>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "../peers.hpp"
#include "private_store.hpp"

namespace bench {
namespace {

class ShardedTable {
 public:
  bool Put(const Key& key, std::string_view value) {
    const std::string& made = Made(key);
    Shard& shard = ShardOf(made);
    const std::unique_lock<std::shared_mutex> lock(shard.mutex);
    shard.map[made].assign(value);
    return true;
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) {
    const std::string& made = Made(key);
    Shard& shard = ShardOf(made);
    const std::shared_lock<std::shared_mutex> lock(shard.mutex);
    const auto at = shard.map.find(made);
    if (at == shard.map.end()) return false;
    *bytes = at->second.size();
    std::memcpy(buffer, at->second.data(), at->second.size());
    return true;
  }
  bool Delete(const Key& key) {
    const std::string& made = Made(key);
    Shard& shard = ShardOf(made);
    const std::unique_lock<std::shared_mutex> lock(shard.mutex);
    return shard.map.erase(made) == 1;
  }

 private:
  static constexpr size_t kShards = 256;
  struct alignas(64) Shard {
    std::shared_mutex mutex;
    std::unordered_map<std::string, std::string> map;
  };

  // By the upper bits of the hash: the map in the shard uses all of them.
  Shard& ShardOf(const std::string& key) {
    return shards_[std::hash<std::string>()(key) >> 56 & (kShards - 1)];
  }
  // In the same memory each time.
  static const std::string& Made(const Key& key) {
    thread_local std::string made;
    made.assign(key.view());
    return made;
  }

  std::array<Shard, kShards> shards_;
};

}  // namespace

Peer ShardedPeer() {
  Way way;
  way.name = "sharded std::unordered_map";
  way.configuration =
      "Threads of one process. 256 maps from std::string to std::string, each behind a "
      "std::shared_mutex. Memory is what the process grew by.";
  way.latency = true;
  Peer peer;
  peer.ways = {way};
  peer.kind = Kind::kThreads;
  peer.version = "libstdc++ " + std::to_string(_GLIBCXX_RELEASE);
  peer.make = [](const Workload&, const std::string&) {
    return std::make_unique<PrivateStore<ShardedTable>>();
  };
  return peer;
}

}  // namespace bench
