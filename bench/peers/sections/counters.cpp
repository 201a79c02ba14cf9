// Counters, of the stores that have them.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "../context.hpp"
#include "../team.hpp"
#include "random.hpp"

namespace bench {
namespace {

constexpr uint64_t kKeysParts = 10;  // of --keys, so many counters
constexpr uint64_t kLoadBatch = 100;

struct Meeting {
  Barrier barrier;
  std::array<double, kProcessesMax> starts = {};
  std::array<double, kProcessesMax> ends = {};
};

// The n-th of some that count.
struct Member {
  const Workload& work;
  Session& session;
  std::vector<Key> keys;

  // Adds one to the counter that `next` names, `count` times, `batch` of them in one call.
  template <typename Next>
  bool Add(uint64_t count, uint64_t batch, Next next) {
    while (count > 0) {
      const uint64_t many = std::min(count, batch);
      keys.clear();
      for (uint64_t n = 0; n < many; ++n) keys.push_back(KeyAt(work, next()));
      if (!session.AddMany(keys.data(), many)) return false;
      count -= many;
    }
    return true;
  }
};

// Million additions a second, each to any of `counters`; 0: it failed, and that was said.
double Measure(const Workload& work, const Peer& peer, const Way& way, uint64_t counters,
               unsigned processes, Context* context) {
  Place place(peer, work, context->options.folder);
  const Shared<Meeting> meeting;
  const uint64_t each = std::min(work.operations, way.operations_max) / processes;
  const auto body = [&](unsigned n) -> std::string {
    const std::unique_ptr<Session> session = place->Open();
    if (session == nullptr) return "open: " + place->error();
    Member member = {work, *session, {}};
    uint64_t next = counters * n / processes;
    const uint64_t own = counters * (n + 1) / processes - next;
    if (!member.Add(own, kLoadBatch, [&] { return next++; })) return session->error();
    if (!meeting->barrier.Wait(processes)) return "another process failed";
    Random random(work.seed + n);
    meeting->starts[n] = Now();
    const auto any = [&] { return random.Below(counters); };
    if (!member.Add(each, way.put_batch, any)) return session->error();
    meeting->ends[n] = Now();
    return "";
  };
  if (!place.Create() || !RunTeam(peer.kind, processes, &meeting->barrier, body)) {
    context->Fail(peer.name(), kSectionNames[kCounters]);
    return 0;
  }
  const auto begin = *std::min_element(&meeting->starts[0], &meeting->starts[processes]);
  const auto end = *std::max_element(&meeting->ends[0], &meeting->ends[processes]);
  return static_cast<double>(each * processes) / (end - begin) / 1e6;
}

}  // namespace

void MeasureCounters(Context* context) {
  Workload work = context->options.work;
  work.keys = std::max<uint64_t>(work.keys / kKeysParts, 100);
  for (unsigned run = 0; run < context->options.runs; ++run) {
    for (const unsigned processes : {1U, 2U}) {
      const Scene scene = {kSectionNames[kCounters], work.keys, sizeof(int64_t), processes};
      for (const Peer& peer : context->peers) {
        for (const Way& way : peer.ways) {
          if (interrupted) return;
          if (!way.counts || !context->options.Wants(way.name)) continue;
          context->Begin(std::string(kSectionNames[kCounters]) + ", " +
                         Several(processes, peer.kind) + ": " + way.name);
          const auto add = [&](const char* workload, uint64_t counters) {
            const double mops = Measure(work, peer, way, counters, processes, context);
            if (mops > 0) context->Add(way.name, scene, workload, kMops, mops);
          };
          add("ADD, many counters", work.keys);
          add("ADD, one counter", 1);
        }
      }
    }
  }
}

}  // namespace bench
