// Prints the lines.
#include "live.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace bench {
namespace {

// Operations a second for one dash of the bar, and its longest.
constexpr double kDash = 0.25e6;
constexpr double kDashesMax = 60;

}  // namespace

Live::Live(const std::vector<Shared<Report>>* reports, const shf::Map* map)
    : reports_(reports), map_(map), operations_(reports->size()) {
  std::string numbers;
  for (size_t n = 0; n < reports->size(); ++n) {
    numbers += (n < 10 ? " 0" : " ") + std::to_string(n);
  }
  std::printf(" OP    MiB  SPLITS   TOTAL   OPS  PERCENT OF OPERATIONS PER PROCESS\n");
  std::printf("             k/s   M-OPS   M/s %s\n", numbers.c_str());
}

void Live::Tick() {
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  std::vector<uint64_t> done;
  uint64_t total = 0;
  uint64_t together = 0;
  unsigned phase = kPhases;
  for (size_t n = 0; n < reports_->size(); ++n) {
    const Report& report = *(*reports_)[n];
    const uint64_t operations = report.operations.load(std::memory_order_relaxed);
    done.push_back(operations - operations_[n]);
    operations_[n] = operations;
    total += operations;
    together += done.back();
    phase = std::min(phase, report.phase.load(std::memory_order_relaxed));
  }
  std::string shares;
  for (const uint64_t each : done) {
    char share[8];
    const uint64_t percent = together > 0 ? (100 * each + together / 2) / together : 0;
    std::snprintf(share, sizeof(share), " %2u", static_cast<unsigned>(percent));
    shares += share;
  }
  const shf::Result<shf::Stats> stats = map_->GetStats();
  const uint64_t splits = stats->splits;
  const double rate = static_cast<double>(together) / seconds;
  const auto dashes = static_cast<size_t>(std::min(rate / kDash, kDashesMax));
  std::printf("%s %6.0f %7.1f %7.1f %5.1f %s  %s\n", kPhaseNames[phase],
              static_cast<double>(stats->committed_bytes) / (1 << 20),
              static_cast<double>(splits - splits_) / seconds / 1e3,
              static_cast<double>(total) / 1e6, rate / 1e6, shares.c_str(),
              std::string(dashes, '-').c_str());
  std::fflush(stdout);
  splits_ = splits;
}

}  // namespace bench
