// Our own map, in a file of its own with default options: it grows from empty.
#include <chrono>
#include <string>
#include <utility>

#include "../peers.hpp"
#include "../temporary_folder.hpp"
#include "shf/map.hpp"

namespace bench {
namespace {

constexpr char kMapName[] = "map";

constexpr unsigned kMany = 32;

class ShfSession : public Session {
 public:
  ShfSession(shf::Map map, uint64_t value_bytes_max)
      : map_(std::move(map)), value_bytes_max_(value_bytes_max) {}

  bool Put(const Key& key, std::string_view value) override {
    const shf::Result<shf::Placed> placed = map_.Put(key.view(), value);
    return placed.ok() || Fail(placed.text());
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) override {
    const shf::Result<size_t> found = map_.Get(key.view(), buffer, value_bytes_max_);
    *bytes = *found;
    return found.ok() || Missed(found);
  }
  bool Delete(const Key& key) override {
    const shf::Result<bool> deleted = map_.Delete(key.view());
    return deleted.ok() || Fail(deleted.text());
  }
  bool GetMany(const Key* keys, size_t count, Visitor* visitor) override {
    std::string_view views[kMany];
    for (size_t n = 0; n < count; ++n) views[n] = keys[n].view();
    const shf::Result<size_t> found = map_.GetMany(
        views, count, [&](size_t n, std::string_view value) { visitor->Found(n, value); });
    return found.ok() || Fail(found.text());
  }
  bool AddMany(const Key* keys, size_t count) override {
    for (size_t n = 0; n < count; ++n) {
      const shf::Result<int64_t> sum = map_.Add(keys[n].view(), 1);
      if (!sum.ok() || *sum <= 0) return Fail(sum.ok() ? "a wrong sum" : sum.text());
    }
    return true;
  }
  bool PushMany(const Key* keys, size_t count, std::string_view element) override {
    for (size_t n = 0; n < count; ++n) {
      const shf::Result<uint64_t> pushed = map_.Push(keys[n].view(), element);
      if (!pushed.ok()) return Fail(pushed.text());
    }
    return true;
  }
  bool ShiftMany(const Key* keys, size_t count, size_t bytes) override {
    for (size_t n = 0; n < count; ++n) {
      const shf::Result<void> shifted = map_.Shift(keys[n].view(), &element_);
      if (!shifted.ok()) return Fail(shifted.absent() ? "an element is gone" : shifted.text());
      if (element_.size() != bytes) return Fail("an element of another size");
    }
    return true;
  }
  bool PutAgedMany(const Key* keys, const std::string_view* values, size_t count,
                   uint64_t age_ms) override {
    for (size_t n = 0; n < count; ++n) {
      const shf::Result<shf::Placed> placed =
          map_.PutFor(keys[n].view(), values[n], std::chrono::milliseconds(age_ms));
      if (!placed.ok()) return Fail(placed.text());
    }
    return true;
  }
  bool TouchMany(const Key* keys, size_t count, uint64_t age_ms) override {
    for (size_t n = 0; n < count; ++n) {
      const shf::Result<bool> touched =
          map_.Touch(keys[n].view(), std::chrono::milliseconds(age_ms));
      if (!touched.ok()) return Fail(touched.text());
    }
    return true;
  }
  const shf::Map& map() const { return map_; }

 private:
  [[gnu::cold, gnu::noinline]] bool Missed(const shf::Result<size_t>& found) {
    return !found.absent() && Fail(found.text());
  }

  const shf::Map map_;
  const uint64_t value_bytes_max_;
  std::string element_;
};

class ShfStore : public Store {
 public:
  ShfStore(const Workload& work, std::string folder)
      : value_bytes_max_(work.bytes_most()), folder_(std::move(folder)) {}

  // Lets go of the map at once: only those that Open() it have it open.
  bool Create() override {
    const shf::Result<shf::Map> created = shf::Map::Create(folder_, kMapName);
    return created.ok() || Fail(created.text());
  }
  std::unique_ptr<Session> Open() override { return Take(shf::Map::Open(folder_, kMapName)); }
  std::unique_ptr<Session> OpenReadOnly() override {
    return Take(shf::Map::OpenReadOnly(folder_, kMapName));
  }
  Memory Measure(Session* session) override {
    const shf::Result<shf::Stats> stats = static_cast<ShfSession*>(session)->map().GetStats();
    Memory memory;
    if (stats.ok()) memory.bytes = stats->committed_bytes;
    const uint64_t file = FileBytes(folder_ + "/" + kMapName + ".shf");
    if (file != memory.bytes) {
      memory.also = "the file system counts " + std::to_string(file) + " bytes, the map " +
                    std::to_string(memory.bytes);
    }
    return memory;
  }

 private:
  std::unique_ptr<Session> Take(shf::Result<shf::Map> opened) {
    if (!opened.ok()) {
      Fail(opened.text());
      return nullptr;
    }
    return std::make_unique<ShfSession>(std::move(opened).value(), value_bytes_max_);
  }

  const uint64_t value_bytes_max_;
  const std::string folder_;
};

}  // namespace

Peer ShfPeer() {
  Way single;
  single.name = kOurs;
  single.configuration =
      "Default options. A process opens the map for itself; a get copies the value to a buffer of "
      "the caller. Memory is committed_bytes of GetStats(), which is compared with the blocks that "
      "the file system counts.";
  single.counts = true;
  single.latency = true;
  single.four_processes = true;
  Way many;
  many.name = std::string(kOurs) + ", many by 32";
  many.configuration = "As SharedHashFile, with gets by GetMany of 32 keys; puts are left out.";
  many.get_batch = kMany;
  many.puts = false;
  many.four_processes = true;
  Peer peer;
  peer.ways = {single, many};
  peer.version = SHF_BENCH_VERSION;
  peer.opens_read_only = true;
  peer.grows = true;
  peer.make = [](const Workload& work, const std::string& folder) {
    return std::make_unique<ShfStore>(work, folder);
  };
  return peer;
}

}  // namespace bench
