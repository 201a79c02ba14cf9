// A cache that evicts exactly what was not wanted for the longest time: what others are measured
// by.
#include <list>
#include <unordered_map>

#include "../cache.hpp"

namespace bench {
namespace {

class Lru : public Cache {
 public:
  explicit Lru(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  bool Open() override { return true; }
  bool Get(uint64_t index) override {
    const auto found = places_.find(index);
    if (found == places_.end()) return false;
    entries_.splice(entries_.begin(), entries_, found->second);
    return true;
  }
  bool Put(uint64_t index, uint64_t value_bytes) override {
    entries_.push_front({index, kKeyBytes + value_bytes});
    places_[index] = entries_.begin();
    bytes_ += entries_.front().bytes;
    while (bytes_ > bytes_max_) {
      bytes_ -= entries_.back().bytes;
      places_.erase(entries_.back().index);
      entries_.pop_back();
    }
    return true;
  }
  Held Measure() override { return {entries_.size(), bytes_}; }

 private:
  struct Entry {
    uint64_t index;
    uint64_t bytes;  // of key and value
  };

  const uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::list<Entry> entries_;  // the one that was wanted last is the first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> places_;
};

}  // namespace

CachePeer LruCache() {
  CachePeer peer;
  peer.name = "exact LRU";
  peer.configuration =
      "A std::list in the order of use and a std::unordered_map, without any values. It has as "
      "much "
      "room as the keys and values take that SharedHashFile holds when it is full: where all "
      "values "
      "have the same size, the same number of keys.";
  peer.version = "libstdc++";
  peer.make = [](const Workload&, const Held& room, const std::string&) {
    return std::make_unique<Lru>(room.bytes);
  };
  return peer;
}

}  // namespace bench
