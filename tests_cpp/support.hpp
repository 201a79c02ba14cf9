// What the suites share: scratch maps, forked children, a watchdog, values that prove themselves.
#ifndef SHF_TESTS_SUPPORT_HPP_
#define SHF_TESTS_SUPPORT_HPP_

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shf/map.hpp"

namespace support {

// Long enough for a sanitizer on a busy machine; a wait that ends never reaches it.
constexpr unsigned kWatchdogSeconds = 240;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint32_t kSlowdown = 10;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr uint32_t kSlowdown = 10;
#else
constexpr uint32_t kSlowdown = 1;
#endif
#else
constexpr uint32_t kSlowdown = 1;
#endif

// Ends the process with SIGALRM when the scope takes too long. Not inherited by children.
class Watchdog {
 public:
  Watchdog() { alarm(kWatchdogSeconds); }
  ~Watchdog() { alarm(0); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
};

// Whether a process without root's powers gets to /dev/shm at all: not where / is root's alone.
inline bool OthersReachShm() {
  struct stat root {};
  return stat("/", &root) == 0 && (root.st_mode & S_IXOTH) != 0;
}

// A name in a folder that no other test uses; whatever file has it goes with the object.
class Scratch {
 public:
  explicit Scratch(std::string folder = "/dev/shm") : folder_(std::move(folder)) {
    static int count = 0;
    name_ = "shf-test-" + std::to_string(getpid()) + "-" + std::to_string(++count);
    unlink(path().c_str());
  }
  ~Scratch() {
    if (getpid() == owner_) unlink(path().c_str());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& folder() const { return folder_; }
  const std::string& name() const { return name_; }
  std::string path() const { return folder_ + "/" + name_ + ".shf"; }

  // A new map of that name.
  shf::Map Create(const shf::Options& options = shf::Options()) const {
    return Unwrap(shf::Map::Create(folder_, name_, options));
  }
  shf::Map Open() const { return Unwrap(shf::Map::Open(folder_, name_)); }
  shf::Map OpenReadOnly() const { return Unwrap(shf::Map::OpenReadOnly(folder_, name_)); }

 private:
  static shf::Map Unwrap(shf::Result<shf::Map> opened) {
    EXPECT_TRUE(opened.ok()) << opened.text();
    return std::move(opened).value();
  }

  pid_t owner_ = getpid();
  std::string folder_;
  std::string name_;
};

// Checks in a child, which cannot use GoogleTest's: prints and makes the child's function fail.
#define SHF_REQUIRE(condition)                                                            \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: child: not so: %s\n", __FILE__, __LINE__, #condition); \
      return false;                                                                       \
    }                                                                                     \
  } while (false)

// Runs check in a child with a watchdog of its own.
template <typename Check>
pid_t Fork(Check check) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(kWatchdogSeconds);
  const bool good = check();
  std::fflush(nullptr);
  _exit(good ? 0 : 1);
}

// Waits for a child: whether its function returned true.
inline bool Join(pid_t child) {
  int status = -1;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline bool JoinAll(const std::vector<pid_t>& children) {
  bool good = true;
  for (const pid_t child : children) good = Join(child) && good;
  return good;
}

// Runs check in a child and says whether it returned true.
template <typename Check>
bool InChild(Check check) {
  const Watchdog watchdog;
  return Join(Fork(check));
}

// How a check in a mount namespace of its own went; kSkipped: mounting is not permitted.
enum class Mounted { kGood, kBad, kSkipped };

// Runs check(folder) in a child after mount_it(folder), which mounts a fresh file system there that
// nobody else sees. Nothing stays behind, even when the child crashes.
template <typename MountIt, typename Check>
Mounted WithMount(MountIt mount_it, Check check) {
  const Watchdog watchdog;
  constexpr int kNoMount = 77;
  char folder[] = "/tmp/shf-test-XXXXXX";
  if (mkdtemp(folder) == nullptr) return Mounted::kSkipped;
  const pid_t child = Fork([&] {
    const bool mounted = unshare(CLONE_NEWNS) == 0 &&
                         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         mount_it(std::string(folder));
    if (!mounted) _exit(kNoMount);
    const bool good = check(std::string(folder));
    umount2(folder, MNT_DETACH);
    return good;
  });
  int status = -1;
  while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
  }
  rmdir(folder);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoMount) return Mounted::kSkipped;
  if (WIFSIGNALED(status)) std::printf("ended by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? Mounted::kGood : Mounted::kBad;
}

