// Hit rates of caches: a get that misses is followed by a put. Measured once: they depend on the
// trace, and hardly on chance.
#include <algorithm>
#include <array>
#include <memory>
#include <string>

#include "../cache.hpp"
#include "../context.hpp"
#include "../trace.hpp"

namespace bench {
namespace {

constexpr uint64_t kKeysParts = 10;  // of --keys, so many keys come again in a trace
constexpr uint64_t kKeysLeast = 20'000;
constexpr uint64_t kRequestsEach = 8;  // for each of them
// Of a thousand of them, so many have room in the cache,
constexpr std::array<uint64_t, 5> kRoomsPerMille = {3, 10, 30, 100, 300};
// unless that would be too few for a map to be worth it.
constexpr uint64_t kRoomLeast = 1000;
// Slow caches are measured with that much room or more, and some of the traces.
constexpr uint64_t kPerMilleOfSlow = 100;

struct Outcome {
  double hit_rate = 0;  // of the second half, when the cache is full
  Held held;            // the most that was seen
};

// What the measuring process does.
std::string Replay(const Workload& work, const Trace& trace, Cache* cache, Outcome* outcome) {
  if (!cache->Open()) return cache->error();
  const size_t count = trace.requests.size();
  uint64_t hits = 0;
  for (size_t n = 0; n < count; ++n) {
    if (n == count / 2) {
      hits = 0;
      outcome->held = cache->Measure();
    }
    const uint64_t index = trace.requests[n];
    if (cache->Get(index)) {
      ++hits;
    } else if (!cache->Put(index, trace.ValueBytes(work, index))) {
      return cache->error();
    }
  }
  outcome->hit_rate = static_cast<double>(hits) / static_cast<double>(count - count / 2);
  const Held end = cache->Measure();
  if (end.bytes > outcome->held.bytes) outcome->held = end;
  return cache->error();
}

class Hits {
 public:
  Hits(const Workload& work, Context* context) : work_(work), context_(context) {}

  // All caches at all sizes.
  void Measure(const Trace& trace) {
    for (const uint64_t per_mille : kRoomsPerMille) {
      const uint64_t keys = work_.keys * per_mille / 1000;
      if (keys < kRoomLeast) continue;
      Held room = {keys, keys * (kKeyBytes + work_.value_bytes)};
      for (const CachePeer& peer : context_->caches) {
        if (interrupted) return;
        if (peer.slow && (per_mille < kPerMilleOfSlow || !trace.pattern.brief)) continue;
        const Outcome outcome = MeasureOne(trace, peer, keys, room);
        if (outcome.held.bytes > 0 && peer.name == kOurs) room = outcome.held;
      }
    }
  }

 private:
  Outcome MeasureOne(const Trace& trace, const CachePeer& peer, uint64_t keys, const Held& room) {
    const Scene scene = {kSectionNames[kHits], keys, work_.value_bytes, 1};
    context_->Begin(scene.section + ", " + trace.pattern.name + ", room for " +
                    std::to_string(keys) + " keys: " + peer.name);
    const TemporaryFolder folder(context_->options.folder);
    const std::unique_ptr<Cache> cache = peer.make(work_, room, folder.path());
    const Shared<Outcome> outcome;
    const bool good = RunProcesses(
        1, nullptr, [&](unsigned) { return Replay(work_, trace, cache.get(), &*outcome); });
    if (!good) {
      context_->Fail(peer.name, scene.section);
      return {};
    }
    context_->Add(peer.name, scene, trace.pattern.name, kHitRate, outcome->hit_rate);
    if (trace.pattern.brief && peer.kind != Kind::kThreads) {
      context_->results.Note(peer.name + ", " + trace.pattern.name + ", room for " +
                             std::to_string(keys) + " keys: it held " +
                             std::to_string(outcome->held.keys));
    }
    return *outcome;
  }

  const Workload& work_;
  Context* const context_;
};

}  // namespace

void MeasureHits(Context* context) {
  Workload work = context->options.work;
  work.keys = std::max(work.keys / kKeysParts, kKeysLeast);
  for (const Pattern& pattern : Patterns()) {
    if (interrupted) return;
    context->Begin(std::string(kSectionNames[kHits]) + ": makes " + pattern.name);
    const Trace trace = MakeTrace(pattern, work.keys, work.keys * kRequestsEach, work.seed);
    Hits(work, context).Measure(trace);
  }
}

}  // namespace bench
