/// @file
/// The outcome of a call: a value, absence, or an error with a stable code and a text.
#ifndef SHF_RESULT_HPP_
#define SHF_RESULT_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

/// Everything of this library but the classic class SharedHashFile.
namespace shf {

/// Stable numbers, the same in every language; never renumbered, only added to.
enum class Status : uint32_t {
  kOk = 0,                     ///< done
  kAbsent = 1,                 ///< the key is not in the map; not an error
  kInvalidArgument = 2,        ///< an argument is outside what the call takes
  kInvalidName = 3,            ///< the map's name is not a plain file name
  kNotFound = 4,               ///< no such map or folder
  kAlreadyExists = 5,          ///< the map exists already
  kPermissionDenied = 6,       ///< the operating system denies the access
  kUnsupportedFileSystem = 7,  ///< maps are not safe on this file system
  kNoSpace = 8,                ///< file system, memory limit or the map's maximum is used up
  kIncompatible = 9,           ///< not a map, or one of another version, layout or length; a file
                               ///< that was cut short while it was open
  kCorrupt = 10,               ///< the map's contents contradict themselves
  kBusy = 11,                  ///< the bound on waiting or retries was reached
  kWrongType = 12,             ///< the value has another type than the operation needs
  kReadOnly = 13,              ///< the map is open for reading only
  kTooLarge = 14,              ///< key and value are longer than the map can hold
  kBufferTooSmall = 15,        ///< the buffer is too small for the value; see Map::Get
  kOutOfMemory = 16,           ///< the process is out of private memory
  kTooManyProcesses = 17,      ///< all process slots of the map are taken
  kHashCollisions = 18,        ///< too many keys share all bits of their hash
  kSystem = 19,                ///< another failure of the operating system
  kNotAttached = 20,           ///< the handle is not attached to a map
  kInternal = 21,              ///< the library itself failed; please report it
  kOverflow = 22,              ///< a number would leave the range of its type
  kNotDurable = 23,            ///< the map was not created as a durable one
  kNeedsRecovery = 24,         ///< the map has to be opened for writing once; see Map::Recovered
  kConditionNotMet = 25,       ///< the condition of a change did not hold; not an error
  kAlreadyLed = 26,            ///< another process leads the others already
  kWrongLength = 27,           ///< not the length that the map has fixed; see Options::fixed
};

/// The name of a status, such as "NoSpace"; a static string.
const char* StatusName(Status status) noexcept;

/// The text and numbers that come with an outcome other than kOk and kAbsent.
struct Error {
  Status status = Status::kOk;  ///< what kind of failure it is
  std::string text;             ///< says what was expected and what was found
  uint64_t needed_bytes = 0;    ///< with kBufferTooSmall: the size of the value
  size_t done = 0;              ///< of Map::PutMany(): the pairs before the one that failed
};

/// What a Result of any type tells about how the call ended.
class [[nodiscard]] ResultBase {
 public:
  /// Whether the call did what it is for; then a Result has a value.
  bool ok() const noexcept { return status_ == Status::kOk; }
  /// Whether the key was not there.
  bool absent() const noexcept { return status_ == Status::kAbsent; }
  /// How the call ended.
  Status status() const noexcept { return status_; }
  /// What went wrong, for people; empty with kOk and kAbsent. Good as long as the result.
  const std::string& text() const noexcept;
  /// With kBufferTooSmall the size of the value in bytes, else 0.
  uint64_t needed_bytes() const noexcept { return needed_bytes_; }
  /// Of a Map::PutMany() that failed: how many pairs were put before, else 0.
  size_t done() const noexcept { return error_ ? error_->done : 0; }
  /// Status, text and numbers together.
  Error error() const { return error_ ? *error_ : Error{status_, text(), needed_bytes_}; }

 protected:
  /// Success.
  ResultBase() = default;
  /// An outcome that needs no text of its own.
  explicit ResultBase(Status status, uint64_t needed_bytes = 0)
      : status_(status), needed_bytes_(needed_bytes) {}
  /// A failure.
  explicit ResultBase(Error error)
      : status_(error.status),
        needed_bytes_(error.needed_bytes),
        error_(std::make_unique<Error>(std::move(error))) {}
  /// A copy, of the text as well.
  ResultBase(const ResultBase& other)
      : status_(other.status_),
        needed_bytes_(other.needed_bytes_),
        error_(other.error_ ? std::make_unique<Error>(*other.error_) : nullptr) {}
  /// Takes the text over.
  ResultBase(ResultBase&&) noexcept = default;
  /// A copy, of the text as well.
  ResultBase& operator=(const ResultBase& other) { return *this = ResultBase(other); }
  /// Takes the text over.
  ResultBase& operator=(ResultBase&&) noexcept = default;
  /// Frees the text.
  ~ResultBase() = default;

 private:
  Status status_ = Status::kOk;
  uint64_t needed_bytes_ = 0;
  std::unique_ptr<Error> error_;  // null when the status says all
};

/// A value of type T, or a status. T is default constructible. A plain value: it refers to no map.
template <typename T>
class [[nodiscard]] Result : public ResultBase {
 public:
  /// Success.
  Result(T value) : value_(std::move(value)) {}  // NOLINT: a value is a result
  /// Anything else.
  Result(Error error) : ResultBase(std::move(error)) {}  // NOLINT: so is an error
  /// Anything else that needs no text of its own: kAbsent, kBufferTooSmall. Does not allocate.
  explicit Result(Status status, uint64_t needed_bytes = 0) : ResultBase(status, needed_bytes) {}

  /// The value, or a default constructed one when there is none. Good as long as the result.
  const T& value() const& noexcept { return value_; }
  /// The same, to be changed.
  T& value() & noexcept { return value_; }
  /// The same, to be moved from.
  T&& value() && noexcept { return std::move(value_); }
  /// As value().
  const T& operator*() const& noexcept { return value_; }
  /// A member of value().
  const T* operator->() const noexcept { return &value_; }

 private:
  T value_{};
};

/// Success, absence, or an error.
template <>
class [[nodiscard]] Result<void> : public ResultBase {
 public:
  /// Success.
  Result() = default;
  /// Anything else.
  Result(Error error) : ResultBase(std::move(error)) {}  // NOLINT: an error is a result
  /// Anything else that needs no text of its own: kAbsent, kBufferTooSmall. Does not allocate.
  explicit Result(Status status, uint64_t needed_bytes = 0) : ResultBase(status, needed_bytes) {}
};

}  // namespace shf

#endif  // SHF_RESULT_HPP_