// As WithMount, with a file system that the kernel makes, such as a tmpfs.
template <typename Check>
Mounted OnMount(const char* type, const char* options, Check check) {
  return WithMount(
      [&](const std::string& folder) { return mount(type, folder.c_str(), type, 0, options) == 0; },
      check);
}

// As WithMount, with a file system on a loop device: mkfs is the command that makes it on an image
// of so many bytes.
template <typename Check>
Mounted OnLoopDevice(const std::string& mkfs, uint64_t bytes, Check check) {
  char image[] = "/tmp/shf-image-XXXXXX";
  const int fd = mkstemp(image);
  if (fd == -1) return Mounted::kSkipped;
  const bool made = ftruncate(fd, static_cast<off_t>(bytes)) == 0;
  close(fd);
  const std::string path = "PATH=$PATH:/usr/sbin:/sbin; ";
  const Mounted mounted = WithMount(
      [&](const std::string& folder) {
        const std::string command =
            path + mkfs + " " + image + " && mount -o loop " + image + " " + folder;
        return made && std::system(("(" + command + ") >/dev/null 2>&1").c_str()) == 0;
      },
      check);
  unlink(image);
  return mounted;
}

#define SHF_EXPECT_ON_MOUNT(type, options, check)                                     \
  do {                                                                                \
    const support::Mounted mounted = support::OnMount(type, options, check);          \
    if (mounted == support::Mounted::kSkipped) GTEST_SKIP() << "mounting needs root"; \
    EXPECT_EQ(static_cast<int>(mounted), static_cast<int>(support::Mounted::kGood));  \
  } while (false)

#define SHF_EXPECT_ON_LOOP_DEVICE(mkfs, bytes, check)                                       \
  do {                                                                                      \
    const support::Mounted mounted = support::OnLoopDevice(mkfs, bytes, check);             \
    if (mounted == support::Mounted::kSkipped) {                                            \
      GTEST_SKIP() << "it needs root, loop devices, and the command " << std::string(mkfs); \
    }                                                                                       \
    EXPECT_EQ(static_cast<int>(mounted), static_cast<int>(support::Mounted::kGood));        \
  } while (false)

// The bytes of a number, zeros included.
inline std::string Bytes(uint64_t number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number);
}

// A small fast generator (splitmix64), the same on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

// The seed of a test: SHF_TEST_SEED, or a fixed one; printed, so that a failure can be repeated.
inline uint64_t Seed() {
  const char* given = std::getenv("SHF_TEST_SEED");
  const uint64_t seed = given == nullptr ? 20240229 : std::strtoull(given, nullptr, 0);
  std::printf("SHF_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// A value that says its key, its salt and its own length, and is filled with bytes that follow from
// them: a mixture of two values, or a part of one, is no such value.
inline std::string ProvenValue(uint64_t key, uint64_t salt, size_t bytes_min) {
  std::string value = Bytes(key) + Bytes(salt) + Bytes(bytes_min);
  Random random(key * 31 + salt * 17 + bytes_min);
  while (value.size() < bytes_min + 24) value.push_back(static_cast<char>(random.Next()));
  return value;
}

// Whether the value is one of ProvenValue() for that key.
inline bool IsProven(uint64_t key, std::string_view value) {
  if (value.size() < 24) return false;
  uint64_t words[3];
  std::memcpy(words, value.data(), sizeof words);
  if (words[0] != key || words[2] + 24 != value.size()) return false;
  return value == ProvenValue(key, words[1], words[2]);
}

}  // namespace support

#endif  // SHF_TESTS_SUPPORT_HPP_
