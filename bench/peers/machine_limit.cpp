// Measures random reads and copies in a mapping.
#include "machine_limit.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "random.hpp"

namespace bench {
namespace {

constexpr uint64_t kLine = 64;
constexpr uint64_t kCopy = 116;
constexpr unsigned kBatch = 32;

enum Kinds : unsigned {
  kReadDependent,
  kReadPrefetched,
  kCopyDependent,
  kCopyPrefetched,
  kAccesses
};
constexpr std::array<const char*, kAccesses> kNames = {
    "read 64 B, dependent", "read 64 B, prefetched", "copy 116 B, dependent",
    "copy 116 B, prefetched"};

// A shared mapping of a new file, full of random words.
class Mapping {
 public:
  Mapping(const std::string& path, uint64_t bytes) : bytes_(bytes) {
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
      void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      if (memory != MAP_FAILED) start_ = static_cast<char*>(memory);
    }
    close(file);
    for (uint64_t at = 0; start_ != nullptr && at + sizeof(at) <= bytes; at += sizeof(at)) {
      const uint64_t word = Mix(at);
      std::memcpy(start_ + at, &word, sizeof(word));
    }
  }
  ~Mapping() {
    if (start_ != nullptr) munmap(start_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const char* start() const { return start_; }

 private:
  const uint64_t bytes_;
  char* start_ = nullptr;
};

// An access takes a place and returns a number that depends on all that it read.
struct Read {
  static constexpr uint64_t kBytes = kLine;
  uint64_t operator()(const char* at) const {
    uint64_t words[kLine / 8];
    std::memcpy(words, at, sizeof(words));
    uint64_t sum = 0;
    for (const uint64_t word : words) sum += word;
    return sum;
  }
};
struct Copy {
  static constexpr uint64_t kBytes = kCopy;
  uint64_t operator()(const char* at) {
    std::memcpy(buffer, at, sizeof(buffer));
    uint64_t first = 0, last = 0;
    std::memcpy(&first, buffer, sizeof(first));
    std::memcpy(&last, buffer + sizeof(buffer) - sizeof(last), sizeof(last));
    // The compiler must believe that somebody reads all of the copy.
    asm volatile("" : : "r"(buffer) : "memory");
    return first + last;
  }
  char buffer[kCopy];
};

template <typename Access>
uint64_t Dependent(const char* start, uint64_t places, uint64_t count, Access access) {
  uint64_t read = 0;
  for (uint64_t i = 0; i < count; ++i) {
    read = access(start + ((Mix(read + i) >> 32) * places >> 32) * Access::kBytes);
  }
  return read;
}

template <typename Access>
uint64_t Prefetched(const char* start, uint64_t places, uint64_t count, Access access) {
  uint64_t read = 0;
  Random random(count);
  const char* batch[kBatch];
  for (uint64_t i = 0; i < count; i += kBatch) {
    for (const char*& at : batch) {
      at = start + random.Below(places) * Access::kBytes;
      for (uint64_t byte = 0; byte < Access::kBytes; byte += kLine) __builtin_prefetch(at + byte);
      __builtin_prefetch(at + Access::kBytes - 1);
    }
    for (const char* at : batch) read += access(at);
  }
  return read;
}

// Measures the first `accesses` of all kinds.
void Measure(const Workload& work, const std::string& section, unsigned accesses,
             Context* context) {
  if (interrupted || !context->options.Wants(kMachine)) return;
  context->Begin(section + ", " + std::to_string(work.payload_bytes()) + " bytes: " + kMachine);
  const TemporaryFolder folder(context->options.folder);
  const Shared<std::array<double, kAccesses>> mops;
  const uint64_t count = (work.operations + kBatch - 1) / kBatch * kBatch;
  const bool good = RunProcesses(1, nullptr, [&](unsigned) -> std::string {
    const Mapping mapping(folder.path() + "/limit", work.payload_bytes());
    const char* const start = mapping.start();
    if (start == nullptr) return "a mapping cannot be made";
    const auto time = [&](Kinds kind, auto run, auto access) {
      if (kind >= accesses) return;
      const uint64_t places = work.payload_bytes() / decltype(access)::kBytes;
      const double begin = Now();
      const uint64_t read = run(start, places, count, access);
      asm volatile("" : : "r"(read));
      (*mops)[kind] = static_cast<double>(count) / (Now() - begin) / 1e6;
    };
    time(kReadDependent, Dependent<Read>, Read());
    time(kReadPrefetched, Prefetched<Read>, Read());
    time(kCopyDependent, Dependent<Copy>, Copy());
    time(kCopyPrefetched, Prefetched<Copy>, Copy());
    return "";
  });
  if (!good) return context->Fail(kMachine, section);
  for (unsigned kind = 0; kind < accesses; ++kind) {
    const Scene scene = {section, work.keys, work.value_bytes, 1};
    context->Add(kMachine, scene, kNames[kind], kMops, (*mops)[kind]);
  }
}

}  // namespace

void MeasureReads(const Workload& work, const std::string& section, Context* context) {
  Measure(work, section, kCopyDependent, context);
}

void MeasureLimit(Context* context) {
  for (unsigned run = 0; run < context->options.runs; ++run) {
    Measure(context->options.work, kSectionNames[kLimit], kAccesses, context);
  }
}

}  // namespace bench
