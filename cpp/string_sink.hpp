// Values that are copied to a std::string. Not public.
#ifndef SHF_STRING_SINK_HPP_
#define SHF_STRING_SINK_HPP_

#include <cstddef>
#include <string>

#include "outcome.hpp"
#include "shf/internal/sink.hpp"

namespace shf {

// A string on its way to be filled. Values up to some size reach it by way of the stack, which
// needs no filling before. Larger ones are copied once, straight into the string.
class StringSink {
 public:
  // Replaces the contents of *value, reusing its memory, with what get(sink) copies, whose result
  // is the size. Unless the result is ok, *value is empty.
  template <typename Get>
  static Result<void> Fill(std::string* value, Get get) {
    StringSink sink(value);
    const Result<size_t> size = get(&sink.sink_);
    if (!size.ok()) {
      value->clear();
      return size.error();
    }
    return sink.Finish(*size);
  }

  // The same for calls that change the key once its value is copied: straight into memory of the
  // string's own, so that nothing can fail after that. The key may lie in *value.
  template <typename Get>
  static Result<void> FillAnew(std::string* value, Get get) {
    std::string fresh;
    bridge::Sink sink{nullptr, 0, Grow, &fresh};
    const Result<size_t> size = get(&sink);
    if (!size.ok()) {
      value->clear();
      return size.error();
    }
    fresh.resize(*size);  // shrinks at most
    value->swap(fresh);
    return {};
  }

  // For calls that fill several strings.
  explicit StringSink(std::string* value) : sink_{small_, kStackBytes, Grow, value} {}
  StringSink(const StringSink&) = delete;
  StringSink& operator=(const StringSink&) = delete;
  ~StringSink() = default;

  bridge::Sink& sink() { return sink_; }

  // The string gets what was copied.
  Result<void> Finish(size_t bytes) {
    auto* value = static_cast<std::string*>(sink_.context);
    // Shrinking does not allocate.
    if (sink_.data != small_) return value->resize(bytes), Result<void>();
    if (Allocates([&] { value->assign(small_, bytes); })) return {};
    value->clear();
    return OutOfMemory(bytes);
  }

 private:
  static constexpr size_t kStackBytes = 512;

  static bool Grow(bridge::Sink* sink, size_t needed) {
    auto* into = static_cast<std::string*>(sink->context);
    if (!Allocates([&] { into->resize(needed); })) return false;
    sink->data = into->data();
    sink->bytes = needed;
    return true;
  }

  char small_[kStackBytes];
  bridge::Sink sink_;
};

}  // namespace shf

#endif  // SHF_STRING_SINK_HPP_
