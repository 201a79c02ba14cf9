// Prints the tables.
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

#include "machine.hpp"
#include "machine_limit.hpp"

namespace bench {
namespace {

// A figure and its ratio to ours, as wide as a column.
constexpr int kFigureWidth = 11;
constexpr int kRatioWidth = 8;
constexpr int kNameWidth = 31;

template <typename T>
void AddNew(std::vector<T>* all, const T& one) {
  if (std::find(all->begin(), all->end(), one) == all->end()) all->push_back(one);
}

// Four digits that count.
std::string Number(double figure) {
  char text[32];
  const int decimals = figure < 10 ? 3 : figure < 100 ? 2 : figure < 1000 ? 1 : 0;
  std::snprintf(text, sizeof(text), "%.*f", decimals, figure);
  return text;
}

bool IsOurs(const std::string& peer) { return peer.find(kOurs) == 0; }

class Table {
 public:
  Table(const std::vector<Row>& rows, const Scene& scene) : scene_(scene) {
    for (const Row& row : rows) {
      if (!(row.scene == scene)) continue;
      rows_.push_back(&row);
      AddNew(&peers_, row.peer);
      AddNew(&workloads_, row.workload);
    }
  }
  void Print() {
    PrintTitle();
    std::string wins;  // of peers over us
    for (const std::string& peer : peers_) {
      std::printf("%-*s", kNameWidth, peer.c_str());
      std::string won;
      for (const std::string& workload : workloads_) {
        if (PrintCell(peer, workload)) won += (won.empty() ? "" : ", ") + workload;
      }
      if (!won.empty()) wins += "  wins: " + peer + ": " + won + "\n";
      std::printf("\n");
    }
    std::printf("%s", wins.c_str());
  }

 private:
  void PrintTitle() const {
    std::printf(
        "\n%s: %llu keys, values of %llu bytes, %u process%s or thread%s; %s, and each "
        "over ours\n%-*s",
        scene_.section.c_str(), static_cast<unsigned long long>(scene_.keys),
        static_cast<unsigned long long>(scene_.value_bytes), scene_.processes,
        scene_.processes == 1 ? "" : "es", scene_.processes == 1 ? "" : "s", Units().c_str(),
        kNameWidth, "");
    for (const std::string& workload : workloads_) {
      std::printf(" %*s", kFigureWidth + kRatioWidth, workload.c_str());
    }
    std::printf("\n");
  }
  std::string Units() const {
    std::string units;
    for (const Row* row : rows_) {
      if (units.find(row->unit) == std::string::npos) {
        units += (units.empty() ? "" : " and ") + row->unit;
      }
    }
    return units;
  }
  const Row* Find(const std::string& peer, const std::string& workload) const {
    for (const Row* row : rows_) {
      if (row->peer == peer && row->workload == workload) return row;
    }
    return nullptr;
  }
  // True: the peer is better than our map.
  bool PrintCell(const std::string& peer, const std::string& workload) {
    const Row* const row = Find(peer, workload);
    if (row == nullptr) {
      std::printf(" %*s", kFigureWidth + kRatioWidth, "-");
      return false;
    }
    const Row* const ours = Find(kOurs, workload);
    char ratio[32] = "";
    bool wins = false;
    const double median = row->Median();
    if (ours != nullptr && ours != row && ours->Median() > 0) {
      const bool better =
          MoreIsBetter(row->unit) ? median > ours->Median() : median < ours->Median();
      wins = better && !IsOurs(peer) && peer != kMachine && IsContest(workload);
      const double share = median / ours->Median();
      std::snprintf(ratio, sizeof(ratio), "%.*f%s", share < 100 ? 2 : 0, share, wins ? "<" : " ");
    }
    std::printf(" %*s%*s", kFigureWidth, Number(median).c_str(), kRatioWidth, ratio);
    return wins;
  }
  // What the machine did beside it is nobody's merit.
  static bool IsContest(const std::string& workload) { return workload.find("beside") != 0; }

  const Scene scene_;
  std::vector<const Row*> rows_;
  std::vector<std::string> peers_;
  std::vector<std::string> workloads_;
};

}  // namespace

void PrintHeading(const Options& options) {
  const Workload& work = options.work;
  PrintMachine(ThisMachine());
  std::printf(
      "%llu keys of %zu bytes, values of %llu bytes, %llu operations a phase, seed %llu, "
      "medians of %u run(s), %s\n",
      static_cast<unsigned long long>(work.keys), kKeyBytes,
      static_cast<unsigned long long>(work.value_bytes),
      static_cast<unsigned long long>(work.operations), static_cast<unsigned long long>(work.seed),
      options.runs, options.folder.c_str());
  std::fflush(stdout);
}

void PrintTables(const Context& context) {
  std::vector<Scene> scenes;
  for (const Row& row : context.results.rows()) AddNew(&scenes, row.scene);
  for (const Scene& scene : scenes) Table(context.results.rows(), scene).Print();
  if (!context.results.notes().empty()) std::printf("\n");
  for (const std::string& note : context.results.notes()) std::printf("%s\n", note.c_str());
  if (!context.results.skipped().empty()) std::printf("\n");
  for (const Skipped& skipped : context.results.skipped()) {
    std::printf("skipped: %s: %s\n", skipped.name.c_str(), skipped.why.c_str());
  }
}

}  // namespace bench
