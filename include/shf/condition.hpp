/// @file
/// What a key must have for a change to be made.
#ifndef SHF_CONDITION_HPP_
#define SHF_CONDITION_HPP_

#include <cstdint>
#include <string_view>

namespace shf {

/// What a key had at one moment, in 64 bits (Map::GetWithToken): good for Condition::Token() in any
/// process. It is spent by every change of the key, deletion and a new put included, an Add()
/// included; moving the record is no change. After a multiple of 256 changes in one life of the key
/// that end in the same value (or after a deletion, of 1,048,576 births in its shard as well), a
/// token may be good again. 0: the key was not there.
using Token = uint64_t;

/// What a key must have at the moment of a change, for the change to be made. Refers to the bytes
/// of Value(), which are only read during the call.
class Condition {
 public:
  /// The key is not there.
  static Condition Absent() { return Condition(0, {}, 0); }
  /// The key is there.
  static Condition Present() { return Condition(1, {}, 0); }
  /// The key has this value, of any type that has these bytes. All of it is compared.
  static Condition Value(std::string_view value) { return Condition(2, value, 0); }
  /// The key has not changed since it had this token. Its value is hashed.
  static Condition Token(shf::Token token) { return Condition(3, {}, token); }

 private:
  friend class Map;
  Condition(uint32_t what, std::string_view value, shf::Token token)
      : what_(what), value_(value), token_(token) {}

  uint32_t what_;  // as the engine numbers them
  std::string_view value_;
  shf::Token token_;
};

/// What Map::Update() makes of a key.
enum class Change {
  kPut,     ///< it has the new value
  kDelete,  ///< it is deleted, if it was there
  kKeep,    ///< nothing
};

}  // namespace shf

#endif  // SHF_CONDITION_HPP_
