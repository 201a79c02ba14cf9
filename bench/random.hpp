// Random numbers and orders that a seed decides.
#ifndef SHF_BENCH_RANDOM_HPP_
#define SHF_BENCH_RANDOM_HPP_

#include <cstdint>
#include <utility>

namespace bench {

// The finalizer of MurmurHash3 in the variant "Mix13" of David Stafford: a bijection.
inline uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9U;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// A sequence of random numbers; the same seed gives the same ones (splitmix64).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}
  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15U); }
  // Uniform from 0 to bound - 1; bound MUST be below 2^32.
  uint64_t Below(uint64_t bound) { return Scaled(Next() >> 32, bound); }
  // Two of them, from one step of the sequence.
  std::pair<uint64_t, uint64_t> Below(uint64_t first, uint64_t second) {
    const uint64_t next = Next();
    return {Scaled(next >> 32, first), Scaled(next & UINT32_MAX, second)};
  }

 private:
  static uint64_t Scaled(uint64_t fraction, uint64_t bound) { return (fraction * bound) >> 32; }

  uint64_t state_;
};

// An order in which each index below count comes up once and neighbours are far apart: a bijection
// on the next power of two, applied again while the result lies outside.
class Shuffle {
 public:
  Shuffle(uint64_t count, uint64_t seed) : count_(count), salt_(Mix(seed) | 1) {
    while ((uint64_t{1} << bits_) < count) ++bits_;
  }
  uint64_t At(uint64_t index) const {
    const uint64_t mask = (uint64_t{1} << bits_) - 1;
    do {
      index = (index * salt_) & mask;
      index ^= index >> (bits_ / 2);
      index = (index * 0x94d049bb133111ebU) & mask;
      index ^= index >> (bits_ / 2);
    } while (index >= count_);
    return index;
  }

 private:
  const uint64_t count_;
  const uint64_t salt_;
  unsigned bits_ = 2;
};

}  // namespace bench

#endif  // SHF_BENCH_RANDOM_HPP_
