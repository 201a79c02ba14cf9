// Writes the table and the JSON file.
#include "report.hpp"

#include <cstdlib>
#include <iterator>
#include <nlohmann/json.hpp>

#include "json.hpp"
#include "machine.hpp"

namespace bench {
namespace {

// The middle one of the figures that get(sample) picks; 0 for none.
template <typename Sample, typename Get>
double Median(const std::vector<Sample>& samples, Get get) {
  std::vector<double> figures;
  figures.reserve(samples.size());
  for (const Sample& sample : samples) figures.push_back(static_cast<double>(get(sample)));
  if (figures.empty()) return 0;
  std::sort(figures.begin(), figures.end());
  const size_t half = figures.size() / 2;
  return figures.size() % 2 == 1 ? figures[half] : (figures[half - 1] + figures[half]) / 2;
}

// A column of the table; blank for what was not measured.
std::string Column(double figure, const char* format) {
  char text[32] = "-";
  if (figure > 0) std::snprintf(text, sizeof(text), format, figure);
  return text;
}

void PrintRow(const char* what, double shf, double tbb, const char* format) {
  const double ratio = shf > 0 && tbb > 0 ? shf / tbb : 0;
  std::printf("%-38s %12s %16s %8s\n", what, Column(shf, format).c_str(),
              Column(tbb, format).c_str(), Column(ratio, "%.2f").c_str());
}

// A title with the columns that PrintRow fills.
void PrintTitle(const char* title, const Figures& figures) {
  std::printf("\n%-38s %12s %16s %8s\n", title, figures.shf.name.c_str(),
              figures.tbb.name.empty() ? "-" : figures.tbb.name.c_str(), "ratio");
}

void PrintThroughput(const Options& options, const Figures& figures) {
  const Workload& work = options.work;
  const std::string sizes =
      std::to_string(work.bytes_least()) + " to " + std::to_string(work.bytes_most()) + " bytes";
  const std::string titles[kPhases] = {
      "PUT fresh, growing from empty", "GET hit, uniform random", "GET miss",
      "MIX 98% get, 2% put",           "UPDATE same size",        "UPDATE " + sizes};
  PrintTitle("million operations a second", figures);
  for (unsigned phase = 0; phase < kPhases; ++phase) {
    if (!options.wanted[phase]) continue;
    const auto get = [&](const Throughput& sample) { return sample.mops[phase]; };
    PrintRow(titles[phase].c_str(), Median(figures.shf.throughput, get),
             Median(figures.tbb.throughput, get), "%.2f");
  }
}

void PrintMemory(const Figures& figures) {
  PrintTitle("memory over payload (first run)", figures);
  const auto first = [](const StoreFigures& store) {
    return store.throughput.empty() ? Throughput() : store.throughput.front();
  };
  const Throughput shf = first(figures.shf);
  const Throughput tbb = first(figures.tbb);
  PrintRow("after the load", shf.loaded, tbb.loaded, "%.3f");
  PrintRow("after replacing everything five times", shf.replaced, tbb.replaced, "%.3f");
  if (shf.loaded_bytes != shf.loaded_file_bytes) {
    std::printf("  the map counts %llu bytes after the load, the file system %llu\n",
                static_cast<unsigned long long>(shf.loaded_bytes),
                static_cast<unsigned long long>(shf.loaded_file_bytes));
  }
}

void PrintLatency(const Figures& figures) {
  PrintTitle("one PUT while growing, microseconds", figures);
  const auto row = [&](const char* what, uint64_t Latency::*field) {
    const auto get = [&](const Latency& sample) {
      return static_cast<double>(sample.*field) / 1e3;
    };
    PrintRow(what, Median(figures.shf.latency, get), Median(figures.tbb.latency, get), "%.2f");
  };
  row("p50", &Latency::p50);
  row("p99", &Latency::p99);
  row("p99.9", &Latency::p999);
  row("max", &Latency::max);
  row("max, not preempted", &Latency::max_undisturbed);
}

void PrintTogether(const Options& options, const Figures& figures) {
  const std::string many = std::to_string(options.processes) + " processes";
  std::printf("\n%-38s %12s %16s %8s\n", "shf::Map, million operations a second", "1 process",
              many.c_str(), "factor");
  const auto row = [&](const char* what, double Together::*field) {
    const auto get = [&](const Together& sample) { return sample.*field; };
    const double one = Median(figures.one, get);
    const double all = Median(figures.many, get);
    std::printf("%-38s %12s %16s %8s\n", what, Column(one, "%.2f").c_str(),
                Column(all, "%.2f").c_str(), Column(one > 0 ? all / one : 0, "%.2f").c_str());
  };
  row("PUT fresh, each its own keys", &Together::put);
  row("GET hit, all keys", &Together::get);
  row("MIX, all keys", &Together::mix);
}

// An array with what get(sample) picks from each run.
template <typename Sample, typename Get>
nlohmann::json Array(const std::vector<Sample>& samples, Get get) {
  nlohmann::json array = nlohmann::json::array();
  for (const Sample& sample : samples) array.push_back(get(sample));
  return array;
}

nlohmann::json StoreJson(const StoreFigures& store) {
  nlohmann::json json = {{"name", store.name}};
  for (unsigned phase = 0; phase < kPhases; ++phase) {
    json[std::string(kSectionNames[phase]) + "_mops"] =
        Array(store.throughput, [&](const Throughput& run) { return run.mops[phase]; });
  }
  const auto throughput = [&](const char* name, auto Throughput::*field) {
    json[name] = Array(store.throughput, [&](const Throughput& run) { return run.*field; });
  };
  throughput("memory_loaded_ratio", &Throughput::loaded);
  throughput("memory_loaded_bytes", &Throughput::loaded_bytes);
  throughput("memory_loaded_file_bytes", &Throughput::loaded_file_bytes);
  throughput("memory_replaced_ratio", &Throughput::replaced);
  const auto latency = [&](const char* name, uint64_t Latency::*field) {
    json[name] = Array(store.latency, [&](const Latency& run) { return run.*field; });
  };
  latency("put_p50_ns", &Latency::p50);
  latency("put_p99_ns", &Latency::p99);
  latency("put_p999_ns", &Latency::p999);
  latency("put_max_ns", &Latency::max);
  latency("put_max_not_preempted_ns", &Latency::max_undisturbed);
  return json;
}

nlohmann::json TogetherJson(const std::vector<Together>& runs) {
  return {{"put_mops", Array(runs, [](const Together& run) { return run.put; })},
          {"get_mops", Array(runs, [](const Together& run) { return run.get; })},
          {"mix_mops", Array(runs, [](const Together& run) { return run.mix; })}};
}

}  // namespace

void PrintHeading(const Options& options) {
  const Workload& work = options.work;
  PrintMachine(ThisMachine());
  std::printf("%llu keys of %zu bytes, values of %llu bytes, seed %llu, medians of %u run(s), %s\n",
              static_cast<unsigned long long>(work.keys), kKeyBytes,
              static_cast<unsigned long long>(work.value_bytes),
              static_cast<unsigned long long>(work.seed), options.runs, options.folder.c_str());
  std::fflush(stdout);
}

void PrintTable(const Options& options, const Figures& figures) {
  if (!figures.shf.throughput.empty()) PrintThroughput(options, figures);
  if (options.wanted[kMemory]) PrintMemory(figures);
  if (options.wanted[kLatency]) PrintLatency(figures);
  if (options.wanted[kScaling]) PrintTogether(options, figures);
  if (options.wanted[kEmpty]) {
    std::printf("\nan empty map takes %.2f MiB\n",
                static_cast<double>(figures.empty_bytes) / (1 << 20));
  }
}

bool WriteJson(const Options& options, const Figures& figures) {
  const Workload& work = options.work;
  nlohmann::json json = {{"machine", MachineJson(ThisMachine())},
                         {"build", BuildJson()},
                         {"options",
                          {{"keys", work.keys},
                           {"key_bytes", kKeyBytes},
                           {"value_bytes", work.value_bytes},
                           {"seed", work.seed},
                           {"runs", options.runs},
                           {"processes", options.processes},
                           {"folder", options.folder}}},
                         {"shf", StoreJson(figures.shf)},
                         {"one_process", TogetherJson(figures.one)},
                         {"many_processes", TogetherJson(figures.many)},
                         {"empty_bytes", figures.empty_bytes}};
  if (!figures.tbb.name.empty()) json["tbb"] = StoreJson(figures.tbb);
  return WriteJsonFile(options.json, json);
}

}  // namespace bench
