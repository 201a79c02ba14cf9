/// @file
/// How long keys live.
///
///     map.PutFor("session", "of a user", std::chrono::minutes(20));
///     map.Touch("session", std::chrono::minutes(20));
#ifndef SHF_AGE_HPP_
#define SHF_AGE_HPP_

#include <chrono>
#include <cstdint>

namespace shf {

/// How long a key lives from a change on: as long as the map says, until it is deleted, or for a
/// duration, to which std::chrono's convert by themselves.
///
/// A key that has expired is not there, for any operation. Its memory comes back with the puts and
/// deletes that follow, or at once with Map::Reap().
///
/// Ages are measured with the wall clock (CLOCK_REALTIME): it is the same in all containers of a
/// machine, and goes on over a reboot. When it is set forward, keys expire at once that would have
/// expired by then. When it is set back, keys live that much longer, and one that has expired and
/// was not reaped yet is there again. Gets write nothing: they neither delete what has expired nor
/// keep a key alive.
class Age {
 public:
  /// As long as the map says: see Options::default_age.
  static Age Default() { return Age(0); }
  /// Until the key is deleted.
  static Age Never() { return Age(1); }
  /// So long: from 1 ms to 2^47 - 1 ms, some 4,400 years. Parts of a millisecond are rounded up.
  /// The call that gets an age out of this range answers kInvalidArgument, with a text that says
  /// what it got, in whole milliseconds from 0 on, and what is allowed; what is longer than 2^50 ms
  /// it calls UINT64_MAX.
  template <typename Rep, typename Period>
  Age(std::chrono::duration<Rep, Period> age)  // NOLINT: a duration is an age
      : what_(2), ms_(Milliseconds(age)) {}

 private:
  friend class Map;

  explicit Age(uint32_t what) : what_(what) {}

  template <typename Rep, typename Period>
  static uint64_t Milliseconds(std::chrono::duration<Rep, Period> age) {
    constexpr double kMax = uint64_t{1} << 50;  // out of range, and nothing overflows below it
    if (!(age > age.zero())) return 0;
    if (std::chrono::duration<double, std::milli>(age).count() >= kMax) return UINT64_MAX;
    return static_cast<uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(age).count());
  }

  uint32_t what_;  // as the bridge numbers them
  uint64_t ms_ = 0;
};

}  // namespace shf

#endif  // SHF_AGE_HPP_
