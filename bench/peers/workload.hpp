// What the benchmark does to a store: the keys, the values, and the phases.
//
// Keys and values are made on the fly from an index, so that no array of keys competes for the
// caches, and every store pays the same for them. A store is a class with
//
//   bool Put(const Key& key, std::string_view value);           // false: failed
//   bool Get(const Key& key, char* buffer, size_t* bytes);      // false: not there; copies
//
// Each value begins with the index of its key; a get that answers with another one ends the run.
#ifndef SHF_BENCH_WORKLOAD_HPP_
#define SHF_BENCH_WORKLOAD_HPP_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"

namespace bench {

constexpr size_t kKeyBytes = 16;

// What the options decide about the work.
struct Workload {
  uint64_t keys = 10'000'000;
  uint64_t value_bytes = 100;
  uint64_t seed = 1;

  uint64_t bytes_least() const { return value_bytes / 2; }
  uint64_t bytes_most() const { return value_bytes + value_bytes / 2; }
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

// Values of any size up to the workload's largest, in one buffer.
class Values {
 public:
  explicit Values(const Workload& work) : buffer_(work.bytes_most()) {
    for (size_t i = 0; i < buffer_.size(); ++i) buffer_[i] = static_cast<char>('a' + i % 26);
  }
  // Good until the next call.
  std::string_view At(uint64_t index, uint64_t bytes) {
    std::memcpy(buffer_.data(), &index, sizeof(index));
    return std::string_view(buffer_.data(), bytes);
  }

 private:
  std::vector<char> buffer_;
};

inline uint64_t SizeOf(const Workload& work, uint64_t index, uint64_t round) {
  return work.bytes_least() + Mix(index * 8 + round) % (work.bytes_most() - work.bytes_least() + 1);
}

// One process at work on one store. Each phase returns how many operations it did; error() says
// what went wrong, and is empty while nothing did.
template <typename Store>
class Worker {
 public:
  Worker(const Workload& work, Store& store, uint64_t random_seed)
      : work_(work),
        store_(store),
        random_(random_seed),
        values_(work),
        found_(work.bytes_most()) {}

  const std::string& error() const { return error_; }

  // Inserts the keys from first on.
  uint64_t PutFresh(uint64_t first, uint64_t end) {
    for (uint64_t index = first; index < end; ++index) Put(index, work_.value_bytes);
    return end - first;
  }
  // Gets that hit, in uniform random order.
  uint64_t GetHits(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) Get(RandomIndex());
    return count;
  }
  uint64_t GetMisses(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      size_t bytes = 0;
      if (store_.Get(MissingKeyAt(work_, RandomIndex()), found_.data(), &bytes)) {
        Fail("a get found a key that was never put", i);
      }
    }
    return count;
  }
  // 98% gets that hit, 2% puts of the same size, over all keys.
  uint64_t Mixed(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t index = RandomIndex();
      if (random_.Below(50) == 0) {
        Put(index, work_.value_bytes);
      } else {
        Get(index);
      }
    }
    return count;
  }
  // Replaces values by others of the same size, in uniform random order.
  uint64_t Update(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) Put(RandomIndex(), work_.value_bytes);
    return count;
  }
  // Replaces values by others of half to one and a half of the size.
  uint64_t Resize(uint64_t count) {
    const uint64_t sizes = work_.bytes_most() - work_.bytes_least() + 1;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t index = RandomIndex();
      Put(index, work_.bytes_least() + random_.Below(sizes));
    }
    return count;
  }
  // Replaces everything `rounds` times, each time in another order and with other sizes. Returns
  // the bytes of keys and values that are in the store afterwards.
  uint64_t ReplaceAll(unsigned rounds) {
    uint64_t payload = 0;
    for (unsigned round = 0; round < rounds; ++round) {
      const Shuffle order(work_.keys, work_.seed * 8 + round);
      payload = work_.keys * kKeyBytes;
      for (uint64_t i = 0; i < work_.keys; ++i) {
        const uint64_t index = order.At(i);
        const uint64_t bytes = SizeOf(work_, index, round);
        Put(index, bytes);
        payload += bytes;
      }
    }
    return payload;
  }

  void Put(uint64_t index, uint64_t bytes) {
    if (!store_.Put(KeyAt(work_, index), values_.At(index, bytes))) Fail("put failed", index);
  }
  void Get(uint64_t index) {
    size_t bytes = 0;
    uint64_t stamp = 0;
    if (!store_.Get(KeyAt(work_, index), found_.data(), &bytes)) {
      Fail("a get missed", index);
      return;
    }
    std::memcpy(&stamp, found_.data(), sizeof(stamp));
    if (stamp != index || bytes < work_.bytes_least()) Fail("a get answered wrongly", index);
  }

 private:
  uint64_t RandomIndex() { return random_.Below(work_.keys); }
  [[gnu::cold, gnu::noinline]] void Fail(const char* what, uint64_t index) {
    if (!error_.empty()) return;
    error_ = std::string(what) + " at " + std::to_string(index);
    if (!store_.error().empty()) error_ += ": " + store_.error();
  }

  const Workload work_;
  Store& store_;
  Random random_;
  Values values_;
  std::vector<char> found_;
  std::string error_;
};

// Seconds on the system's monotonic clock, the same in all processes.
inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace bench

#endif  // SHF_BENCH_WORKLOAD_HPP_
