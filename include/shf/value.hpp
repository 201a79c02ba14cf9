/// @file
/// Values with a type, and keys that are numbers.
#ifndef SHF_VALUE_HPP_
#define SHF_VALUE_HPP_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace shf {

/// The type of a value. The numbers are those of the file format.
enum class Type : uint32_t {
  kBytes = 0,     ///< any bytes, as Map::Put() puts them
  kInteger = 1,   ///< a signed 64-bit integer
  kUnsigned = 2,  ///< an unsigned 64-bit integer
  kDouble = 3,    ///< a double
  kText = 4,      ///< UTF-8
  kBoolean = 5,   ///< true or false
  kList = 6,      ///< a list: see Map::Push()
};

/// The name of a type, such as "unsigned integer"; a static string.
const char* TypeName(Type type) noexcept;

/// A value with its type, to be put. Refers to the bytes of Bytes() and Text(), which are only read
/// during the call that puts it.
class Value {
 public:
  /// Any bytes.
  static Value Bytes(std::string_view bytes) { return Value(Type::kBytes, bytes); }
  /// A signed integer.
  static Value Integer(int64_t number) { return Value(Type::kInteger, &number, sizeof number); }
  /// An unsigned integer.
  static Value Unsigned(uint64_t number) { return Value(Type::kUnsigned, &number, sizeof number); }
  /// A double.
  static Value Double(double number) { return Value(Type::kDouble, &number, sizeof number); }
  /// UTF-8; other bytes are kInvalidArgument when they are put.
  static Value Text(std::string_view text) { return Value(Type::kText, text); }
  /// True or false.
  static Value Boolean(bool boolean) {
    const char byte = boolean ? 1 : 0;
    return Value(Type::kBoolean, &byte, sizeof byte);
  }

  /// Its type.
  Type type() const noexcept { return type_; }
  /// The bytes that are kept: of numbers 8, of a boolean one. Good as long as this object, and as
  /// what it was made of.
  std::string_view bytes() const noexcept {
    return own_bytes_ == 0 ? bytes_ : std::string_view(own_, own_bytes_);
  }

 private:
  Value(Type type, std::string_view bytes) : type_(type), bytes_(bytes) {}
  // Maps are little-endian, and so are the machines that they are for.
  Value(Type type, const void* scalar, size_t bytes) : type_(type), own_bytes_(bytes) {
    std::memcpy(own_, scalar, bytes);
  }

  Type type_;
  size_t own_bytes_ = 0;  // 0: not its own
  char own_[8] = {};
  std::string_view bytes_;
};

/// A key that is a number: its 8 bytes, little-endian, as any other key of 8 bytes. Converts to
/// the std::string_view that every call takes.
class NumberKey {
 public:
  /// The key of a number.
  explicit NumberKey(uint64_t number) { std::memcpy(bytes_, &number, sizeof bytes_); }
  /// Its bytes, good as long as this object.
  operator std::string_view() const noexcept { return {bytes_, sizeof bytes_}; }  // NOLINT
  /// The number of a key of 8 bytes; empty: it has another length.
  static std::optional<uint64_t> NumberOf(std::string_view key) {
    uint64_t number = 0;
    if (key.size() != sizeof number) return std::nullopt;
    std::memcpy(&number, key.data(), sizeof number);
    return number;
  }

 private:
  char bytes_[8];
};

}  // namespace shf

#endif  // SHF_VALUE_HPP_
