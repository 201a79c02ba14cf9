// What the sections of the comparison work with.
#ifndef SHF_BENCH_PEERS_CONTEXT_HPP_
#define SHF_BENCH_PEERS_CONTEXT_HPP_

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cache.hpp"
#include "options.hpp"
#include "peers.hpp"
#include "processes.hpp"
#include "row.hpp"
#include "store.hpp"
#include "temporary_folder.hpp"
#include "workload.hpp"

namespace bench {

struct Context {
  Options options;
  std::vector<Peer> peers;        // those that are asked for and can be measured
  std::vector<CachePeer> caches;  // the same, for the section about hit rates
  Results results;
  double start = Now();
  bool failed = false;

  // Says on standard error what is measured now.
  void Begin(const std::string& what) const {
    std::fprintf(stderr, "[%7.1f s] %s\n", Now() - start, what.c_str());
  }
  // The rest is measured all the same: one peer's trouble must not cost the others an hour.
  void Fail(const std::string& name, const std::string& section) {
    if (interrupted) return;
    failed = true;
    results.Skip(name, "failed in the section " + section + "; standard error says why");
  }
  void Add(const std::string& name, const Scene& scene, const std::string& workload,
           const std::string& unit, double value) {
    if (options.Wants(name)) results.Add(name, scene, workload, unit, value);
  }
};

// "2 processes", or threads where that is what they are.
inline std::string Several(unsigned count, Kind kind) {
  const std::string what = kind == Kind::kThreads ? "thread" : "process";
  if (count == 1) return "1 " + what;
  return std::to_string(count) + " " + what + (kind == Kind::kThreads ? "s" : "es");
}

// A table of a peer in a folder that goes with it.
class Place {
 public:
  Place(const Peer& peer, const Workload& work, const std::string& folder)
      : folder_(folder), store_(peer.make(work, folder_.path())) {}
  // False: that has been said.
  bool Create() {
    if (store_->Create()) return true;
    std::fprintf(stderr, "bench: create: %s\n", store_->error().c_str());
    return false;
  }
  Store& operator*() const { return *store_; }
  Store* operator->() const { return store_.get(); }

 private:
  const TemporaryFolder folder_;
  const std::unique_ptr<Store> store_;
};

// The sections. Each measures all peers that it is about and adds its rows; `interrupted` ends it
// early.
void MeasureCore(Context* context);
void MeasureLimit(Context* context);
void MeasureLatency(Context* context);
void MeasureMemory(Context* context);
void MeasureAttach(Context* context);
void MeasureLock(Context* context);
void MeasureCounters(Context* context);
void MeasureOperations(Context* context);
void MeasureHits(Context* context);
// Parts of the section "operations".
void MeasureLists(Context* context);
void MeasureAges(Context* context);
void MeasureWider(Context* context);
void MeasureGrowth(Context* context);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_CONTEXT_HPP_
