// Measures operations a second.
#include "throughput.hpp"

#include <algorithm>
#include <memory>

#include "rust_maps.hpp"
#include "team.hpp"
#include "worker.hpp"

namespace bench {
namespace {

constexpr size_t kWaysMax = 2;
// Of the keys, those that a way which does not load the table puts into it.
constexpr uint64_t kTailParts = 10;
// Of the keys, so many gets before the first that are timed.
constexpr uint64_t kMeetingParts = 16;

// One phase in one way.
struct Stage {
  double starts[kProcessesMax];
  double ends[kProcessesMax];
  uint64_t operations[kProcessesMax];

  // From when the first one started until the last one ended; 0: it was left out.
  double Mops(unsigned count) const {
    uint64_t all = 0;
    for (unsigned n = 0; n < count; ++n) all += operations[n];
    if (all == 0) return 0;
    const double seconds =
        *std::max_element(ends, ends + count) - *std::min_element(starts, starts + count);
    return static_cast<double>(all) / seconds / 1e6;
  }
};

// What those who work on one table share.
struct Meeting {
  Barrier barrier;
  Stage stages[kWaysMax][kPhases] = {};
  uint64_t memory_bytes = 0;
};

// The n-th of some that work on one table.
class Member {
 public:
  Member(const Plan& plan, const Peer& peer, const Options& options, unsigned n, Meeting* meeting)
      : plan_(plan), peer_(peer), options_(options), n_(n), meeting_(meeting) {}

  std::string Run(Store* store) {
    const std::unique_ptr<Session> session = store->Open();
    if (session == nullptr) return "open: " + store->error();
    for (const Way& way : peer_.ways) {
      workers_.push_back(
          std::make_unique<Worker>(plan_.work, way, session.get(), plan_.work.seed + n_ + 1));
    }
    if (!Load()) return Error();
    if (plan_.with_memory && n_ == 0) meeting_->memory_bytes = store->Measure(session.get()).bytes;
    const std::string unmet = Meet(session.get());
    if (!unmet.empty()) return unmet;
    for (const Phase phase : plan_.phases) {
      if (phase == kPut) continue;
      for (size_t w = 0; w < workers_.size(); ++w) {
        if (!Work(phase, w)) return Error();
      }
    }
    return Error();
  }

 private:
  // All ways together put each key once; the first one has those that the others leave.
  bool Load() {
    uint64_t end = plan_.work.keys;
    for (size_t w = workers_.size(); w-- > 0;) {
      const Way& way = peer_.ways[w];
      if (w > 0 && !(way.puts && options_.Wants(way.name))) continue;
      const uint64_t tail =
          w == 0 ? end : std::min(way.operations_max, plan_.work.keys / kTailParts);
      parts_.push_back({w, end - tail, end});
      end -= tail;
    }
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      const uint64_t count = part->end - part->first;
      const uint64_t first = part->first + count * n_ / plan_.processes;
      const uint64_t last = part->first + count * (n_ + 1) / plan_.processes;
      const auto put = [&] { workers_[part->way]->PutFresh(first, last); };
      if (!Time(part->way, kPut, last - first, put)) return false;
    }
    return true;
  }
  // A process has touched only the pages that it wrote: it meets those of the others before it is
  // timed.
  std::string Meet(Session* session) {
    if (!meeting_->barrier.Wait(plan_.processes)) return "another process failed";
    if (peer_.kind != Kind::kShared || plan_.processes == 1) return "";
    // With random numbers of its own: those of the workers are the same for all stores.
    Worker worker(plan_.work, peer_.ways.front(), session, ~plan_.work.seed - n_);
    worker.Gets(plan_.work.keys / kMeetingParts);
    return worker.error();
  }
  bool Work(Phase phase, size_t w) {
    const Way& way = peer_.ways[w];
    const bool only_gets = phase == kGet || phase == kZipf || phase == kMiss;
    if (!options_.Wants(way.name) || !(way.puts || only_gets)) return true;
    const uint64_t all = std::min(plan_.work.operations, way.operations_max);
    const uint64_t count = std::max<uint64_t>(all / plan_.processes, 1);
    workers_[w]->Prepare(phase, count);
    return Time(w, phase, count, [&] { workers_[w]->Run(phase, count); });
  }
  template <typename Body>
  bool Time(size_t w, Phase phase, uint64_t count, Body body) {
    if (!Error().empty() || !meeting_->barrier.Wait(plan_.processes)) return false;
    Stage& stage = meeting_->stages[w][phase];
    stage.starts[n_] = Now();
    body();
    stage.ends[n_] = Now();
    stage.operations[n_] = count;
    return true;
  }
  std::string Error() const {
    for (const auto& worker : workers_) {
      if (!worker->error().empty()) return worker->error();
    }
    return "";
  }

  struct Part {
    size_t way;
    uint64_t first;
    uint64_t end;
  };
  const Plan& plan_;
  const Peer& peer_;
  const Options& options_;
  const unsigned n_;
  Meeting* const meeting_;
  std::vector<std::unique_ptr<Worker>> workers_;  // one a way
  std::vector<Part> parts_;                       // of the keys, from the last ones to the first
};

}  // namespace

void MeasureThroughput(const Plan& plan, const Peer& peer, Context* context) {
  if (!peer.rust_store.empty()) return MeasureRustThroughput(plan, peer, context);
  Place place(peer, plan.work, context->options.folder);
  const Shared<Meeting> meeting;
  const bool good =
      place.Create() && RunTeam(peer.kind, plan.processes, &meeting->barrier, [&](unsigned n) {
        Member member(plan, peer, context->options, n, &*meeting);
        return member.Run(&*place);
      });
  if (!good) return context->Fail(peer.name(), plan.section);
  for (const Phase phase : plan.phases) {
    for (size_t w = 0; w < peer.ways.size(); ++w) {
      const double mops = meeting->stages[w][phase].Mops(plan.processes);
      if (mops > 0) {
        context->Add(peer.ways[w].name, plan.scene(), kPhaseNames[phase], kMops, mops);
      }
    }
  }
  if (plan.with_memory) {
    context->Add(peer.name(), plan.scene(), "memory per key", kBytes,
                 static_cast<double>(meeting->memory_bytes) / static_cast<double>(plan.work.keys));
  }
}

}  // namespace bench
