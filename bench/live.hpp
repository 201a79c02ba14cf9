// A line a second and at the end of each phase: how far the processes are, each one's share, and
// how fast they are together.
#ifndef SHF_BENCH_LIVE_HPP_
#define SHF_BENCH_LIVE_HPP_

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
  // Prints the last line of each phase that has ended since the last call, then a line for now.
  void Tick();
  // When all processes have ended: prints the last lines of the phases that have none.
  void Finish();

 private:
  void EndPhasesBefore(unsigned phase);
  // The line of phase_ for the time from `from` to `to`.
  void PrintLine(uint64_t from, uint64_t to, const shf::Stats& stats);

  const std::vector<Shared<Report>>* const reports_;
  const shf::Map* const map_;
  // The last line's:
  uint64_t time_ = NowNs();
  unsigned phase_ = kPut;
  std::vector<uint64_t> operations_;  // of each process in phase_
  uint64_t total_ = 0;                // operations of all processes in all phases
  uint64_t splits_ = 0;
};

}  // namespace bench

#endif  // SHF_BENCH_LIVE_HPP_
