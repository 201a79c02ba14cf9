// Memory for a value whose size is known only during a get. Not for use by programs.
#ifndef SHF_INTERNAL_SINK_HPP_
#define SHF_INTERNAL_SINK_HPP_

#include <cstddef>
#include <cstdint>

namespace shf {
namespace bridge {

// Room that is there already, and a function that makes more; lives on the stack of a get. The key
// of that get lies elsewhere.
struct Sink {
  char* data;  // may be null
  size_t bytes;
  // Sets data and bytes so that `needed` fit, or returns false. Must not throw.
  bool (*grow)(Sink* sink, size_t needed);
  void* context;

  // Called by the engine: room for `needed` bytes, or null when there is too little.
  uint8_t* Room(size_t needed) noexcept {
    return needed <= bytes ? reinterpret_cast<uint8_t*>(data) : nullptr;
  }
  // Called by the engine: the same, where it is known that a value is that long; null when there
  // is no memory.
  uint8_t* Grow(size_t needed) noexcept { return grow(this, needed) ? Room(needed) : nullptr; }
};

}  // namespace bridge
}  // namespace shf

#endif  // SHF_INTERNAL_SINK_HPP_
