// Lists the stores, and the caches.
#include "peers.hpp"

#include <unistd.h>

#include <utility>

#include "cache.hpp"

namespace bench {

Peer RustPeer(const std::string& store, const std::string& name, const std::string& configuration,
              const std::string& program) {
  Way way;
  way.name = name;
  way.configuration = configuration;
  Peer peer;
  peer.kind = name.find(kOurs) == 0 ? Kind::kShared : Kind::kThreads;
  way.latency = peer.kind == Kind::kThreads;
  peer.ways = {way};
  peer.rust_store = store;
  if (program.empty()) {
    peer.missing = "the Rust program that measures it was not built";
  } else if (access(program.c_str(), X_OK) != 0) {
    peer.missing = "there is no Rust program " + program;
  }
  return peer;
}

std::vector<Peer> AllPeers(const Options& options) {
  const std::string& rust = options.rust_maps;
  const std::string threads = "Threads of one process, keys and values as boxed bytes.";
  return {
      ShfPeer(),
      RustPeer("shf", std::string(kOurs) + " from Rust",
               "The same engine, called from Rust without the C++ interface.", rust),
      LmdbPeer(),
      BoostPeer(),
      RedisPeer(),
      TbbPeer(options.tbb_array_key),
      ShardedPeer(),
      RustPeer("dashmap", "dashmap", threads, rust),
      RustPeer("papaya", "papaya", threads, rust),
  };
}

std::vector<CachePeer> AllCaches() {
  std::vector<CachePeer> all = {ShfCache(), LruCache()};
  for (CachePeer& redis : RedisCaches()) all.push_back(std::move(redis));
  return all;
}

}  // namespace bench
