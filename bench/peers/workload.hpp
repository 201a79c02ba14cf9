// What every store is given: the keys and the values, and the names of what is done with them.
//
// Keys and values are made on the fly from an index, so that no array of keys competes for the
// caches, and every store pays the same for them. A value begins with the index of its key.
#ifndef SHF_BENCH_PEERS_WORKLOAD_HPP_
#define SHF_BENCH_PEERS_WORKLOAD_HPP_

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "random.hpp"

namespace bench {

constexpr size_t kKeyBytes = 16;

// What is timed, in the order in which it is done.
enum Phase : unsigned { kPut, kGet, kZipf, kMiss, kMix, kUpdate, kResize, kPhases };
constexpr std::array<const char*, kPhases> kPhaseNames = {
    "PUT fresh", "GET uniform",      "GET zipf 0.99",     "GET miss",
    "MIX 98/2",  "UPDATE same size", "UPDATE 50 to 150 %"};
constexpr double kSkew = 0.99;

// What the options decide about the work.
struct Workload {
  uint64_t keys = 10'000'000;
  uint64_t value_bytes = 100;
  uint64_t seed = 1;
  uint64_t operations = 1'500'000;  // of all processes together, in each phase but the first

  uint64_t bytes_least() const { return value_bytes / 2; }
  uint64_t bytes_most() const { return value_bytes + value_bytes / 2; }
  uint64_t payload_bytes() const { return keys * (kKeyBytes + value_bytes); }
};

struct Key {
  uint64_t words[kKeyBytes / 8];
  std::string_view view() const {
    return std::string_view(reinterpret_cast<const char*>(words), kKeyBytes);
  }
};

// Different for every index, because Mix is a bijection.
inline Key KeyAt(const Workload& work, uint64_t index) {
  const uint64_t first = Mix(index ^ (work.seed << 40));
  return Key{{first, Mix(first + 0x9e3779b97f4a7c15U)}};
}

// A key that no index below 2^39 has.
inline Key MissingKeyAt(const Workload& work, uint64_t index) {
  return KeyAt(work, index | (uint64_t{1} << 39));
}

// The size that a key's value has after a round of replacing.
inline uint64_t SizeOf(const Workload& work, uint64_t index, uint64_t round) {
  return work.bytes_least() + Mix(index * 8 + round) % (work.bytes_most() - work.bytes_least() + 1);
}

// Some values of any size up to the workload's largest, in buffers that are used over and over.
class Values {
 public:
  Values(const Workload& work, unsigned count)
      : stride_(work.bytes_most() + sizeof(uint64_t)), buffer_(stride_ * count) {
    for (size_t i = 0; i < buffer_.size(); ++i) buffer_[i] = static_cast<char>('a' + i % 26);
  }
  // The n-th one; good until the next call with the same n.
  std::string_view At(unsigned n, uint64_t index, uint64_t bytes) {
    char* const value = buffer_.data() + n * stride_;
    std::memcpy(value, &index, sizeof(index));
    return std::string_view(value, bytes);
  }
  // Whether a found value can be the one of this index. Values below 8 bytes have a part of it.
  static bool IsOf(const Workload& work, uint64_t index, std::string_view found) {
    if (found.size() < work.bytes_least() || found.size() > work.bytes_most()) return false;
    // A length known to the compiler is compared without a call.
    if (found.size() >= sizeof(index)) return std::memcmp(found.data(), &index, sizeof(index)) == 0;
    return std::memcmp(found.data(), &index, found.size()) == 0;
  }

 private:
  const size_t stride_;
  std::vector<char> buffer_;
};

// Seconds on the system's monotonic clock, the same in all processes.
inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace bench

#endif  // SHF_BENCH_PEERS_WORKLOAD_HPP_
