/// @file
/// What Map::Snapshot() makes.
#ifndef SHF_FROZEN_HPP_
#define SHF_FROZEN_HPP_

#include <cstdint>

namespace shf {

/// A map in a file that nobody changes any more.
struct Frozen {
  uint64_t keys = 0;        ///< keys in it
  uint64_t file_bytes = 0;  ///< bytes of its file
};

}  // namespace shf

#endif  // SHF_FROZEN_HPP_
