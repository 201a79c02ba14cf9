// What calls of the bridge take and answer, and the results that C++ makes of it. Not public.
#ifndef SHF_OUTCOME_HPP_
#define SHF_OUTCOME_HPP_

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "shf-bridge/src/lib.rs.h"
#include "shf/map.hpp"
#include "shf/result.hpp"

namespace shf {

using Bytes = rust::Slice<const uint8_t>;

inline const uint8_t* Data(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

inline Bytes View(std::string_view bytes) { return Bytes(Data(bytes), bytes.size()); }

// Whether no memory can look like this.
inline bool Impossible(std::string_view bytes) {
  return (bytes.data() == nullptr && !bytes.empty()) || bytes.size() > PTRDIFF_MAX;
}

[[gnu::cold, gnu::noinline]] inline Error ImpossibleError(const char* what,
                                                          std::string_view bytes) {
  const std::string size = std::to_string(bytes.size());
  if (bytes.data() == nullptr) {
    return {Status::kInvalidArgument, std::string(what) + ": null pointer with length " + size};
  }
  return {Status::kTooLarge, std::string(what) + ": no map holds " + size + " bytes"};
}

[[gnu::cold, gnu::noinline]] inline Error NullError(const char* what) {
  return {Status::kInvalidArgument, std::string(what) + ": null pointer"};
}

[[gnu::cold, gnu::noinline]] inline Error NotAttached() {
  return {Status::kNotAttached, "not attached to a map"};
}

// The error of an outcome other than kOk, kAbsent and kBufferTooSmall.
[[gnu::cold, gnu::noinline]] inline Error ErrorOf(const bridge::Outcome& outcome) {
  const Status status = static_cast<Status>(outcome.status);
  const rust::String text = bridge::take_failure_text();
  if (text.empty()) return {status, StatusName(status)};
  return {status, std::string(text.data(), text.size())};
}

// An answer in one register that failed, as an outcome.
inline bridge::Outcome Unpacked(uint64_t answer) {
  constexpr unsigned kStatusShift = 53;
  return {static_cast<uint32_t>(answer >> kStatusShift & 0xff), false,
          answer & ((uint64_t{1} << kStatusShift) - 1)};
}

inline bool IsOk(const bridge::Outcome& outcome) {
  return outcome.status == static_cast<uint32_t>(Status::kOk);
}

inline bool IsAbsent(const bridge::Outcome& outcome) {
  return outcome.status == static_cast<uint32_t>(Status::kAbsent);
}

template <typename T>
Result<T> Answer(const bridge::Outcome& outcome, T value) {
  if (IsOk(outcome)) return value;
  // Usual answers to many a get: no text is made for them.
  if (IsAbsent(outcome)) return Result<T>(Status::kAbsent);
  if (outcome.status == static_cast<uint32_t>(Status::kBufferTooSmall)) {
    return Result<T>(Status::kBufferTooSmall, outcome.value);
  }
  return ErrorOf(outcome);
}

inline Result<void> Answer(const bridge::Outcome& outcome) {
  if (IsOk(outcome)) return {};
  if (IsAbsent(outcome)) return Result<void>(Status::kAbsent);
  return ErrorOf(outcome);
}

inline Result<Placed> PlacedBy(const bridge::Outcome& outcome) {
  if (outcome.status == static_cast<uint32_t>(Status::kConditionNotMet)) {
    return Result<Placed>(Status::kConditionNotMet);
  }
  return Answer(outcome, Placed{outcome.flag, outcome.value});
}

// Arguments as the bridge takes them.
struct Map::Arguments {
  static bridge::Value Of(const Value& value) {
    // The engine takes no null, not even an empty one.
    const std::string_view bytes = value.bytes();
    return {View(bytes.data() == nullptr ? "" : bytes), static_cast<uint32_t>(value.type())};
  }
  static bridge::Condition Of(const Condition& condition) {
    return {condition.what_, View(condition.value_), condition.token_};
  }
  static bridge::Options Of(const Options& options) {
    const std::optional<bool> durable = options.durable;
    const int32_t sign = !durable ? 0 : *durable ? 1 : -1;  // 0: unset
    const FixedLengths fixed = options.fixed.value_or(FixedLengths{});
    return {options.shards,
            options.max_bytes,
            options.expected_keys,
            options.initial_bytes,
            options.mode,
            options.group,
            options.allow_any_file_system,
            sign,
            Of(options.default_age),
            options.evict,
            options.temporary,
            options.fixed.has_value(),
            fixed.key_bytes,
            fixed.value_bytes,
            options.patience.count(),
            View(options.application),
            static_cast<uint32_t>(options.role)};
  }
  static bridge::Age Of(Age age) { return {age.what_, age.ms_}; }
  // Nothing: for ever.
  static bridge::Age Of(std::optional<std::chrono::milliseconds> age) {
    return Of(age ? Age(*age) : Age::Never());
  }
};

// Makes a map of a handle that open(bridge::Map&) attaches.
struct Map::Attached {
  template <typename Open>
  static Result<Map> By(Open open) {
    rust::Box<bridge::Map> handle = bridge::detached_map();
    const bridge::Outcome outcome = open(*handle);
    if (!IsOk(outcome)) return ErrorOf(outcome);
    Map map;
    map.handle_.Set(handle.into_raw());
    return map;
  }
};

// Runs what makes a string longer. False: there is no memory, as far as exceptions can tell.
template <typename Growth>
bool Allocates(Growth growth) {
#if defined(__cpp_exceptions)
  try {
    growth();
  } catch (const std::bad_alloc&) {
    return false;
  } catch (const std::length_error&) {
    return false;
  }
#else
  growth();
#endif
  return true;
}

inline Error OutOfMemory(uint64_t bytes) {
  return {Status::kOutOfMemory, "out of memory: the value has " + std::to_string(bytes) + " bytes"};
}

}  // namespace shf

#endif  // SHF_OUTCOME_HPP_
