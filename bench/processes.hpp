// Child processes that measure: each on a processor of its own, with a place to write its results.
//
// What works runs in fresh processes, so that it starts with an untouched heap, and all its memory
// is gone before the next measurement starts.
#ifndef SHF_BENCH_PROCESSES_HPP_
#define SHF_BENCH_PROCESSES_HPP_

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <new>
#include <string>
#include <vector>

namespace bench {

constexpr unsigned kProcessesMax = 64;

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

// Lets SIGINT, SIGTERM and SIGHUP do that, and SIGPIPE, when nobody reads the output any more. No
// SA_RESTART: the wait for children ends at once.
inline void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  sigaction(SIGPIPE, &action, nullptr);
}

// Where processes wait for each other, busily at first, so that they start within a microsecond.
class Barrier {
 public:
  // Waits until all processes have called this equally often; false when one of them failed.
  bool Wait(unsigned processes) {
    const unsigned round = arrived_.fetch_add(1) / processes;
    for (unsigned turns = 0; arrived_.load() < (round + 1) * processes; ++turns) {
      if (broken_.load()) return false;
      // Who waits for long must not take processors from those that it waits for.
      if (turns < kBusyTurns) {
        sched_yield();
      } else {
        usleep(kPauseMicroseconds);
      }
    }
    return true;
  }
  void Break() { broken_.store(true); }
  bool broken() const { return broken_.load(); }

 private:
  static constexpr unsigned kBusyTurns = 1000;
  static constexpr useconds_t kPauseMicroseconds = 50;
  std::atomic<unsigned> arrived_{0};
  std::atomic<bool> broken_{false};
};

// The processors that this process may use; none where that cannot be found out.
inline cpu_set_t AllowedProcessors() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) CPU_ZERO(&allowed);
  return allowed;
}

// Keeps this process on the n-th of the processors that it may use.
inline void PinTo(unsigned n) {
  const cpu_set_t allowed = AllowedProcessors();
  if (CPU_COUNT(&allowed) == 0) return;
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

// Child processes that run body(n), the n-th on the n-th processor. A body returns what went wrong,
// or nothing. When one fails, the barrier is broken for the others.
class Children {
 public:
  template <typename Body>
  Children(unsigned count, Barrier* barrier, Body body) : barrier_(barrier) {
    std::fflush(nullptr);
    sigemptyset(&ended_);
    sigaddset(&ended_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ended_, &mask_);
    for (unsigned n = 0; n < count && good_ && !interrupted; ++n) {
      const pid_t child = fork();
      if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &mask_, nullptr);
        PinTo(n);
        const std::string error = body(n);
        if (!error.empty()) std::fprintf(stderr, "bench: %s\n", error.c_str());
        std::fflush(nullptr);
        _exit(error.empty() ? 0 : 1);
      }
      if (child < 0) {
        std::perror("bench: fork");
        Fail();
      } else {
        pids_.push_back(child);
      }
    }
  }
  ~Children() { sigprocmask(SIG_SETMASK, &mask_, nullptr); }
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // Waits for their end, calling tick() once a second; true: nothing went wrong in any.
  template <typename Tick>
  bool Wait(Tick tick) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point next = Clock::now() + std::chrono::seconds(1);
    while (Reap()) {
      const auto left = std::max(Clock::duration::zero(), next - Clock::now());
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      const timespec timeout = {
          static_cast<time_t>(seconds.count()),
          static_cast<long>(std::chrono::nanoseconds(left - seconds).count())};
      sigtimedwait(&ended_, nullptr, &timeout);
      if (interrupted) {
        for (const pid_t child : pids_) kill(child, SIGKILL);
      }
      if (Clock::now() < next) continue;
      next += std::chrono::seconds(1);
      tick();
    }
    return good_ && !interrupted;
  }

 private:
  // Collects those that have ended; whether any are left.
  bool Reap() {
    int status = 0;
    for (size_t i = 0; i < pids_.size();) {
      if (waitpid(pids_[i], &status, WNOHANG) == 0) {
        ++i;
        continue;
      }
      if (WIFSIGNALED(status) && !interrupted) {
        std::fprintf(stderr, "bench: process %d died of signal %d\n", static_cast<int>(pids_[i]),
                     WTERMSIG(status));
      }
      if (status != 0) Fail();
      pids_.erase(pids_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return !pids_.empty();
  }
  void Fail() {
    good_ = false;
    if (barrier_ != nullptr) barrier_->Break();
  }

  Barrier* const barrier_;
  sigset_t ended_;
  sigset_t mask_;
  std::vector<pid_t> pids_;
  bool good_ = true;
};

// Runs body(n) in `count` child processes and waits for them; true: nothing went wrong in any.
template <typename Body>
bool RunProcesses(unsigned count, Barrier* barrier, Body body) {
  return Children(count, barrier, body).Wait([] {});
}

}  // namespace bench

#endif  // SHF_BENCH_PROCESSES_HPP_
