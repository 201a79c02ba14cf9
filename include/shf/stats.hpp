/// @file
/// The numbers of a map, and how others read them: as JSON, and as text for Prometheus.
#ifndef SHF_STATS_HPP_
#define SHF_STATS_HPP_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shf/process.hpp"
#include "shf/result.hpp"

namespace shf {

/// The numbers of a map, summed over its shards without locks: each shard's part is one that it had
/// at some time during the call. Bytes are real ones unless it says otherwise; counters of events
/// begin at the map's creation.
///
/// committed_bytes is the sum of front_bytes, descriptor_bytes, live_bytes, dead_bytes, free_bytes,
/// unused_bytes and index_bytes, exactly when nobody writes and no shard waits for its repair.
struct Stats {
  uint64_t keys = 0;             ///< keys in the map, expired ones that are not reaped included
  uint64_t elements = 0;         ///< elements of lists, and what lists have left that are gone
  uint64_t timed_keys = 0;       ///< keys that have an age, or had one before one of for ever
  uint64_t committed_bytes = 0;  ///< real bytes taken from the file system, headers included
  uint64_t max_bytes = 0;        ///< the most that committed_bytes may become
  uint64_t free_bytes_left = 0;  ///< what it may still grow by, if the file system has it
  uint64_t apparent_bytes = 0;   ///< length of the file, most of which is holes

  uint64_t front_bytes = 0;       ///< headers of the map and of its shards
  uint64_t descriptor_bytes = 0;  ///< descriptions of the pages that are for records
  uint64_t live_bytes = 0;        ///< records, with what rounds them up to their size class or to
                                  ///< pages, and what none fitted in at the end of a run of pages
  uint64_t dead_bytes = 0;        ///< deleted and replaced records, not used again yet; in a map
                                  ///< that evicts, also the ends of runs
  uint64_t free_bytes = 0;        ///< record memory in free runs, ready to be used again
  uint64_t unused_bytes = 0;      ///< what nothing has been written to yet, or any more, at the end
                                  ///< of the open run, of the record pages and of the index
  uint64_t index_bytes = 0;       ///< tables, pages of the directory, and gaps between them

  uint64_t shards = 0;            ///< shards, each with a lock and memory of its own
  uint64_t tables = 0;            ///< one-page tables in the index
  uint64_t bucket_count = 0;      ///< buckets now: 64 in a table
  uint64_t max_bucket_count = 0;  ///< the most there could be, by the windows of the shards, their
                                  ///< directories and max_bytes, if all of that were index
  uint64_t slots = 0;             ///< slots of the buckets, 12 in each; a key, or element, has one

  uint64_t splits = 0;         ///< table splits
  uint64_t vacated_pages = 0;  ///< index pages given up, by merges of tables
  uint64_t moved_records = 0;  ///< records moved by compaction
  uint64_t repairs = 0;        ///< shards repaired after the death of a process
  uint64_t expired_keys = 0;   ///< keys that had expired when they were deleted or replaced
  uint64_t evicted_keys = 0;   ///< keys evicted because the map was full
  uint64_t retries = 0;        ///< looks that gets of this handle made again in this process,
                               ///< because a writer was there
  uint64_t created_ns = 0;     ///< when the map was created, in nanoseconds since 1970

  uint64_t fixed_key_bytes = 0;    ///< the length of all keys, if Options::fixed says one; else 0
  uint64_t fixed_value_bytes = 0;  ///< the length of all values; both are 0 where any is allowed

  /// The part of all slots that is in use, 0 to 1; 0 of a map without tables. A new table is half
  /// full or less, and splits when three buckets next to each other have no room for a key.
  double load_factor() const noexcept;
  /// The load factor beyond which none is ever allowed. Nothing happens when it is near; tables
  /// split long before, one by one.
  double max_load_factor() const noexcept;
};

/// Where the keys of a map lie in its index. Exact when nobody writes; else what is put, deleted,
/// split or merged during the call may be counted, or not, or twice.
struct ProbeLengths {
  /// Keys and elements of lists by how many buckets after their home they lie. A get looks at so
  /// many buckets before that one.
  std::array<uint64_t, 3> keys = {};
  /// Tables by local depth: one of depth d holds the keys of its shard that agree in d bits of
  /// their hash.
  std::array<uint64_t, 20> tables_by_depth = {};
  /// Tables by the tenth of their slots that is in use: the first has less than a tenth.
  std::array<uint64_t, 10> tables_by_fill = {};

  /// Buckets that a get of a key looks at, on the average; 0: there are no keys.
  double mean() const noexcept;
};

/// The numbers of a map, and its name for those who collect them.
struct NamedStats {
  std::string map_name;                 ///< any text
  Stats stats;                          ///< the numbers
  std::vector<Process> processes = {};  ///< what Map::Processes() gave, or nothing
};

/// An object with all numbers under the names of the fields, and the two load factors, in one line.
/// Errors: kOutOfMemory.
[[nodiscard]] Result<std::string> ToJson(const Stats& stats);
/// The same, with an array processes of what Map::Processes() gave: an object for each with the
/// names of the fields; counts is an object of its own, role a word: none, leader or consumer.
[[nodiscard]] Result<std::string> ToJson(const Stats& stats, const std::vector<Process>& processes);

/// The numbers as families shf_* in Prometheus' text format 0.0.4, with the label map. Counters of
/// events end in _total. Errors: kInvalidName (a name that is no UTF-8); kInvalidArgument (a null
/// view with a length); kOutOfMemory.
[[nodiscard]] Result<std::string> ToPrometheus(const Stats& stats, std::string_view map_name);
/// The same, with what Map::Processes() gave as family shf_process_operations_total, whose labels
/// are map, process (the slot), pid, application, role (none, leader, consumer) and operation (a
/// field of Counts).
[[nodiscard]] Result<std::string> ToPrometheus(const Stats& stats, std::string_view map_name,
                                               const std::vector<Process>& processes);
/// The same, of maps whose names differ. Texts of several calls do not make one together: a family
/// has to be in one piece.
[[nodiscard]] Result<std::string> ToPrometheus(const std::vector<NamedStats>& maps);

}  // namespace shf

#endif  // SHF_STATS_HPP_
