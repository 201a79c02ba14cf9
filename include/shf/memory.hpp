// Which memory of callers the engine takes as it is. Not for use by programs.
#ifndef SHF_MEMORY_HPP_
#define SHF_MEMORY_HPP_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shf {
namespace bridge {

// Whether there are bytes that the engine can be handed as they are.
inline bool IsMemory(std::string_view bytes) noexcept {
  return bytes.data() != nullptr && bytes.size() <= PTRDIFF_MAX;
}

// Whether a key lies, in part or whole, where its value is to go.
inline bool Overlaps(std::string_view key, std::string_view into) noexcept {
  const auto begin = [](std::string_view it) { return reinterpret_cast<uintptr_t>(it.data()); };
  return begin(key) < begin(into) + into.size() && begin(into) < begin(key) + key.size();
}

}  // namespace bridge
}  // namespace shf

#endif  // SHF_MEMORY_HPP_
