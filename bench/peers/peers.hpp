// All stores that the comparison knows.
#ifndef SHF_BENCH_PEERS_PEERS_HPP_
#define SHF_BENCH_PEERS_PEERS_HPP_

#include <string>
#include <vector>

#include "options.hpp"
#include "store.hpp"

namespace bench {

// Ours is the one that ratios refer to; the names that begin with it are ours too.
inline constexpr char kOurs[] = "SharedHashFile";

// Each in a file of its own in stores/. Without the package that one needs, Peer::missing says so.
Peer ShfPeer();
Peer LmdbPeer();
Peer BoostPeer();
Peer RedisPeer();
Peer TbbPeer(bool array_key);
Peer ShardedPeer();

// A map that the Rust program measures; see rust_maps.hpp.
Peer RustPeer(const std::string& store, const std::string& name, const std::string& configuration,
              const std::string& program);

// All of them, in the order in which they take turns.
std::vector<Peer> AllPeers(const Options& options);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_PEERS_HPP_
