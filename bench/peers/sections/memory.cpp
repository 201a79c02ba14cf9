// Real memory over the bytes of keys and values: after the load, after everything was replaced five
// times with other sizes, after nine tenths were deleted, and after some more puts, in which a
// store may tidy up. Measured once: it depends on the workload, and hardly on chance.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "../context.hpp"
#include "../rust_maps.hpp"
#include "../worker.hpp"

namespace bench {
namespace {

enum Moment : unsigned { kLoaded, kReplaced, kDeleted, kDeletedThenPuts, kMoments };
constexpr std::array<const char*, kMoments> kNames = {"loaded", "replaced 5 times", "90 % deleted",
                                                      "90 % deleted, then puts"};
constexpr std::array<const char*, kMoments> kRustNames = {"loaded", "replaced", "deleted",
                                                          "deleted_then_puts"};
constexpr unsigned kRounds = 5;
constexpr uint64_t kPutsLeast = 200'000;
// Between these puts: some stores give memory back only a while after it was freed.
constexpr uint64_t kPauses = 4;
constexpr std::chrono::milliseconds kPause(1100);

struct Ratios {
  std::array<double, kMoments> ratios = {};
  std::array<char[256], kMoments> also = {};
  uint64_t empty_bytes = 0;
};

// One key in ten stays.
bool Stays(uint64_t index) { return Mix(index) % 10 == 0; }

class Churn {
 public:
  Churn(const Workload& work, const Way& way, Store* store, Ratios* out)
      : work_(work), way_(way), store_(store), out_(out) {}

  std::string Run() {
    const std::unique_ptr<Session> session = store_->Open();
    if (session == nullptr) return "open: " + store_->error();
    session_ = session.get();
    Worker worker(work_, way_, session_, work_.seed);
    out_->empty_bytes = store_->Measure(session_).bytes;
    worker.PutFresh(0, work_.keys);
    Take(kLoaded, work_.payload_bytes());
    uint64_t payload = 0;
    for (unsigned round = 0; round < kRounds; ++round) payload = worker.ReplaceAll(round);
    Take(kReplaced, payload);
    if (!worker.error().empty()) return worker.error();
    payload = DeleteMost();
    Take(kDeleted, payload);
    PutRemaining(&worker);
    Take(kDeletedThenPuts, payload);
    return worker.error().empty() ? session_->error() : worker.error();
  }

 private:
  void Take(Moment moment, uint64_t payload) {
    const Memory memory = store_->Measure(session_);
    out_->ratios[moment] = static_cast<double>(memory.bytes) / static_cast<double>(payload);
    memory.also.copy(out_->also[moment], sizeof(out_->also[moment]) - 1);
  }
  // Returns the bytes of what stays.
  uint64_t DeleteMost() {
    uint64_t payload = 0;
    std::vector<Key> keys;
    for (uint64_t index = 0; index < work_.keys; ++index) {
      if (Stays(index)) {
        payload += kKeyBytes + SizeOf(work_, index, kRounds - 1);
        continue;
      }
      keys.push_back(KeyAt(work_, index));
      if (keys.size() < way_.put_batch) continue;
      session_->DeleteMany(keys.data(), keys.size());
      keys.clear();
    }
    session_->DeleteMany(keys.data(), keys.size());
    return payload;
  }
  // Replaces what is left by values of the same size, a key about once.
  void PutRemaining(Worker* worker) {
    Random random(work_.seed);
    const uint64_t all = std::max(work_.keys / 10, kPutsLeast);
    for (uint64_t left = all; left > 0; --left) {
      if (left % (all / kPauses) == 0) std::this_thread::sleep_for(kPause);
      uint64_t index = random.Below(work_.keys);
      while (!Stays(index)) index = random.Below(work_.keys);
      worker->Put(index, SizeOf(work_, index, kRounds - 1));
    }
    worker->Finish();
  }

  const Workload& work_;
  const Way& way_;
  Store* const store_;
  Session* session_ = nullptr;
  Ratios* const out_;
};

void AskRust(const Peer& peer, const Scene& scene, Context* context) {
  std::vector<std::string> arguments =
      RustArguments(peer, context->options.work, context->options, 1);
  arguments.push_back("--memory");
  const nlohmann::json answer = AskRustProgram(context->options, arguments);
  if (answer.is_null()) return context->Fail(peer.name(), scene.section);
  TakeVersion(peer, answer, context);
  const nlohmann::json memory = answer.value("memory", nlohmann::json::object());
  for (unsigned moment = 0; moment < kMoments; ++moment) {
    const auto ratio = memory.find(kRustNames[moment]);
    if (ratio == memory.end()) continue;
    context->Add(peer.name(), scene, kNames[moment], kRatio, ratio->get<double>());
  }
}

void Measure(const Peer& peer, const Scene& scene, Context* context) {
  const Workload& work = context->options.work;
  Place place(peer, work, context->options.folder);
  const Shared<Ratios> result;
  const bool good = place.Create() && RunProcesses(1, nullptr, [&](unsigned) {
                      return Churn(work, peer.ways.front(), &*place, &*result).Run();
                    });
  if (!good) return context->Fail(peer.name(), scene.section);
  context->results.Note(peer.name() + ": an empty table takes " +
                        std::to_string(result->empty_bytes) + " bytes");
  for (unsigned moment = 0; moment < kMoments; ++moment) {
    context->Add(peer.name(), scene, kNames[moment], kRatio, result->ratios[moment]);
    const std::string also = result->also[moment];
    if (also.empty()) continue;
    context->results.Note(peer.name() + ", " + kNames[moment] + ": " + also);
  }
}

}  // namespace

void MeasureMemory(Context* context) {
  const Workload& work = context->options.work;
  const Scene scene = {kSectionNames[kMemory], work.keys, work.value_bytes, 1};
  for (const Peer& peer : context->peers) {
    // Our map takes the same memory whoever calls it.
    const bool again = !peer.rust_store.empty() && peer.kind != Kind::kThreads;
    if (interrupted || again || !context->options.Wants(peer.name())) continue;
    context->Begin(scene.section + ": " + peer.name());
    if (peer.rust_store.empty()) {
      Measure(peer, scene, context);
    } else {
      AskRust(peer, scene, context);
    }
  }
}

}  // namespace bench
