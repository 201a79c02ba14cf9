// A callback of shf::Map::ForEach on its way through the engine. Not for use by programs.
#ifndef SHF_INTERNAL_VISITOR_HPP_
#define SHF_INTERNAL_VISITOR_HPP_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "shf/entries.hpp"

namespace shf {
namespace bridge {

// A function and its context; lives on the stack of ForEach.
struct Visitor {
  bool (*function)(void* context, std::string_view key, std::string_view value);
  void* context;

  // Called by the engine for each key. Both views are good during the call only.
  bool Visit(const uint8_t* key, size_t key_bytes, const uint8_t* value,
             size_t value_bytes) const noexcept {
    return function(context, std::string_view(reinterpret_cast<const char*>(key), key_bytes),
                    std::string_view(reinterpret_cast<const char*>(value), value_bytes));
  }
};

// The same for whole entries; lives on the stack of ViewShard.
struct EntryVisitor {
  void (*function)(void* context, const Entry& entry);
  void* context;
  bool* out_of_memory;  // set where there was none for an entry

  // Called by the engine for each key; false ends the walk.
  bool Visit(const uint8_t* key, size_t key_bytes, const uint8_t* value, size_t value_bytes,
             uint32_t type, uint64_t uid) const noexcept;
};

}  // namespace bridge
}  // namespace shf

#endif  // SHF_INTERNAL_VISITOR_HPP_
