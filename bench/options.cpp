// Reads the command line.
#include "options.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "command_line.hpp"
#include "processes.hpp"

namespace bench {
namespace {

unsigned DefaultProcesses() {
  const cpu_set_t allowed = AllowedProcessors();
  return std::clamp(static_cast<unsigned>(CPU_COUNT(&allowed)), 1U, kProcessesMax);
}

}  // namespace

std::optional<int> ParseOptions(int argc, char** argv, Options* options) {
  options->processes = DefaultProcesses();
  CLI::App app(
      "Processes share one map: PUT puts fresh keys, MIX gets 98% and deletes and puts 2%, GET "
      "gets all.\nA line a second and at the end of each phase says how far they are, a summary "
      "how fast it was.");
  AddOption(&app, "--keys", &options->keys,
            "Keys, and operations of each phase, of all processes together")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1'000'000'000}));
  AddOption(&app, "--key-bytes", &options->key_bytes, "Bytes of a key")
      ->check(CLI::Range(size_t{8}, size_t{65536}));
  AddOption(&app, "--value-bytes", &options->value_bytes, "Bytes of a value")
      ->check(CLI::Range(size_t{8}, size_t{1} << 24));
  AddOption(&app, "--value-bytes-max", &options->value_bytes_max,
            "Sizes of values vary from --value-bytes to this many; 0: they do not")
      ->check(CLI::Range(size_t{0}, size_t{1} << 24));
  AddOption(&app, "--processes", &options->processes, "Processes that work at the same time")
      ->check(CLI::Range(1U, kProcessesMax));
  AddOption(&app, "--skew", &options->skew,
            "Exponent of the Zipf distribution of MIX and GET; 0: uniform")
      ->check(CLI::Range(0.0, 10.0));
  AddOption(&app, "--seed", &options->seed, "The same seed makes the same keys and order");
  AddOption(&app, "--folder", &options->folder, "Where the map's file goes")
      ->check(CLI::ExistingDirectory);
  AddOption(&app, "--json", &options->json, "Also writes the summary to this file");
  return ParseCommandLine(&app, argc, argv, [&] {
    // CLI::Range lets a NaN pass, which is neither below nor above anything.
    if (std::isnan(options->skew)) {
      throw CLI::ValidationError("--skew", "expected a number, found a NaN");
    }
    if (options->value_bytes_max == 0) options->value_bytes_max = options->value_bytes;
    if (options->value_bytes_max < options->value_bytes) {
      throw CLI::ValidationError("--value-bytes-max",
                                 "expected 0 or at least " + std::to_string(options->value_bytes) +
                                     ", found " + std::to_string(options->value_bytes_max));
    }
    CheckWritable("--json", options->json);
  });
}

}  // namespace bench
