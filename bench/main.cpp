// The benchmark: processes put, mix and get on one map; --help says what can be chosen.
#include <cstdio>
#include <vector>

#include "command_line.hpp"
#include "live.hpp"
#include "machine.hpp"
#include "map_file.hpp"
#include "options.hpp"
#include "phases.hpp"
#include "processes.hpp"
#include "summary.hpp"

namespace bench {
namespace {

// Bytes that a key takes beside key and value, generously.
constexpr uint64_t kOverheadBytes = 64;

int Run(const Options& options) {
  const uint64_t bytes_each = options.key_bytes + options.value_bytes_max + kOverheadBytes;
  if (!FitsIntoMemory(options.keys * bytes_each)) return 1;
  const MapFile file(options.folder);
  const shf::Result<shf::Map> map = shf::Map::Create(file.folder(), file.name());
  if (!map.ok()) {
    std::fprintf(stderr, "bench: create: %s\n", map.text().c_str());
    return 1;
  }
  const Shared<Barrier> barrier;
  const std::vector<Shared<Report>> reports(options.processes);
  PrintMachine(ThisMachine());
  Live live(&reports, &*map);
  Children children(options.processes, &*barrier, [&](unsigned n) {
    return RunPhases(options, file.name(), n, &*barrier, &*reports[n]);
  });
  if (!children.Wait([&] { live.Tick(); })) return 1;
  live.Finish();
  const shf::Result<shf::Stats> stats = map->GetStats();
  const Summary summary = Summarise(options, reports, *stats);
  PrintSummary(summary);
  return WriteJson(options, summary) ? 0 : 1;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  return bench::Main<bench::Options>(argc, argv, bench::ParseOptions, bench::Run);
}
