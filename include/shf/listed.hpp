/// @file
/// What Map::List() says of a file in a folder of maps.
#ifndef SHF_LISTED_HPP_
#define SHF_LISTED_HPP_

#include <chrono>
#include <cstdint>
#include <string>

#include "shf/result.hpp"

namespace shf {

/// A map in a folder, and what can be said of it without opening it. Counters are summed over its
/// shards without locks, and are those of a file that nobody vouches for.
struct Listed {
  std::string name;              ///< the map's name: that of the file without .shf
  Status status = Status::kOk;   ///< other than kOk: no map that Map::Open() could open
  std::string text;              ///< why not; all that follows is 0 then
  uint64_t keys = 0;             ///< keys, as Map::Size() counts them
  uint64_t committed_bytes = 0;  ///< real bytes by the map's own account, headers included
  uint64_t real_bytes = 0;       ///< bytes that the file takes, as the file system counts them
  uint64_t apparent_bytes = 0;   ///< length of the file; most of it is no more than addresses
  uint64_t max_bytes = 0;        ///< the most that committed_bytes may become
  std::chrono::system_clock::time_point created;  ///< when it was created
  bool durable = false;                           ///< as Options::durable
  bool evict = false;                             ///< as Options::evict
  bool temporary = false;                         ///< as Options::temporary
  /// Handles that may write, of all processes that live, as far as they have taken a process slot:
  /// a forked child does at its first write. Who only reads is not counted.
  uint32_t users = 0;
};

}  // namespace shf

#endif  // SHF_LISTED_HPP_
