// The keys and values of the benchmark, made on the fly from an index.
//
// Every process can make any of them, and no array of keys competes for the caches. A value begins
// with the index of its key, so that a get knows whether it was answered rightly.
#ifndef SHF_BENCH_PAYLOAD_HPP_
#define SHF_BENCH_PAYLOAD_HPP_

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "random.hpp"

namespace bench {

// What a key or value is made in is used again by the next one.
class Payload {
 public:
  explicit Payload(const Options& options)
      : seed_(Mix(options.seed)),
        least_(options.value_bytes),
        sizes_(options.value_bytes_max - options.value_bytes + 1),
        key_(options.key_bytes, 'k'),
        value_(options.value_bytes_max, 'v') {}

  // Different for every index: Mix is a bijection.
  std::string_view Key(uint64_t index) {
    const uint64_t words[2] = {Mix(index ^ seed_), index};
    std::memcpy(key_.data(), words, key_.size() < sizeof(words) ? sizeof(words[0]) : sizeof(words));
    return {key_.data(), key_.size()};
  }
  size_t ValueBytes(uint64_t index) const {
    return least_ + (sizes_ > 1 ? Mix(index + seed_) % sizes_ : 0);
  }
  std::string_view Value(uint64_t index) {
    std::memcpy(value_.data(), &index, sizeof(index));
    return {value_.data(), ValueBytes(index)};
  }
  // Whether a found value is the one of this index.
  bool IsValue(uint64_t index, const char* found, size_t bytes) const {
    return bytes == ValueBytes(index) && std::memcmp(found, &index, sizeof(index)) == 0;
  }

 private:
  const uint64_t seed_;
  const size_t least_;
  const size_t sizes_;
  std::vector<char> key_;
  std::vector<char> value_;
};

}  // namespace bench

#endif  // SHF_BENCH_PAYLOAD_HPP_
