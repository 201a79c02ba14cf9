// Runs what works on a table: in processes, or in threads of one process, as the store asks.
#ifndef SHF_BENCH_PEERS_TEAM_HPP_
#define SHF_BENCH_PEERS_TEAM_HPP_

#include <sched.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "processes.hpp"
#include "store.hpp"

namespace bench {

// Runs body(n) in `count` threads of this process, the n-th on the n-th of the processors that are
// allowed. Returns what went wrong first, or nothing.
template <typename Body>
std::string RunThreads(unsigned count, const cpu_set_t& allowed, Barrier* barrier, Body body) {
  std::mutex mutex;
  std::string first_error;
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < count; ++n) {
    threads.emplace_back([&, n] {
      // A thread starts with the processor that its parent is kept on.
      sched_setaffinity(0, sizeof(allowed), &allowed);
      PinTo(n);
      const std::string error = body(n);
      if (error.empty()) return;
      barrier->Break();
      const std::lock_guard<std::mutex> lock(mutex);
      if (first_error.empty()) first_error = error;
    });
  }
  for (std::thread& thread : threads) thread.join();
  return first_error;
}

// Runs body(n) `count` times at once and waits; true: nothing went wrong, or else it was said. A
// body returns what went wrong, or nothing.
template <typename Body>
bool RunTeam(Kind kind, unsigned count, Barrier* barrier, Body body) {
  if (kind != Kind::kThreads || count == 1) return RunProcesses(count, barrier, body);
  const cpu_set_t allowed = AllowedProcessors();
  return RunProcesses(1, nullptr,
                      [&](unsigned) { return RunThreads(count, allowed, barrier, body); });
}

}  // namespace bench

#endif  // SHF_BENCH_PEERS_TEAM_HPP_
