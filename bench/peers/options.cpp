// Reads the command line of the comparison.
#include "options.hpp"

#include <algorithm>
#include <cctype>

#include "command_line.hpp"

namespace bench {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

void AddWork(CLI::App* app, Options* options) {
  Workload* const work = &options->work;
  AddOption(app, "--keys", &work->keys, "How many keys")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1'000'000'000}));
  AddOption(app, "--value-bytes", &work->value_bytes,
            "Bytes of a value; resizing takes half of it to half more")
      ->check(CLI::Range(uint64_t{8}, uint64_t{1} << 20));
  AddOption(app, "--operations", &work->operations,
            "Of all processes together, in each phase after the load")
      ->check(CLI::Range(uint64_t{1000}, uint64_t{1'000'000'000}));
  AddOption(app, "--runs", &options->runs,
            "Each figure is measured so often; the table has medians")
      ->check(CLI::Range(1U, 99U));
  AddOption(app, "--seed", &work->seed, "The same seed makes the same keys and order");
}

void AddPlaces(CLI::App* app, Options* options) {
  AddOption(app, "--folder", &options->folder, "Where all stores have their files")
      ->check(CLI::ExistingDirectory);
  AddOption(app, "--json", &options->json, "Also writes every run's figures to this file");
  AddOption(app, "--rust-maps", &options->rust_maps,
            "The program that measures maps written in Rust");
}

}  // namespace

bool Options::Wants(const std::string& name) const {
  const auto is_part = [&](const std::string& part) {
    return Lower(name).find(Lower(part)) != std::string::npos;
  };
  return peers.empty() || std::any_of(peers.begin(), peers.end(), is_part);
}

std::optional<int> ParseOptions(int argc, char** argv, Options* options) {
#ifdef SHF_BENCH_RUST_MAPS
  options->rust_maps = SHF_BENCH_RUST_MAPS;
#endif
  CLI::App app("Measures shf::Map beside other stores and beside the memory of the machine.");
  AddWork(&app, options);
  AddPlaces(&app, options);
  std::vector<std::string> sections;
  const std::vector<std::string> names(kSectionNames.begin(), kSectionNames.end());
  app.add_option("--section", sections,
                 "Only this one; may be repeated. Unless any is named: the first eight, for three\n"
                 "quarters of an hour or so")
      ->check(CLI::IsMember(names));
  bool all = false;
  app.add_flag("--all", all, "All sections, for some hours");
  app.add_option(
      "--peer", options->peers,
      "Only those with this in their name, in small or capital letters; may be repeated.\n"
      "Ratios need SharedHashFile among them");
  std::string tbb_key = "string";
  AddOption(&app, "--tbb-key", &tbb_key,
            "string: std::string, as for any bytes; array: a fixed 16-byte key, its best case")
      ->check(CLI::IsMember(std::vector<std::string>{"string", "array"}));
  app.add_option("--get-loop", options->get_loop,
                 "Instead of measuring: so many gets that hit and as many that miss, between two\n"
                 "marks on standard error, through a writable and a read-only handle; to run\n"
                 "under strace or perf");
  return ParseCommandLine(&app, argc, argv, [&] {
    for (unsigned section = 0; section < kSections; ++section) {
      const auto named = std::find(sections.begin(), sections.end(), kSectionNames[section]);
      options->wanted[section] =
          all || named != sections.end() || (sections.empty() && section < kSectionsByDefault);
    }
    options->tbb_array_key = tbb_key == "array";
    CheckWritable("--json", options->json);
  });
}

}  // namespace bench
