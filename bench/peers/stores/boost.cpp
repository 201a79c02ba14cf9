// boost::unordered_map in a managed_mapped_file, behind one interprocess_sharable_mutex.
#include "../peers.hpp"

#ifdef SHF_BENCH_BOOST
#include <boost/functional/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#include <boost/interprocess/sync/sharable_lock.hpp>
#include <boost/unordered_map.hpp>
#include <boost/version.hpp>
#include <cstring>
#include <exception>

#include "../temporary_folder.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_BOOST
namespace {

namespace ipc = boost::interprocess;

template <typename T>
using Allocator = ipc::allocator<T, ipc::managed_mapped_file::segment_manager>;
using String = ipc::basic_string<char, std::char_traits<char>, Allocator<char>>;

std::string_view View(const String& text) { return {text.data(), text.size()}; }
std::string_view View(const Key& key) { return key.view(); }

// Both take a Key as it is, so that looking for one allocates nothing.
struct Hash {
  template <typename T>
  size_t operator()(const T& key) const {
    const std::string_view view = View(key);
    return boost::hash_range(view.begin(), view.end());
  }
};
struct Equal {
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    return View(a) == View(b);
  }
};
using Table =
    boost::unordered_map<String, String, Hash, Equal, Allocator<std::pair<const String, String>>>;

// What lies in the file under one name.
struct Root {
  explicit Root(ipc::managed_mapped_file::segment_manager* manager)
      : table(0, Hash(), Equal(), Allocator<std::pair<const String, String>>(manager)) {}
  ipc::interprocess_sharable_mutex mutex;
  Table table;
};
constexpr char kRoot[] = "root";

class BoostSession : public Session {
 public:
  explicit BoostSession(const std::string& path)
      : file_(ipc::open_only, path.c_str()), root_(file_.find<Root>(kRoot).first) {}

  bool Put(const Key& key, std::string_view value) override {
    return Try([&] {
      const ipc::scoped_lock<ipc::interprocess_sharable_mutex> lock(root_->mutex);
      const auto at = root_->table.find(key, Hash(), Equal());
      if (at != root_->table.end()) {
        at->second.assign(value.data(), value.size());
        return true;
      }
      const Allocator<char> allocator(file_.get_segment_manager());
      root_->table.emplace(String(key.view().data(), kKeyBytes, allocator),
                           String(value.data(), value.size(), allocator));
      return true;
    });
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) override {
    return Try([&] {
      const ipc::sharable_lock<ipc::interprocess_sharable_mutex> lock(root_->mutex);
      const auto at = root_->table.find(key, Hash(), Equal());
      if (at == root_->table.end()) return false;
      *bytes = at->second.size();
      std::memcpy(buffer, at->second.data(), at->second.size());
      return true;
    });
  }
  bool Delete(const Key& key) override {
    return Try([&] {
      const ipc::scoped_lock<ipc::interprocess_sharable_mutex> lock(root_->mutex);
      const auto at = root_->table.find(key, Hash(), Equal());
      if (at != root_->table.end()) root_->table.erase(at);
      return true;
    });
  }

 private:
  template <typename Body>
  bool Try(Body body) {
    try {
      return body();
    } catch (const std::exception& error) {
      return Fail(error.what());
    }
  }

  ipc::managed_mapped_file file_;
  Root* const root_;
};

class BoostStore : public Store {
 public:
  BoostStore(const Workload& work, const std::string& folder)
      : path_(folder + "/boost"),
        // A multiple of what strings, nodes, buckets and their growth take; the file is sparse.
        bytes_(work.keys * (6 * work.bytes_most() + 1024) + (uint64_t{64} << 20)) {}

  bool Create() override {
    return Try([&] {
      ipc::managed_mapped_file file(ipc::create_only, path_.c_str(), bytes_);
      file.construct<Root>(kRoot)(file.get_segment_manager());
    });
  }
  std::unique_ptr<Session> Open() override {
    std::unique_ptr<Session> session;
    Try([&] { session = std::make_unique<BoostSession>(path_); });
    return session;
  }
  Memory Measure(Session*) override {
    Memory memory;
    memory.bytes = FileBytes(path_);
    return memory;
  }

 private:
  template <typename Body>
  bool Try(Body body) {
    try {
      body();
      return true;
    } catch (const std::exception& error) {
      return Fail(error.what());
    }
  }

  const std::string path_;
  const uint64_t bytes_;
};

}  // namespace
#endif

Peer BoostPeer() {
  Way way;
  way.name = "Boost.Interprocess";
  way.configuration =
      "boost::unordered_map of interprocess strings in a managed_mapped_file, behind one "
      "interprocess_sharable_mutex, shared by gets and held alone by puts. The file is sparse and "
      "large enough; memory is the blocks that it has.";
  way.latency = true;
  Peer peer;
  peer.ways = {way};
#ifdef SHF_BENCH_BOOST
  peer.version =
      std::to_string(BOOST_VERSION / 100000) + "." + std::to_string(BOOST_VERSION / 100 % 1000);
  peer.make = [](const Workload& work, const std::string& folder) {
    return std::make_unique<BoostStore>(work, folder);
  };
#else
  peer.missing = "it was built without the package libboost-dev";
#endif
  return peer;
}

}  // namespace bench
