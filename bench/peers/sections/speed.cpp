// The sections that measure operations a second: the core, the wider run, and how cost grows.
#include <algorithm>

#include "../context.hpp"
#include "../machine_limit.hpp"
#include "../throughput.hpp"

namespace bench {
namespace {

constexpr std::array<uint64_t, 3> kWiderValueBytes = {8, 100, 1000};
constexpr uint64_t kWiderKeysParts = 10;  // of --keys
constexpr unsigned kOversubscribed = 4;   // processes
constexpr uint64_t kGrowthValueBytes = 8;

// The engine called from Rust shows what the bridge costs; that needs one process, and one section.
bool IsOursFromRust(const Peer& peer) {
  return !peer.rust_store.empty() && peer.kind != Kind::kThreads;
}

void Measure(const Plan& plan, const Peer& peer, const std::string& run, Context* context) {
  if (interrupted) return;
  context->Begin(plan.section + ", " + std::to_string(plan.work.keys) + " keys, " +
                 std::to_string(plan.work.value_bytes) + " bytes, " +
                 Several(plan.processes, peer.kind) + run + ": " + peer.name());
  MeasureThroughput(plan, peer, context);
}

std::string RunOf(unsigned run, const Options& options) {
  return ", run " + std::to_string(run + 1) + " of " + std::to_string(options.runs);
}

}  // namespace

// The stores take turns, so that a change of the machine's mood meets all of them.
void MeasureCore(Context* context) {
  const Options& options = context->options;
  for (unsigned run = 0; run < options.runs; ++run) {
    for (const unsigned processes : {1U, 2U}) {
      Plan plan;
      plan.work = options.work;
      plan.section = kSectionNames[kCore];
      plan.processes = processes;
      for (const Peer& peer : context->peers) {
        if (IsOursFromRust(peer) && processes > 1) continue;
        Measure(plan, peer, RunOf(run, options), context);
      }
    }
  }
}

void MeasureWider(Context* context) {
  Plan plan;
  plan.work = context->options.work;
  plan.work.keys = std::max<uint64_t>(plan.work.keys / kWiderKeysParts, 100);
  plan.section = kSectionNames[kWider];
  for (const uint64_t bytes : kWiderValueBytes) {
    plan.work.value_bytes = bytes;
    for (const Peer& peer : context->peers) {
      if (!IsOursFromRust(peer)) Measure(plan, peer, "", context);
    }
  }
  plan.work.value_bytes = context->options.work.value_bytes;
  plan.processes = kOversubscribed;
  for (Peer peer : context->peers) {
    const auto is_not = [](const Way& way) { return !way.four_processes; };
    peer.ways.erase(std::remove_if(peer.ways.begin(), peer.ways.end(), is_not), peer.ways.end());
    if (!peer.ways.empty()) Measure(plan, peer, "", context);
  }
}

// From a hundredth of the keys to ten times as many.
void MeasureGrowth(Context* context) {
  const Options& options = context->options;
  Plan plan;
  plan.work = options.work;
  plan.work.value_bytes = kGrowthValueBytes;
  plan.section = kSectionNames[kGrowth];
  plan.phases = {kPut, kGet, kMiss};
  plan.with_memory = true;
  for (uint64_t keys = options.work.keys / 100; keys <= options.work.keys * 10; keys *= 10) {
    plan.work.keys = keys;
    for (unsigned run = 0; run < options.runs; ++run) {
      for (const Peer& peer : context->peers) {
        if (peer.grows && keys <= peer.grows_keys_max) {
          Measure(plan, peer, RunOf(run, options), context);
        }
      }
      MeasureReads(plan.work, plan.section, context);
    }
  }
}

}  // namespace bench
