// What the section about hit rates asks of a cache: something that holds a part of what it is
// given.
#ifndef SHF_BENCH_PEERS_CACHE_HPP_
#define SHF_BENCH_PEERS_CACHE_HPP_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store.hpp"
#include "workload.hpp"

namespace bench {

// What is in a cache.
struct Held {
  uint64_t keys = 0;
  uint64_t bytes = 0;  // of keys and values
};

// Made in the process that starts the one that opens and uses it. After any of its calls error()
// says what went wrong.
class Cache : public Fallible {
 public:
  virtual ~Cache() = default;
  // Makes it ready, and empty.
  virtual bool Open() = 0;
  // Whether the key is there. The value is read as a user would read it.
  virtual bool Get(uint64_t index) = 0;
  // Puts a key that is not there; others may go. False: it failed.
  virtual bool Put(uint64_t index, uint64_t value_bytes) = 0;
  virtual Held Measure() = 0;
};

struct CachePeer {
  std::string name;
  std::string configuration;  // in sentences
  Kind kind = Kind::kThreads;
  std::string version;
  std::string missing;  // why it cannot be measured; empty: it can
  bool slow = false;    // whether all traces would take hours
  // One that will hold about so much.
  std::function<std::unique_ptr<Cache>(const Workload&, const Held& room,
                                       const std::string& folder)>
      make;
};

// Each in a file of its own in caches/.
CachePeer ShfCache();
CachePeer LruCache();
std::vector<CachePeer> RedisCaches();

// All of them. Ours is the first: the others get as much room as it turns out to have.
std::vector<CachePeer> AllCaches();

}  // namespace bench

#endif  // SHF_BENCH_PEERS_CACHE_HPP_
