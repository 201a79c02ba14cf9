// The benchmark: processes put, mix and get on one map; --help says what can be chosen.
#include <cstdio>
#include <vector>

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
  const Machine machine = ThisMachine();
  std::printf("%s, %ld processors, %s, load %.2f\n", machine.processor.c_str(), machine.processors,
              machine.kernel.c_str(), machine.load);
  Live live(&reports, &*map);
  Children children(options.processes, &*barrier, [&](unsigned n) {
    return RunPhases(options, file.name(), n, &*barrier, &*reports[n]);
  });
  if (!children.Wait([&] { live.Tick(); })) return 1;
  live.Tick();
  const shf::Result<shf::Stats> stats = map->GetStats();
  const Summary summary = Summarise(options, reports, *stats);
  PrintSummary(summary);
  if (!options.json.empty() && !WriteJson(options, summary)) {
    std::fprintf(stderr, "bench: cannot write %s\n", options.json.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  bench::Options options;
  if (const std::optional<int> exit_code = bench::ParseOptions(argc, argv, &options)) {
    return *exit_code;
  }
  bench::CatchInterrupts();
  return bench::Run(options);
}
