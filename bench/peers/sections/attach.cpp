// How long a process takes to open a table that is there and loaded, until it could do its first
// get.
#include <algorithm>
#include <array>

#include "../context.hpp"
#include "../worker.hpp"

namespace bench {
namespace {

constexpr unsigned kTimes = 21;
// Opening maps a file or connects: it does not depend on how much is in there.
constexpr uint64_t kKeysMax = 1'000'000;

enum Mode : unsigned { kReadWrite, kReadOnly, kModes };
constexpr std::array<const char*, kModes> kNames = {"open", "open read-only"};

struct Times {
  std::array<std::array<double, kTimes>, kModes> microseconds = {};
};

std::string Load(const Workload& work, const Way& way, Store* store) {
  const std::unique_ptr<Session> session = store->Open();
  if (session == nullptr) return "open: " + store->error();
  Worker worker(work, way, session.get(), work.seed);
  worker.PutFresh(0, work.keys);
  return worker.error();
}

// Opens it again and again, by turns.
std::string OpenOften(const Peer& peer, Store* store, Times* out) {
  for (unsigned n = 0; n < kTimes; ++n) {
    for (const Mode mode : {kReadWrite, kReadOnly}) {
      if (mode == kReadOnly && !peer.opens_read_only) continue;
      const double start = Now();
      const std::unique_ptr<Session> session =
          mode == kReadOnly ? store->OpenReadOnly() : store->Open();
      out->microseconds[mode][n] = (Now() - start) * 1e6;
      if (session == nullptr) return "open: " + store->error();
    }
  }
  return "";
}

void Measure(const Peer& peer, Context* context) {
  Workload work = context->options.work;
  work.keys = std::min(work.keys, kKeysMax);
  const Scene scene = {kSectionNames[kAttach], work.keys, work.value_bytes, 1};
  Place place(peer, work, context->options.folder);
  const Shared<Times> result;
  // Who opens it has never had it open.
  const bool good =
      place.Create() &&
      RunProcesses(1, nullptr, [&](unsigned) { return Load(work, peer.ways.front(), &*place); }) &&
      RunProcesses(1, nullptr, [&](unsigned) { return OpenOften(peer, &*place, &*result); });
  if (!good) return context->Fail(peer.name(), scene.section);
  for (const Mode mode : {kReadWrite, kReadOnly}) {
    if (mode == kReadOnly && !peer.opens_read_only) continue;
    for (const double microseconds : result->microseconds[mode]) {
      context->Add(peer.name(), scene, kNames[mode], kMicroseconds, microseconds);
    }
  }
}

}  // namespace

void MeasureAttach(Context* context) {
  for (const Peer& peer : context->peers) {
    if (interrupted || peer.kind == Kind::kThreads || !peer.rust_store.empty()) continue;
    context->Begin(std::string(kSectionNames[kAttach]) + ": " + peer.name());
    Measure(peer, context);
  }
}

}  // namespace bench
