// Child processes that measure: each on a processor of its own, with a place to write its results.
//
// Every measurement runs in a fresh process, so that each store starts with an untouched heap, and
// all its memory is gone before the next one starts.
#ifndef SHF_BENCH_PROCESSES_HPP_
#define SHF_BENCH_PROCESSES_HPP_

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

namespace bench {

// A T in memory that this process shares with the children that it forks later.
template <typename T>
class Shared {
 public:
  Shared() {
    void* memory =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    value_ = new (memory) T();
  }
  ~Shared() { munmap(value_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  T* value_;
};

// Set by a signal: end the children and clean up.
inline volatile std::sig_atomic_t interrupted = 0;

// Where processes wait for each other, busily, so that they start within a microsecond.
class Barrier {
 public:
  // Waits until all processes have called this equally often; false when one of them failed.
  bool Wait(unsigned processes) {
    const unsigned round = arrived_.fetch_add(1) / processes;
    while (arrived_.load() < (round + 1) * processes) {
      if (broken_.load()) return false;
      sched_yield();
    }
    return true;
  }
  void Break() { broken_.store(true); }

 private:
  std::atomic<unsigned> arrived_{0};
  std::atomic<bool> broken_{false};
};

// Keeps this process on the n-th of the processors that it may use.
inline void PinTo(unsigned n) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) == 0) return;
  n %= static_cast<unsigned>(CPU_COUNT(&allowed));
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || n-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
    return;
  }
}

// Runs body(n) in `count` child processes, the n-th on the n-th processor, and waits for them.
// A body returns what went wrong, or nothing; true: nothing went wrong in any. When one fails,
// the barrier is broken for the others.
template <typename Body>
bool RunProcesses(unsigned count, Barrier* barrier, Body body) {
  std::fflush(nullptr);
  bool good = !interrupted;
  std::vector<pid_t> children;
  for (unsigned n = 0; n < count && good && !interrupted; ++n) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      PinTo(n);
      const std::string error = body(n);
      if (!error.empty()) std::fprintf(stderr, "bench: %s\n", error.c_str());
      std::fflush(nullptr);
      _exit(error.empty() ? 0 : 1);
    }
    if (child < 0) {
      std::perror("bench: fork");
      good = false;
    } else {
      children.push_back(child);
    }
  }
  if (!good && barrier != nullptr) barrier->Break();
  for (size_t left = children.size(); left > 0;) {
    int status = 0;
    const pid_t child = wait(&status);
    if (child < 0) {  // a signal arrived: the children are zombies at the latest now
      for (const pid_t each : children) kill(each, SIGKILL);
      continue;
    }
    --left;
    if (status == 0) continue;
    if (WIFSIGNALED(status) && !interrupted) {
      std::fprintf(stderr, "bench: process %d died of signal %d\n", static_cast<int>(child),
                   WTERMSIG(status));
    }
    good = false;
    if (barrier != nullptr) barrier->Break();
  }
  return good;
}

}  // namespace bench

#endif  // SHF_BENCH_PROCESSES_HPP_
