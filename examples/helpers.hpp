// What the examples share: saying what failed, and starting, killing and awaiting child processes.
#ifndef SHF_EXAMPLES_HELPERS_HPP_
#define SHF_EXAMPLES_HELPERS_HPP_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

namespace examples {

constexpr char kMapFolder[] = "/dev/shm";

// Says what failed; the exit code of a program that failed.
inline int Fail(const char* what, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", what, why.c_str());
  return 1;
}

// Runs work() in a child process; what it returns is the child's exit code. The child does not
// outlive its parent. -1: there is no child, which has been said.
template <typename Work>
pid_t Start(Work work) {
  std::fflush(nullptr);  // or parent and child both print what is still in the buffers
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) std::perror("fork");
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int code = getppid() == parent ? work() : 1;
  std::fflush(nullptr);
  _exit(code);
}

// Waits for the end of a child. Its status as waitpid() has it: 0 says that all went well. -1 where
// Start() failed.
inline int Wait(pid_t child) {
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return status;
}

// Whether a status of Wait() says that the child died of kill -9.
inline bool Killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

// kill -9, for a child that has not been waited for. Where Start() failed there is nobody to kill.
inline void Kill(pid_t child) {
  if (child > 0) kill(child, SIGKILL);
}

}  // namespace examples

#endif  // SHF_EXAMPLES_HELPERS_HPP_
