// A histogram of durations with 3% resolution, and no memory traffic worth the name.
#ifndef SHF_BENCH_LATENCY_HPP_
#define SHF_BENCH_LATENCY_HPP_

#include <algorithm>
#include <array>
#include <cstdint>

namespace bench {

// Each power of two of nanoseconds has 32 cells; what is below 32 ns is exact.
class Histogram {
 public:
  void Add(uint64_t nanoseconds) {
    ++cells_[CellOf(nanoseconds)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }
  // The duration that this share of all stays at or below, rounded up to the end of its cell.
  uint64_t Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
    uint64_t seen = 0;
    for (unsigned cell = 0; cell < kCells; ++cell) {
      seen += cells_[cell];
      if (seen > wanted) return std::min(EndOf(cell), max_);
    }
    return max_;
  }
  uint64_t max() const { return max_; }

 private:
  static constexpr unsigned kBits = 5;
  static constexpr unsigned kCells = (64 - kBits + 1) << kBits;

  static unsigned CellOf(uint64_t value) {
    if (value < (1U << kBits)) return static_cast<unsigned>(value);
    const unsigned shift = 63U - static_cast<unsigned>(__builtin_clzll(value)) - kBits;
    return (shift << kBits) + static_cast<unsigned>(value >> shift);
  }
  static uint64_t EndOf(unsigned cell) {
    if (cell < (2U << kBits)) return cell;
    const unsigned shift = (cell >> kBits) - 1;
    const uint64_t first = uint64_t{(cell & ((1U << kBits) - 1)) | (1U << kBits)} << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

  std::array<uint64_t, kCells> cells_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace bench

#endif  // SHF_BENCH_LATENCY_HPP_
