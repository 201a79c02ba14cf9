// The values of some keys of shf::Map::GetMany. Not for use by programs.
#ifndef SHF_GROUP_HPP_
#define SHF_GROUP_HPP_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace shf {
namespace bridge {

/// Private memory that the values of a group of keys are copied to, one behind the other; lives on
/// the stack of GetMany(). It grows between groups only, when nobody looks at a value. Not for use
/// by programs.
class Group {
 public:
  /// Keys that the engine fetches together.
  static constexpr size_t kKeys = 16;

  /// Keys that were looked for.
  size_t done() const noexcept { return done_; }

  /// Calls visit(base + index, value) for each of them that was found, in order; how many.
  template <typename Visit>
  size_t ForEach(size_t base, Visit& visit) const {
    const char* value = data_;
    size_t found = 0;
    for (size_t index = 0; index < done_; ++index) {
      if (sizes_[index] == kNoValue) continue;
      ++found;
      visit(base + index, std::string_view(value, sizes_[index]));
      value += sizes_[index];
    }
    return found;
  }

 private:
  friend class GroupFiller;
  static constexpr size_t kStackBytes = 8192;
  static constexpr uint64_t kNoValue = UINT64_MAX;

  size_t done_ = 0;
  uint64_t sizes_[kKeys];
  size_t bytes_ = kStackBytes;
  // What the next group should have.
  size_t wanted_bytes_ = kStackBytes;
  char stack_[kStackBytes];
  std::unique_ptr<char[]> heap_;
  char* data_ = stack_;
};

}  // namespace bridge
}  // namespace shf

#endif  // SHF_GROUP_HPP_
