// tbb::concurrent_hash_map, values in a std::string each, growing from empty.
#include "../peers.hpp"

#ifdef SHF_BENCH_TBB
#include <tbb/concurrent_hash_map.h>
#include <tbb/version.h>

#include <cstring>
#include <functional>

#include "private_store.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_TBB
namespace {

// The key types to measure it with. A std::string is what holds any bytes, as our map does; the
// fixed array is a special case in TBB's favour: 16 bytes inside the node, no second allocation.
// Neither allocates on a lookup.
struct StringKey {
  using Type = std::string;
  static void Assign(const Key& key, Type* out) { out->assign(key.view()); }
  static std::string_view View(const Type& key) { return key; }
};
struct ArrayKey {
  using Type = Key;
  static void Assign(const Key& key, Type* out) { *out = key; }
  static std::string_view View(const Type& key) { return key.view(); }
};

template <typename KeyKind>
class TbbTable {
 public:
  bool Put(const Key& key, std::string_view value) {
    typename Table::accessor at;
    table_.insert(at, Made(key));
    at->second.assign(value);
    return true;
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) {
    typename Table::const_accessor at;
    if (!table_.find(at, Made(key))) return false;
    *bytes = at->second.size();
    std::memcpy(buffer, at->second.data(), at->second.size());
    return true;
  }
  bool Delete(const Key& key) { return table_.erase(Made(key)); }

 private:
  using Type = typename KeyKind::Type;
  struct HashCompare {
    size_t hash(const Type& key) const { return std::hash<std::string_view>()(KeyKind::View(key)); }
    bool equal(const Type& a, const Type& b) const { return KeyKind::View(a) == KeyKind::View(b); }
  };
  using Table = tbb::concurrent_hash_map<Type, std::string, HashCompare>;

  // In the same memory each time.
  static const Type& Made(const Key& key) {
    thread_local Type made{};
    KeyKind::Assign(key, &made);
    return made;
  }

  Table table_;
};

}  // namespace
#endif

Peer TbbPeer([[maybe_unused]] bool array_key) {
  Way way;
  way.name = "TBB concurrent_hash_map";
  way.configuration =
      std::string("Threads of one process. ") +
      (array_key ? "Keys are fixed arrays, " : "Keys are std::string, ") +
      "values std::string, with the C++ library's hash. Memory is what the process grew by.";
  way.latency = true;
  Peer peer;
  peer.ways = {way};
  peer.kind = Kind::kThreads;
  peer.grows = true;
  peer.grows_keys_max = 10'000'000;
#ifdef SHF_BENCH_TBB
  peer.version = TBB_VERSION_STRING;
  peer.make = [array_key](const Workload&, const std::string&) -> std::unique_ptr<Store> {
    if (array_key) return std::make_unique<PrivateStore<TbbTable<ArrayKey>>>();
    return std::make_unique<PrivateStore<TbbTable<StringKey>>>();
  };
#else
  peer.missing = "it was built without the package libtbb-dev";
#endif
  return peer;
}

}  // namespace bench
