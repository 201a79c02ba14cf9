// Measures shf::Map beside other stores and beside the memory of the machine; --help says how.
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "command_line.hpp"
#include "context.hpp"
#include "get_loop.hpp"
#include "machine.hpp"
#include "machine_limit.hpp"
#include "report.hpp"

namespace bench {
namespace {

constexpr uint64_t kGrowthKeysParts = 10;  // of the keys of the largest table in that section
constexpr uint64_t kGrowthBytesEach = 64;

// What the largest table takes. TBB needs the most: its strings keep the capacity of the longest
// value that they ever had, or twice that.
uint64_t BytesNeeded(const Options& options) {
  const Workload& work = options.work;
  uint64_t bytes = work.keys * (2 * work.bytes_most() + kKeyBytes + 112);
  if (options.wanted[kGrowth]) {
    bytes = std::max(bytes, work.keys * kGrowthKeysParts * kGrowthBytesEach);
  }
  return bytes;
}

// Whether the file system of the folder has that much left; otherwise says so.
bool FitsIntoFolder(const std::string& folder, uint64_t bytes) {
  struct statvfs free;
  if (statvfs(folder.c_str(), &free) != 0) return true;
  const uint64_t free_bytes = static_cast<uint64_t>(free.f_bavail) * free.f_frsize;
  if (bytes <= free_bytes) return true;
  std::fprintf(stderr, "bench: needs about %llu MiB in %s, %llu MiB are free\n",
               static_cast<unsigned long long>(bytes >> 20), folder.c_str(),
               static_cast<unsigned long long>(free_bytes >> 20));
  return false;
}

// Keeps the peers that are asked for and can be measured; says what cannot.
void ChoosePeers(Context* context) {
  const Options& options = context->options;
  for (Peer& peer : AllPeers(options)) {
    std::vector<Way> ways;
    for (const Way& way : peer.ways) {
      const std::string& missing = peer.missing.empty() ? way.missing : peer.missing;
      if (missing.empty()) {
        ways.push_back(way);
      } else if (options.Wants(way.name)) {
        context->results.Skip(way.name, missing);
        std::printf("skipped: %s: %s\n", way.name.c_str(), missing.c_str());
      }
    }
    const auto wanted = [&](const Way& way) { return options.Wants(way.name); };
    if (std::none_of(ways.begin(), ways.end(), wanted)) continue;
    peer.ways = std::move(ways);
    context->peers.push_back(std::move(peer));
  }
  std::fflush(stdout);
}

// The same of caches.
void ChooseCaches(Context* context) {
  for (CachePeer& peer : AllCaches()) {
    if (!context->options.Wants(peer.name)) continue;
    if (peer.missing.empty()) {
      context->caches.push_back(std::move(peer));
    } else {
      const std::string name = peer.name + " as a cache";
      context->results.Skip(name, peer.missing);
      std::printf("skipped: %s: %s\n", name.c_str(), peer.missing.c_str());
    }
  }
  std::fflush(stdout);
}

int Run(const Options& options) {
  const uint64_t bytes = BytesNeeded(options);
  if (!FitsIntoMemory(bytes) || !FitsIntoFolder(options.folder, bytes)) return 1;
  if (options.get_loop > 0) return RunGetLoop(options) ? 0 : 1;
  PrintHeading(options);
  Context context;
  context.options = options;
  ChoosePeers(&context);
  if (options.wanted[kHits]) ChooseCaches(&context);
  const bool any =
      !context.peers.empty() || !context.caches.empty() || !context.results.skipped().empty();
  if (!any && !options.Wants(kMachine)) {
    std::fprintf(stderr, "bench: no peer has a name with what --peer says\n");
    return 1;
  }
  constexpr void (*kMeasure[kSections])(Context*) = {
      MeasureCore,     MeasureLimit,      MeasureLatency, MeasureMemory, MeasureAttach, MeasureLock,
      MeasureCounters, MeasureOperations, MeasureHits,    MeasureWider,  MeasureGrowth};
  for (unsigned section = 0; section < kSections; ++section) {
    if (options.wanted[section] && !interrupted) kMeasure[section](&context);
  }
  context.Begin("the end");
  PrintTables(context);
  const bool written = WriteJson(context);
  return written && !context.failed && !interrupted ? 0 : 1;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::Main<bench::Options>(argc, argv, bench::ParseOptions, bench::Run);
}
