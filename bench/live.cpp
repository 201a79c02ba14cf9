// Prints the lines.
#include "live.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
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
    char number[8];
    std::snprintf(number, sizeof(number), "  %02u", static_cast<unsigned>(n));
    numbers += number;
  }
  std::printf(" OP    MiB  SPLITS   TOTAL   OPS  PERCENT OF OPERATIONS PER PROCESS\n");
  std::printf("               k/s   M-OPS   M/s %s\n", numbers.c_str());
}

void Live::Tick() {
  unsigned phase = phase_;
  for (const Shared<Report>& report : *reports_) {
    phase = std::max(phase, report->phase.load(std::memory_order_acquire));
  }
  EndPhasesBefore(phase);
  PrintLine(time_, NowNs(), *map_->GetStats());
}

void Live::Finish() { EndPhasesBefore(kPhases); }

void Live::EndPhasesBefore(unsigned phase) {
  for (; phase_ < phase; ++phase_) {
    uint64_t start = std::numeric_limits<uint64_t>::max();
    const PhaseReport* last = nullptr;  // of the process that ended last
    for (const Shared<Report>& report : *reports_) {
      const PhaseReport& part = report->phases[phase_];
      start = std::min(start, part.start);
      if (last == nullptr || part.end > last->end) last = &part;
    }
    PrintLine(std::max(time_, start), last->end, last->stats);
    operations_.assign(operations_.size(), 0);
  }
}

void Live::PrintLine(uint64_t from, uint64_t to, const shf::Stats& stats) {
  // A line may have come between the end of a phase and its last line, which then has no time left.
  const double seconds = to > from ? static_cast<double>(to - from) / 1e9 : 0;
  const auto rate = [&](uint64_t count) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
  };
  std::vector<uint64_t> done;
  uint64_t together = 0;
  for (size_t n = 0; n < reports_->size(); ++n) {
    const PhaseReport& part = (*reports_)[n]->phases[phase_];
    const uint64_t operations = part.operations.load(std::memory_order_relaxed);
    done.push_back(operations - operations_[n]);
    operations_[n] = operations;
    together += done.back();
  }
  total_ += together;
  std::string shares;
  for (const uint64_t each : done) {
    char share[8];
    const uint64_t percent = together > 0 ? (100 * each + together / 2) / together : 0;
    std::snprintf(share, sizeof(share), " %3u", static_cast<unsigned>(percent));
    shares += share;
  }
  const uint64_t splits = std::max(stats.splits, splits_);
  const auto dashes = static_cast<size_t>(std::min(rate(together) / kDash, kDashesMax));
  std::printf("%s %6.0f %7.1f %7.1f %5.1f %s  %s\n", kPhaseNames[phase_],
              static_cast<double>(stats.committed_bytes) / (1 << 20), rate(splits - splits_) / 1e3,
              static_cast<double>(total_) / 1e6, rate(together) / 1e6, shares.c_str(),
              std::string(dashes, '-').c_str());
  std::fflush(stdout);
  splits_ = splits;
  time_ = std::max(time_, to);
}

}  // namespace bench
