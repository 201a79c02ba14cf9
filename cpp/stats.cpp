// The numbers of a map, and their texts, which the engine makes.
#include "shf/stats.hpp"

#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

// From one structure with these names to the other one.
template <typename From, typename To>
void Copy(const From& from, To* to) {
  to->keys = from.keys;
  to->elements = from.elements;
  to->timed_keys = from.timed_keys;
  to->committed_bytes = from.committed_bytes;
  to->max_bytes = from.max_bytes;
  to->free_bytes_left = from.free_bytes_left;
  to->apparent_bytes = from.apparent_bytes;
  to->front_bytes = from.front_bytes;
  to->descriptor_bytes = from.descriptor_bytes;
  to->live_bytes = from.live_bytes;
  to->dead_bytes = from.dead_bytes;
  to->free_bytes = from.free_bytes;
  to->unused_bytes = from.unused_bytes;
  to->index_bytes = from.index_bytes;
  to->shards = from.shards;
  to->tables = from.tables;
  to->bucket_count = from.bucket_count;
  to->max_bucket_count = from.max_bucket_count;
  to->slots = from.slots;
  to->splits = from.splits;
  to->vacated_pages = from.vacated_pages;
  to->moved_records = from.moved_records;
  to->repairs = from.repairs;
  to->expired_keys = from.expired_keys;
  to->evicted_keys = from.evicted_keys;
  to->retries = from.retries;
  to->created_ns = from.created_ns;
  to->fixed_key_bytes = from.fixed_key_bytes;
  to->fixed_value_bytes = from.fixed_value_bytes;
}
static_assert(sizeof(Stats) == 29 * sizeof(uint64_t) && sizeof(bridge::Stats) == sizeof(Stats),
              "Copy() knows all numbers");

bridge::Stats Converted(const Stats& stats) {
  bridge::Stats converted{};
  Copy(stats, &converted);
  return converted;
}

using Views = std::vector<bridge::ProcessView>;

// False: there is no memory.
bool ViewsOf(const std::vector<Process>& processes, Views* views) {
  if (!Allocates([&] { views->reserve(processes.size()); })) return false;
  for (const Process& one : processes) {
    const Counts& counts = one.counts;
    views->push_back({one.slot,
                      one.attached_ns,
                      one.pid,
                      View(one.application),
                      static_cast<uint32_t>(one.role),
                      {counts.hits, counts.misses, counts.puts, counts.deletes, counts.changes,
                       counts.lists, counts.walks, counts.waits},
                      one.is_this});
  }
  return true;
}

rust::Slice<const bridge::ProcessView> SliceOf(const Views& views) {
  return {views.data(), views.size()};
}

// A text that make(sink) copies.
template <typename Make>
Result<std::string> Text(Make make) {
  std::string text;
  const Result<void> made = StringSink::Fill(&text, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = make(*sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
  if (!made.ok()) return made.error();
  return text;
}

}  // namespace

double Stats::load_factor() const noexcept {
  return slots == 0 ? 0 : static_cast<double>(keys + elements) / static_cast<double>(slots);
}

double Stats::max_load_factor() const noexcept { return 1; }

double ProbeLengths::mean() const noexcept {
  uint64_t all = 0;
  uint64_t looks = 0;
  for (size_t distance = 0; distance < keys.size(); ++distance) {
    all += keys[distance];
    looks += keys[distance] * (distance + 1);
  }
  return all == 0 ? 0 : static_cast<double>(looks) / static_cast<double>(all);
}

Result<std::string> ToJson(const Stats& stats) {
  const bridge::Stats converted = Converted(stats);
  return Text([&](bridge::Sink& sink) { return bridge::stats_to_json(converted, sink); });
}

Result<std::string> ToJson(const Stats& stats, const std::vector<Process>& processes) {
  const bridge::Stats converted = Converted(stats);
  Views views;
  if (!ViewsOf(processes, &views)) return OutOfMemory(processes.size() * sizeof(views[0]));
  return Text([&](bridge::Sink& sink) {
    return bridge::stats_to_json_with(converted, SliceOf(views), sink);
  });
}

Result<std::string> ToPrometheus(const Stats& stats, std::string_view map_name) {
  return ToPrometheus(stats, map_name, {});
}

Result<std::string> ToPrometheus(const Stats& stats, std::string_view map_name,
                                 const std::vector<Process>& processes) {
  if (Impossible(map_name)) return ImpossibleError("map_name", map_name);
  Views views;
  if (!ViewsOf(processes, &views)) return OutOfMemory(processes.size() * sizeof(views[0]));
  const bridge::NamedStats named{View(map_name.data() == nullptr ? "" : map_name), Converted(stats),
                                 SliceOf(views)};
  return Text([&](bridge::Sink& sink) {
    return bridge::stats_to_prometheus(rust::Slice<const bridge::NamedStats>(&named, 1), sink);
  });
}

Result<std::string> ToPrometheus(const std::vector<NamedStats>& maps) {
  std::vector<bridge::NamedStats> named;
  if (!Allocates([&] { named.reserve(maps.size()); })) {
    return OutOfMemory(maps.size() * sizeof(bridge::NamedStats));
  }
  std::vector<Views> views;
  if (!Allocates([&] { views.resize(maps.size()); })) {
    return OutOfMemory(maps.size() * sizeof(Views));
  }
  for (size_t i = 0; i < maps.size(); ++i) {
    const NamedStats& map = maps[i];
    if (!ViewsOf(map.processes, &views[i])) {
      return OutOfMemory(map.processes.size() * sizeof(bridge::ProcessView));
    }
    named.push_back({View(map.map_name), Converted(map.stats), SliceOf(views[i])});
  }
  return Text([&](bridge::Sink& sink) {
    return bridge::stats_to_prometheus(
        rust::Slice<const bridge::NamedStats>(named.data(), named.size()), sink);
  });
}

Result<Stats> Map::GetStats() const {
  if (!handle_) return NotAttached();
  bridge::Stats found{};
  const bridge::Outcome outcome = handle_->stats(found);
  Stats stats;
  Copy(found, &stats);
  return Answer(outcome, stats);
}

Result<ProbeLengths> Map::GetProbeLengths() const {
  if (!handle_) return NotAttached();
  ProbeLengths lengths;
  const auto view = [](auto& counts) {
    return rust::Slice<uint64_t>(counts.data(), counts.size());
  };
  const bridge::Outcome outcome = handle_->probe_lengths(
      view(lengths.keys), view(lengths.tables_by_depth), view(lengths.tables_by_fill));
  return Answer(outcome, lengths);
}

}  // namespace shf
