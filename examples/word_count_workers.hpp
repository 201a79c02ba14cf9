// The processes of the word count: workers that count, and the supervisor that starts, kills and
// replaces them.
//
// Every worker adds 1 to the key of each word it reads. The files are handed out by one more
// number in the same map. After each Add that returned, the worker notes its position on a page
// that it shares with its parent, so that the worker that replaces a killed one goes on right
// behind the last acknowledged add. The one add that was under way may or may not have happened:
//
//   Add(word n)          -> the map counts it
//       killed here: word n is counted, but the position says n - 1, and n is counted again
//   words.store(n)       -> acknowledged
//
// So the shared count may exceed the true one by at most 1 for each kill, and never falls below:
// the map loses nothing that it acknowledged, and it needs no help to go on.
#ifndef SHF_EXAMPLES_WORD_COUNT_WORKERS_HPP_
#define SHF_EXAMPLES_WORD_COUNT_WORKERS_HPP_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shf/map.hpp"
#include "word_count_text.hpp"

namespace word_count {

using Clock = std::chrono::steady_clock;
using Counts = std::unordered_map<std::string, int64_t>;

constexpr char kMapFolder[] = "/dev/shm";
// The key of how many files were handed out. Its 0 byte keeps it apart from every word.
constexpr std::string_view kFilesTaken("\0files taken", 12);
constexpr int kNobody = -1;

// Set by a signal: stop, and remove the map.
inline volatile sig_atomic_t interrupted = 0;

// How far a file is, on memory that all processes share. Written by the worker whose seat it
// names, read by its parent and by the worker that replaces it; a cache line each.
struct alignas(64) FileProgress {
  std::atomic<int> seat{kNobody};
  std::atomic<bool> finished{false};
  std::atomic<uint64_t> words{0};  // acknowledged adds
};

// What parent and workers agree on before the first fork.
struct Plan {
  std::string map_name;
  std::vector<std::string> files;
  unsigned workers = 0;
  unsigned kills = 0;  // how many workers to kill, at moments that the seed decides
  uint64_t seed = 0;
  FileProgress* progress = nullptr;  // one for each of files
};

inline double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- the worker process ------------------------------------------------------------------------

inline bool CountFile(const shf::Map& map, const Plan& plan, size_t file) {
  FileProgress& progress = plan.progress[file];
  const uint64_t acknowledged = progress.words.load();
  uint64_t position = 0;
  bool good = true;
  ForEachWord(ReadFile(plan.files[file]), [&](std::string_view word) {
    if (++position <= acknowledged || !good) return;
    const shf::Result<int64_t> sum = map.Add(word, 1);
    if (sum.ok()) {
      progress.words.store(position, std::memory_order_release);
    } else {
      std::fprintf(stderr, "worker: add: %s\n", sum.text().c_str());
      good = false;
    }
  });
  if (good) progress.finished.store(true);
  return good;
}

// Goes on with what a killed predecessor in this seat left, then takes files until none is left.
inline int Work(const Plan& plan, int seat) {
  shf::Result<shf::Map> opened = shf::Map::Open(kMapFolder, plan.map_name);
  if (!opened.ok()) {
    std::fprintf(stderr, "worker: open: %s\n", opened.text().c_str());
    return 1;
  }
  const shf::Map map = std::move(opened).value();
  for (size_t file = 0; file < plan.files.size(); ++file) {
    const FileProgress& progress = plan.progress[file];
    if (progress.seat == seat && !progress.finished && !CountFile(map, plan, file)) return 1;
  }
  for (;;) {
    const shf::Result<int64_t> taken = map.Add(kFilesTaken, 1);
    if (!taken.ok()) {
      std::fprintf(stderr, "worker: take a file: %s\n", taken.text().c_str());
      return 1;
    }
    const size_t file = static_cast<size_t>(*taken) - 1;
    if (file >= plan.files.size()) return 0;
    plan.progress[file].seat = seat;
    if (!CountFile(map, plan, file)) return 1;
  }
}

// ---- what the map holds ------------------------------------------------------------------------

// A number comes out of the map as 8 bytes, little-endian.
inline int64_t NumberOf(std::string_view value) {
  uint64_t number = 0;
  for (size_t i = 0; i < value.size() && i < 8; ++i) {
    number |= static_cast<uint64_t>(static_cast<unsigned char>(value[i])) << (8 * i);
  }
  return static_cast<int64_t>(number);
}

// All words with their counts. A word that ForEach visits twice is simply set twice.
inline Counts ReadCounts(const shf::Map& map) {
  Counts counts;
  const shf::Result<void> walked = map.ForEach(
      [](void* context, std::string_view key, std::string_view value) {
        if (key[0] != '\0') (*static_cast<Counts*>(context))[std::string(key)] = NumberOf(value);
        return true;
      },
      &counts);
  if (!walked.ok()) std::fprintf(stderr, "walk: %s\n", walked.text().c_str());
  return counts;
}

inline std::vector<std::pair<int64_t, std::string>> Top(const Counts& counts, size_t wanted) {
  std::vector<std::pair<int64_t, std::string>> words;
  for (const auto& [word, count] : counts) words.emplace_back(count, word);
  wanted = std::min(wanted, words.size());
  std::partial_sort(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(wanted), words.end(),
                    std::greater<>());
  words.resize(wanted);
  return words;
}

// ---- the parent process ------------------------------------------------------------------------

// Starts the workers, kills some of them, replaces these, and shows how far the count is.
class Supervisor {
 public:
  Supervisor(const Plan& plan, const shf::Map& map, uint64_t words_total)
      : plan_(plan), map_(map), words_total_(words_total), random_(plan.seed) {
    std::uniform_real_distribution<double> moment(0.05, 0.85);
    for (unsigned i = 0; i < plan.kills; ++i) {
      const double words = moment(random_) * static_cast<double>(words_total);
      kill_after_words_.push_back(static_cast<uint64_t>(words));
    }
    std::sort(kill_after_words_.rbegin(), kill_after_words_.rend());
    workers_.resize(plan.workers);
  }
  ~Supervisor() {
    for (const pid_t pid : workers_) {
      if (pid != 0 && kill(pid, SIGKILL) == 0) waitpid(pid, nullptr, 0);
    }
  }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns when every file is counted; false when that cannot be.
  bool Run() {
    const Clock::time_point start = Clock::now();
    Clock::time_point shown = start;
    for (size_t seat = 0; seat < workers_.size(); ++seat) Start(seat);
    while (good_ && !interrupted) {
      const size_t running = Collect();
      if (running == 0 && !AdoptLostFiles()) break;
      const uint64_t words = WordsAcknowledged();
      if (running > 0 && !kill_after_words_.empty() && words >= kill_after_words_.back()) {
        kill_after_words_.pop_back();
        KillOne(running);
      }
      if (SecondsSince(shown) >= 0.5) {
        shown = Clock::now();
        Show(words, SecondsSince(start));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    seconds_ = SecondsSince(start);
    if (good_ && !interrupted) Show(WordsAcknowledged(), seconds_);
    if (isatty(STDOUT_FILENO)) std::printf("\n");
    return good_ && !interrupted;
  }

  unsigned kills() const { return kills_; }
  double seconds() const { return seconds_; }

 private:
  void Start(size_t seat) {
    std::fflush(stdout);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      signal(SIGINT, SIG_IGN);  // the parent ends its workers itself
      signal(SIGTERM, SIG_DFL);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(getppid() == parent ? Work(plan_, static_cast<int>(seat)) : 1);
    }
    if (pid < 0) {
      std::perror("fork");
      good_ = false;
      return;
    }
    workers_[seat] = pid;
  }

  // Notices workers that ended by themselves; returns how many still run.
  size_t Collect() {
    size_t running = 0;
    for (pid_t& pid : workers_) {
      int status = 0;
      if (pid != 0 && waitpid(pid, &status, WNOHANG) == pid) {
        pid = 0;
        if (status != 0) good_ = false;
      }
      if (pid != 0) ++running;
    }
    return running;
  }

  // Kills one of the running workers, whatever it is doing, and puts a new one into its seat.
  void KillOne(size_t running) {
    size_t skip = random_() % running;
    size_t seat = 0;
    while (workers_[seat] == 0 || skip-- > 0) ++seat;
    const pid_t pid = workers_[seat];
    int status = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    workers_[seat] = 0;
    if (!WIFSIGNALED(status)) {  // it was faster
      if (status != 0) good_ = false;
      return;
    }
    ++kills_;
    EndLine();
    std::printf("  kill -9: worker %zu (process %d)", seat, static_cast<int>(pid));
    for (size_t file = 0; file < plan_.files.size(); ++file) {
      const FileProgress& progress = plan_.progress[file];
      if (progress.seat != static_cast<int>(seat) || progress.finished) continue;
      std::printf(" after word %llu of %s", static_cast<unsigned long long>(progress.words),
                  plan_.files[file].c_str());
      break;
    }
    Start(seat);
    std::printf("\n           process %d takes its place\n", static_cast<int>(workers_[seat]));
  }

  // A worker killed between taking a file and writing its seat on it leaves a file that belongs to
  // nobody: one more worker gets those. Returns whether there were any.
  bool AdoptLostFiles() {
    bool found = false;
    for (size_t file = 0; file < plan_.files.size(); ++file) {
      if (plan_.progress[file].finished) continue;
      plan_.progress[file].seat = 0;
      found = true;
    }
    if (found) Start(0);
    return found;
  }

  uint64_t WordsAcknowledged() const {
    uint64_t words = 0;
    for (size_t i = 0; i < plan_.files.size(); ++i) words += plan_.progress[i].words;
    return words;
  }

  // Redraws one line on a terminal, adds one elsewhere.
  void Show(uint64_t words, double seconds) {
    size_t finished = 0;
    for (size_t i = 0; i < plan_.files.size(); ++i) finished += plan_.progress[i].finished ? 1 : 0;
    const double done = static_cast<double>(words);
    const uint64_t total = std::max<uint64_t>(words_total_, 1);
    std::printf("%s  %3.0f%%  %zu of %zu files  %.2f M words/s ",
                isatty(STDOUT_FILENO) ? "\r\033[K" : "", 100 * done / static_cast<double>(total),
                finished, plan_.files.size(), done / std::max(seconds, 1e-3) / 1e6);
    for (const auto& [count, word] : Top(ReadCounts(map_), 4)) {
      std::printf(" %s %lld", word.c_str(), static_cast<long long>(count));
    }
    if (!isatty(STDOUT_FILENO)) std::printf("\n");
    std::fflush(stdout);
  }

  void EndLine() const {
    if (isatty(STDOUT_FILENO)) std::printf("\r\033[K");
  }

  const Plan& plan_;
  const shf::Map& map_;
  const uint64_t words_total_;
  std::mt19937_64 random_;
  std::vector<uint64_t> kill_after_words_;  // the next one is the last
  std::vector<pid_t> workers_;              // by seat; 0: nobody
  unsigned kills_ = 0;
  double seconds_ = 0;
  bool good_ = true;
};

}  // namespace word_count

#endif  // SHF_EXAMPLES_WORD_COUNT_WORKERS_HPP_
