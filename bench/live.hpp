// A line a second: how far the processes are, each one's share, and how fast they are together.
#ifndef SHF_BENCH_LIVE_HPP_
#define SHF_BENCH_LIVE_HPP_

#include <chrono>
#include <cstdint>
#include <vector>

#include "phases.hpp"
#include "processes.hpp"
#include "shf/map.hpp"

namespace bench {

class Live {
 public:
  // Prints the heading. What is pointed to must outlive this object.
  Live(const std::vector<Shared<Report>>* reports, const shf::Map* map);
  // Prints the line for the time since the last one.
  void Tick();

 private:
  using Clock = std::chrono::steady_clock;

  const std::vector<Shared<Report>>* const reports_;
  const shf::Map* const map_;
  Clock::time_point last_ = Clock::now();
  std::vector<uint64_t> operations_;  // of each process, up to the last line
  uint64_t splits_ = 0;
};

}  // namespace bench

#endif  // SHF_BENCH_LIVE_HPP_
