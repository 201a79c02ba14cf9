/// @file
/// Lengths that all keys and values of a map have.
#ifndef SHF_FIXED_HPP_
#define SHF_FIXED_HPP_

#include <cstdint>

namespace shf {

/// The length of all keys and the length of all values of a map, for Options::fixed.
struct FixedLengths {
  uint32_t key_bytes = 0;    ///< of each key
  uint32_t value_bytes = 0;  ///< of each value
};

}  // namespace shf

#endif  // SHF_FIXED_HPP_
