// Which memory of callers the engine takes as it is. Not for use by programs.
#ifndef SHF_MEMORY_HPP_
#define SHF_MEMORY_HPP_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shf {
namespace bridge {

// Whether there are bytes that the engine can be handed as they are.
inline bool IsMemory(const char* data, size_t bytes) noexcept {
  return data != nullptr && bytes <= PTRDIFF_MAX;
}
inline bool IsMemory(std::string_view bytes) noexcept {
  return IsMemory(bytes.data(), bytes.size());
}

// Whether a key lies, in part or whole, where its value is to go.
inline bool Overlaps(std::string_view key, const char* into, size_t into_bytes) noexcept {
  const auto key_begin = reinterpret_cast<uintptr_t>(key.data());
  const auto into_begin = reinterpret_cast<uintptr_t>(into);
  return key_begin < into_begin + into_bytes && into_begin < key_begin + key.size();
}

}  // namespace bridge
}  // namespace shf

#endif  // SHF_MEMORY_HPP_
