// Goal: a get makes no system call, takes no lock and stores nothing. Method: a child that may not
// write to the mapped file any more, and that the kernel kills at any system call but read, write
// and exit (strict seccomp), gets keys that are there and keys that are not, and says so by one
// byte through a pipe.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "support.hpp"

namespace {

using support::Scratch;

constexpr uint64_t kKeys = 1000;
constexpr uint64_t kGets = 10000;
constexpr char kGood = 'g';
constexpr char kBad = 'b';
constexpr char kRefused = 'r';

// How the child went, the byte that it wrote: 0 when it wrote none, as after a forbidden call.
struct Outcome {
  char byte = 0;
  int status = -1;
};

// Takes the right to write from all mappings of a file; how many there are, or -1.
int ProtectMappings(const std::string& path) {
  int count = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(path) == std::string::npos) continue;
    uintptr_t start = 0;
    uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2) return -1;
    if (mprotect(reinterpret_cast<void*>(start), end - start, PROT_READ) != 0) return -1;
    ++count;
  }
  return count;
}

// Runs check in a child under strict seccomp that cannot write to the file. The check MUST NOT call
// the C library.
template <typename Check>
Outcome UnderStrictSeccomp(const std::string& path, Check check) {
  const support::Watchdog watchdog;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  const pid_t child = support::Fork([&] {
    char byte = kRefused;
    SHF_REQUIRE(path.empty() || ProtectMappings(path) >= 2);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) byte = check() ? kGood : kBad;
    const bool written = write(ends[1], &byte, 1) == 1;
    // exit_group, which _exit() calls, is forbidden.
    syscall(SYS_exit, written ? 0 : 1);
    return false;
  });
  close(ends[1]);
  Outcome outcome;
  while (read(ends[0], &outcome.byte, 1) == -1 && errno == EINTR) {
  }
  close(ends[0]);
  while (waitpid(child, &outcome.status, 0) == -1 && errno == EINTR) {
  }
  return outcome;
}

// Gets every key in turn, those from kKeys on are not there.
bool GetAll(const shf::Map& map, const std::vector<std::string>& keys, char* buffer, size_t bytes) {
  for (uint64_t i = 0; i < kGets; ++i) {
    const uint64_t key = i % keys.size();
    const shf::Result<size_t> got = map.Get(keys[key], buffer, bytes);
    if (key >= kKeys ? !got.absent() : !got.ok() || *got != 8 + key % 90) return false;
  }
  return true;
}

// A sanitizer makes system calls of its own, and has threads, of which only one would be killed.
constexpr bool kSanitized = support::kSlowdown != 1;

TEST(Seccomp, AGetMakesNoSystemCallAndNoStore) {
  if (kSanitized) GTEST_SKIP() << "not under a sanitizer";
  const Scratch scratch;
  scratch.Create();
  // By its name the file is found among the mappings.
  const shf::Map map = scratch.Open();
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 2 * kKeys; ++i) {
    keys.push_back(support::Bytes(i));
    if (i >= kKeys) continue;
    ASSERT_TRUE(map.Put(keys[i], std::string(8 + i % 90, 'v')).ok());
  }
  const shf::Map reader = scratch.OpenReadOnly();
  char buffer[128];
  for (const shf::Map* handle : {&map, &reader}) {
    const Outcome outcome = UnderStrictSeccomp(
        scratch.path(), [&] { return GetAll(*handle, keys, buffer, sizeof buffer); });
    if (outcome.byte == kRefused) GTEST_SKIP() << "strict seccomp is refused here";
    ASSERT_TRUE(WIFEXITED(outcome.status)) << "ended by signal " << WTERMSIG(outcome.status);
    EXPECT_EQ(outcome.byte, kGood) << (handle == &map ? "writable" : "read-only");
  }
}

TEST(Seccomp, ASystemCallIsSeen) {
  // The test above would pass as well if nobody watched.
  if (kSanitized) GTEST_SKIP() << "not under a sanitizer";
  const Outcome outcome = UnderStrictSeccomp("", [] { return syscall(SYS_getppid) >= 0; });
  if (outcome.byte == kRefused) GTEST_SKIP() << "strict seccomp is refused here";
  EXPECT_EQ(outcome.byte, 0);
  EXPECT_TRUE(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGKILL);
}

}  // namespace
