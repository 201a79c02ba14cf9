// Our own map in cache mode, in a file of its own.
#include <vector>

#include "../cache.hpp"
#include "../peers.hpp"
#include "shf/map.hpp"

namespace bench {
namespace {

constexpr char kMapName[] = "cache";

// The memory that it may take: a quarter more than keys and values.
uint64_t MaxBytes(const Held& room) { return room.bytes + room.bytes / 4; }

class ShfCacheMap : public Cache {
 public:
  ShfCacheMap(const Workload& work, const Held& room, std::string folder)
      : work_(work),
        room_(room),
        folder_(std::move(folder)),
        values_(work, 1),
        buffer_(work.bytes_most()) {}

  bool Open() override {
    shf::Options options;
    options.max_bytes = MaxBytes(room_);
    options.evict = true;
    options.durable = false;  // on a disk, too
    shf::Result<shf::Map> created = shf::Map::Create(folder_, kMapName, options);
    if (!created.ok()) return Fail(created.text());
    map_ = std::move(created).value();
    return true;
  }
  bool Get(uint64_t index) override {
    const Key key = KeyAt(work_, index);
    const shf::Result<size_t> found = map_.Get(key.view(), buffer_.data(), buffer_.size());
    if (!found.ok() && !found.absent()) Fail(found.text());
    return found.ok();
  }
  bool Put(uint64_t index, uint64_t value_bytes) override {
    const Key key = KeyAt(work_, index);
    const shf::Result<shf::Placed> placed = map_.Put(key.view(), values_.At(0, index, value_bytes));
    return placed.ok() || Fail(placed.text());
  }
  // Through a handle that only reads: what walks with it does not count as used.
  Held Measure() override {
    Held held;
    const shf::Result<shf::Map> seen = shf::Map::OpenReadOnly(folder_, kMapName);
    if (!seen.ok()) {
      Fail(seen.text());
      return held;
    }
    shf::Entries entries = seen->Walk();
    for (const shf::Entry& entry : entries) {
      ++held.keys;
      held.bytes += entry.key.size() + entry.value.size();
    }
    return held;
  }

 private:
  const Workload work_;
  const Held room_;
  const std::string folder_;
  Values values_;
  std::vector<char> buffer_;
  shf::Map map_;
};

}  // namespace

CachePeer ShfCache() {
  CachePeer peer;
  peer.name = kOurs;
  peer.kind = Kind::kShared;
  peer.version = SHF_BENCH_VERSION;
  peer.make = [](const Workload& work, const Held& room, const std::string& folder) {
    return std::make_unique<ShfCacheMap>(work, room, folder);
  };
  return peer;
}

}  // namespace bench
