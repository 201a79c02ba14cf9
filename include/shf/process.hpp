/// @file
/// Who is attached to a map, what they do there, and who of them came and went.
///
///     shf::Watch watch = map.WatchProcesses();
///     const shf::Result<std::vector<shf::Event>> events = watch.Poll();
///     if (events.ok()) {
///       for (const shf::Event& event : *events) {
///         std::printf("%s %s\n", event.process.application.c_str(), event.joined ? "came" :
///         "went");
///       }
///     }
#ifndef SHF_PROCESS_HPP_
#define SHF_PROCESS_HPP_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shf/result.hpp"

namespace shf {

namespace bridge {
struct Watch;
}  // namespace bridge

/// What a process does in a map, as far as others should know.
enum class Role : uint32_t {
  kNone = 0,      ///< nothing in particular
  kLeader = 1,    ///< it leads the others; one at most does, and lives
  kConsumer = 2,  ///< it consumes what others produce
};

/// Operations that are done, by kind. Those that failed are not among them.
struct Counts {
  uint64_t hits = 0;  ///< gets that found their key, of whatever there is to know of it, ranges of
                      ///< lists too, each key of a batch for itself; also where the value was too
                      ///< long or of another type
  uint64_t misses = 0;   ///< gets that did not: no such key, or it had expired
  uint64_t puts = 0;     ///< puts, each of a batch for itself
  uint64_t deletes = 0;  ///< keys deleted, by Take() and Clear() as well
  uint64_t changes = 0;  ///< additions, puts under a condition that held, appends, new ages
  uint64_t lists = 0;    ///< elements added to lists or taken away
  uint64_t walks = 0;    ///< walks of a map, pieces of a scan, views of a shard
  uint64_t waits = 0;    ///< how often a lock was held by another thread or process, and waited for
};

/// A process that is attached to a map for writing; one that has the map open several times is so
/// several times. Where it is told by a process id, that is one in its own container.
struct Process {
  uint32_t slot = 0;         ///< 0 to 1023; another one's, perhaps, once this one is gone
  uint64_t attached_ns = 0;  ///< when it attached, in a forked child first wrote, in nanoseconds
                             ///< since 1970; with the slot it names this life and no other one
  uint32_t pid = 0;          ///< as it sees itself; for people, nothing is judged by it
  std::string application;   ///< Options::application, UTF-8 without control characters
  Role role = Role::kNone;   ///< its role
  Counts counts;             ///< what it has done, as far as it has published that
  bool is_this = false;      ///< whether it is the handle that was asked
};

/// What has become of a process since the last Poll().
struct Event {
  bool joined = false;  ///< true: it is there now; false: it is gone, of its own will or not
  Process process;      ///< who; of one that is gone, what was last seen of it
};

/// Looks at a map again and again. Movable, not copyable.
///
/// Threads: one at a time may use an object; any number of objects may watch one map. It does not
/// keep the map attached: when the Map that made it is detached, or was to be frozen, Poll()
/// answers kNotAttached.
class Watch {
 public:
  /// Takes over what another object watches, which watches nothing afterwards.
  Watch(Watch&&) noexcept;
  /// The same.
  Watch& operator=(Watch&&) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  /// Ends the watch.
  ~Watch();

  /// Who left and who joined since the last call, the first time all who are there, the process
  /// itself among them; those who left first, each in order of their slots. Nobody needs to do
  /// anything for others to see that he died. Somebody who came and went in between is not told of;
  /// of one who took the slot of one who died, both are. Takes system calls in proportion to the
  /// number of processes. Errors: kNotAttached; kSystem, after which the next call tells what this
  /// one did not.
  [[nodiscard]] Result<std::vector<Event>> Poll();

 private:
  friend class Map;
  struct Closer {
    void operator()(bridge::Watch* watch) const noexcept;
  };
  explicit Watch(bridge::Watch* watch) noexcept;
  std::unique_ptr<bridge::Watch, Closer> watch_;  // null: nothing
};

}  // namespace shf

#endif  // SHF_PROCESS_HPP_
