// A figure that was measured, with all that says which one it is: what every section yields, and
// what the table and the JSON file are made from.
#ifndef SHF_BENCH_PEERS_ROW_HPP_
#define SHF_BENCH_PEERS_ROW_HPP_

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace bench {

// Units.
inline constexpr char kMops[] = "Mops/s";
inline constexpr char kNanoseconds[] = "ns";
inline constexpr char kMicroseconds[] = "us";
inline constexpr char kRatio[] = "ratio";
inline constexpr char kBytes[] = "bytes";
inline constexpr char kHitRate[] = "hit rate";  // hits over gets

// Of the others less is better.
inline bool MoreIsBetter(const std::string& unit) { return unit == kMops || unit == kHitRate; }

// The columns of one table: rows that differ in nothing but peer, workload and unit.
struct Scene {
  std::string section;
  uint64_t keys = 0;
  uint64_t value_bytes = 0;
  unsigned processes = 1;  // or threads, of peers that live in one process

  bool operator==(const Scene& other) const {
    return std::tie(section, keys, value_bytes, processes) ==
           std::tie(other.section, other.keys, other.value_bytes, other.processes);
  }
};

struct Row {
  std::string peer;
  Scene scene;
  std::string workload;
  std::string unit;
  std::vector<double> values;  // one a run

  // The middle one, or the mean of the two in the middle.
  double Median() const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    if (sorted.empty()) return 0;
    const size_t half = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
};

// What was not measured, and why.
struct Skipped {
  std::string name;
  std::string why;
};

class Results {
 public:
  // Adds a figure to the row that it belongs to.
  void Add(const std::string& peer, const Scene& scene, const std::string& workload,
           const std::string& unit, double value) {
    for (Row& row : rows_) {
      if (row.peer == peer && row.workload == workload && row.unit == unit && row.scene == scene) {
        row.values.push_back(value);
        return;
      }
    }
    rows_.push_back({peer, scene, workload, unit, {value}});
  }
  // Says it once.
  void Skip(const std::string& name, const std::string& why) {
    for (const Skipped& skipped : skipped_) {
      if (skipped.name == name && skipped.why == why) return;
    }
    skipped_.push_back({name, why});
  }
  // Adds a sentence about a figure.
  void Note(std::string text) { notes_.push_back(std::move(text)); }

  const std::vector<Row>& rows() const { return rows_; }
  const std::vector<Skipped>& skipped() const { return skipped_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::vector<Row> rows_;
  std::vector<Skipped> skipped_;
  std::vector<std::string> notes_;
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_ROW_HPP_
