// What our lock costs: alone, and when several processes write to one shard.
#include <pthread.h>

#include <array>
#include <string>

#include "../context.hpp"
#include "../rust_maps.hpp"
#include "random.hpp"
#include "shf/map.hpp"

namespace bench {
namespace {

constexpr char kMapName[] = "map";
// Few enough to stay in the caches: what is measured is the lock.
constexpr uint64_t kKeys = 1000;
constexpr uint64_t kValueBytes = 100;
constexpr std::array<unsigned, 4> kProcesses = {1, 2, 3, 4};

struct Meeting {
  Barrier barrier;
  std::array<double, kProcessesMax> starts = {};
  std::array<double, kProcessesMax> ends = {};
};

// Calls operation(key) `count` times with random keys; seconds from when all had come to the start.
template <typename Operation>
std::string Time(uint64_t count, unsigned n, unsigned processes, Meeting* meeting,
                 Operation operation) {
  Random random(n + 1);
  if (!meeting->barrier.Wait(processes)) return "another process failed";
  meeting->starts[n] = Now();
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t key = random.Below(kKeys);
    const std::string error = operation({reinterpret_cast<const char*>(&key), sizeof(key)});
    if (!error.empty()) return error;
  }
  meeting->ends[n] = Now();
  return "";
}

// `operation(map, key)` in so many processes, on a map of one shard; million operations a second.
template <typename Operation>
double Measure(Context* context, unsigned processes, Operation operation) {
  const TemporaryFolder folder(context->options.folder);
  const Shared<Meeting> meeting;
  shf::Options one_shard;
  one_shard.shards = 1;
  const uint64_t count = context->options.work.operations / processes;
  shf::Result<shf::Map> map = shf::Map::Create(folder.path(), kMapName, one_shard);
  const bool good = map.ok() && RunProcesses(processes, &meeting->barrier, [&](unsigned n) {
                      shf::Result<shf::Map> own = shf::Map::Open(folder.path(), kMapName);
                      if (!own.ok()) return "open: " + own.text();
                      return Time(count, n, processes, &*meeting,
                                  [&](std::string_view key) { return operation(*own, key); });
                    });
  if (!good) return context->Fail(kOurs, kSectionNames[kLock]), 0;
  const auto begin =
      *std::min_element(meeting->starts.begin(), meeting->starts.begin() + processes);
  const auto end = *std::max_element(meeting->ends.begin(), meeting->ends.begin() + processes);
  return static_cast<double>(count * processes) / (end - begin) / 1e6;
}

// Nanoseconds of a lock and unlock of what the C library has for the purpose.
double PthreadLock() {
  constexpr uint64_t kLocks = 20'000'000;
  const Shared<pthread_mutex_t> mutex;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&*mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
  const double begin = Now();
  for (uint64_t i = 0; i < kLocks; ++i) {
    pthread_mutex_lock(&*mutex);
    pthread_mutex_unlock(&*mutex);
  }
  const double seconds = Now() - begin;
  pthread_mutex_destroy(&*mutex);
  return seconds * 1e9 / kLocks;
}

}  // namespace

void MeasureLock(Context* context) {
  if (!context->options.Wants(kOurs)) return;
  const std::string value(kValueBytes, 'v');
  const auto put = [&](const shf::Map& map, std::string_view key) -> std::string {
    const shf::Result<shf::Placed> placed = map.Put(key, value);
    return placed.ok() ? "" : placed.text();
  };
  for (unsigned run = 0; run < context->options.runs; ++run) {
    for (const unsigned processes : kProcesses) {
      if (interrupted) return;
      context->Begin("lock: " + Several(processes, Kind::kShared) + " on one shard");
      const Scene scene = {kSectionNames[kLock], kKeys, kValueBytes, processes};
      context->Add(kOurs, scene, "UPDATE, one shard", kMops, Measure(context, processes, put));
      if (processes > 1) continue;
      const nlohmann::json ours = AskRustProgram(
          context->options, {"--store", "shf", "--lock", "--folder", context->options.folder});
      if (ours.is_null()) return context->Fail(kOurs, kSectionNames[kLock]);
      context->Add(kOurs, scene, "lock and unlock, ns", kNanoseconds, ours.value("lock_ns", 0.0));
      context->Add(kOurs, scene, "pthread, robust and shared, ns", kNanoseconds, PthreadLock());
    }
  }
}

}  // namespace bench
