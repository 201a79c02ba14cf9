// Writes the JSON file.
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "json.hpp"
#include "machine_limit.hpp"
#include "report.hpp"

namespace bench {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;

// The type of the file system that the folder is in: of the mount whose path is the longest part.
std::string FileSystem(const std::string& folder) {
  std::error_code ignored;
  const std::string path = std::filesystem::canonical(folder, ignored).string() + "/";
  std::ifstream mounts("/proc/self/mounts");
  std::string best;
  size_t best_length = 0;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device, mount, type;
    words >> device >> mount >> type;
    if (mount.back() != '/') mount += '/';
    if (path.find(mount) != 0 || mount.size() < best_length) continue;
    best = type;
    best_length = mount.size();
  }
  return best;
}

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string Today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts;
  char text[16] = "";
  if (localtime_r(&now, &parts) != nullptr) std::strftime(text, sizeof(text), "%Y-%m-%d", &parts);
  return text;
}

Json PlaceJson(const Options& options) {
  Json json = MachineJson(ThisMachine());
  json["memory_bytes"] =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  json["folder"] = options.folder;
  json["file_system"] = FileSystem(options.folder);
  json["shmem_huge_pages"] = FirstLine("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  json["date"] = Today();
  return json;
}

Json OptionsJson(const Options& options) {
  Json sections = Json::array();
  for (unsigned section = 0; section < kSections; ++section) {
    if (options.wanted[section]) sections.push_back(kSectionNames[section]);
  }
  const Workload& work = options.work;
  return {{"keys", work.keys},   {"key_bytes", kKeyBytes}, {"value_bytes", work.value_bytes},
          {"seed", work.seed},   {"runs", options.runs},   {"operations", work.operations},
          {"sections", sections}};
}

const char* NameOf(Kind kind) {
  switch (kind) {
    case Kind::kShared:
      return "shared";
    case Kind::kServer:
      return "server";
    default:
      return "threads";
  }
}

Json PeersJson(const Context& context) {
  Json json = Json::array();
  for (const Peer& peer : context.peers) {
    for (const Way& way : peer.ways) {
      if (!context.options.Wants(way.name)) continue;
      json.push_back({{"name", way.name},
                      {"kind", NameOf(peer.kind)},
                      {"version", peer.version},
                      {"configuration", way.configuration}});
    }
  }
  for (const CachePeer& cache : context.caches) {
    const auto same = [&](const Json& known) { return known["name"] == cache.name; };
    if (std::any_of(json.begin(), json.end(), same)) continue;
    json.push_back({{"name", cache.name},
                    {"kind", NameOf(cache.kind)},
                    {"version", cache.version},
                    {"configuration", cache.configuration}});
  }
  if (context.options.Wants(kMachine)) {
    json.push_back({{"name", kMachine},
                    {"kind", "limit"},
                    {"version", ""},
                    {"configuration", kLimitConfiguration}});
  }
  return json;
}

Json RowsJson(const Results& results) {
  Json json = Json::array();
  for (const Row& row : results.rows()) {
    json.push_back({{"peer", row.peer},
                    {"section", row.scene.section},
                    {"workload", row.workload},
                    {"keys", row.scene.keys},
                    {"value_bytes", row.scene.value_bytes},
                    {"processes", row.scene.processes},
                    {"unit", row.unit},
                    {"values", row.values}});
  }
  return json;
}

Json SkippedJson(const Results& results) {
  Json json = Json::array();
  for (const Skipped& skipped : results.skipped()) {
    json.push_back({{"name", skipped.name}, {"why", skipped.why}});
  }
  return json;
}

}  // namespace

bool WriteJson(const Context& context) {
  return WriteJsonFile(context.options.json, {{"format", kFormat},
                                              {"machine", PlaceJson(context.options)},
                                              {"build", BuildJson()},
                                              {"options", OptionsJson(context.options)},
                                              {"peers", PeersJson(context)},
                                              {"skipped", SkippedJson(context.results)},
                                              {"notes", context.results.notes()},
                                              {"rows", RowsJson(context.results)}});
}

}  // namespace bench
