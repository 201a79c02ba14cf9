/// @file
/// A hash table in shared memory, for any number of processes and threads at once.
///
///     shf::Options options;
///     shf::Result<shf::Map> opened = shf::Map::OpenOrCreate("/dev/shm", "hits", options);
///     if (!opened.ok()) { puts(opened.text().c_str()); return 1; }
///     shf::Map map = std::move(opened).value();
///     shf::Result<int64_t> hits = map.Add("/index.html", 1);
///
/// Threads: every const method of a Map may be called from any number of threads at once, and by
/// one more Detach(), or an assignment to it: calls that have begun finish, later ones answer
/// kNotAttached, or go to the new map. Moving from an object, or destroying it, may not overlap
/// with other use of it. Deferred cancellation (pthread_cancel) takes effect after the call, never
/// inside of one; asynchronous cancellation must not be on. Processes: any number may have the same
/// map open, with any mix of reading and writing. A handle inherited through fork() works in the
/// child. Errors: nothing here throws, prints or ends the process, but for what the functions
/// themselves throw that GetMany(), Scan() and Update() are given. Each call returns a Result that
/// tells success, absence and errors apart; a discarded one is a compiler warning. Memory: keys and
/// values are any bytes, 0 bytes included, and may be empty; views are only read during the call. A
/// null view of a length other than 0 is kInvalidArgument.
#ifndef SHF_MAP_HPP_
#define SHF_MAP_HPP_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shf/access.hpp"
#include "shf/age.hpp"
#include "shf/condition.hpp"
#include "shf/entries.hpp"
#include "shf/fixed.hpp"
#include "shf/frozen.hpp"
#include "shf/group.hpp"
#include "shf/listed.hpp"
#include "shf/memory.hpp"
#include "shf/process.hpp"
#include "shf/result.hpp"
#include "shf/stats.hpp"
#include "shf/value.hpp"

class SharedHashFile;

namespace shf {

namespace bridge {
struct Map;
struct Sink;
}  // namespace bridge

/// What the creator of a map decides. Opening an existing map takes all but allow_any_file_system,
/// patience, application and role from its file; fixed, if it is set, has to be what the file says.
struct Options {
  /// Shards, each with a lock and memory of its own: a power of two from 1 to 4096; 0: what suits
  /// expected_keys, else 256, fewer where each would get less than 1 MiB of max_bytes.
  uint32_t shards = 0;
  /// The most real memory that the map may take, in bytes, at least 64 KiB, more where many shards
  /// are asked for, and at most 4 GiB a shard; 0: the least of free file system, available memory
  /// and the memory limit of the control group.
  uint64_t max_bytes = 0;
  /// Keys that the map will hold, roughly; 0: unknown. Chooses the shards, where shards does not,
  /// and how much of initial_bytes is for the index; it takes no memory and is no limit.
  uint64_t expected_keys = 0;
  /// Real memory that the map takes at its creation, in bytes, headers included, at most max_bytes:
  /// divided evenly among the shards, in whole pages, rounded up where max_bytes allows. As long as
  /// a shard has some of its part left, no put in it has to ask the file system for more, whatever
  /// that has left; and the map does not give it back, but where a map that evicts lends memory
  /// from shard to shard. The index gets what expected_keys need, without that an eighth, which is
  /// enough for records of 100 bytes and more. Creating takes time in proportion, and is kNoSpace
  /// where that is not there. 0: what an empty map needs, less than 2 MiB.
  uint64_t initial_bytes = 0;
  /// Permission bits of the file, 0 to 0777, taken as they are (the umask does not apply).
  uint32_t mode = 0600;
  /// Group of the file, by its number: for a map that only the members of a group share, with a
  /// mode of 0660. Without root's powers it must be a group of this process, else
  /// kPermissionDenied. The number that chown() takes for it, -1: the one that the system chooses
  /// for new files.
  uint32_t group = UINT32_MAX;
  /// Use a file system that is not known to be safe for maps.
  bool allow_any_file_system = false;
  /// Seal every record with a checksum, 16 bytes more, so that Sync() can make the map survive a
  /// crash of the machine, and Verify() knows values that a stranger changed. Unset: on file
  /// systems that outlive the machine's next start, not on tmpfs.
  std::optional<bool> durable;
  /// How long keys live that nobody gives an age: 1 ms to 2^47 - 1 ms. Map::SetDefaultAge() changes
  /// it later, for all processes. Unset: for ever.
  std::optional<std::chrono::milliseconds> default_age;
  /// When the map is full, evict the keys that are worth the least, so that there is always room
  /// for others of up to an eighth of max_bytes, key and value together; larger ones are kTooLarge.
  /// Gets keep keys from being evicted, unless the map is opened for reading only. Each record
  /// takes 8 bytes more. Not with durable, which keeps what was deleted until the next Sync().
  bool evict = false;
  /// Take the file's name away when the creator detaches, or when its process ends in any way: from
  /// exit() and from a return of main() on, and after all other ends, kill -9 included, as soon as
  /// somebody looks for the map, who finds none. Whoever has it open keeps it. A forked child does
  /// not count as the creator, whose end it does not delay. Not with durable.
  bool temporary = false;
  /// The length of all keys and the length of all values, in bytes, from 1 to 2^32 together. It
  /// saves memory: each record takes 8 bytes less where both lengths together are more than 8 and
  /// leave 1 to 4 when divided by 8, up to 256 bytes; beyond that for fewer lengths, and more of
  /// it. Other lengths take what they take without this. Values are bytes, without types, lists and
  /// ages, which are kWrongType and kInvalidArgument; puts of other lengths are kWrongLength. For
  /// all else a key of another length is one that is not there. Not with durable, which is then off
  /// by default, evict and default_age. Who opens the map need not set it; with other lengths than
  /// its own a map is kIncompatible. Unset: keys and values have any lengths.
  std::optional<FixedLengths> fixed;
  /// How long a writing operation of this handle waits while a living process, which may be
  /// stopped, holds the lock of a shard; then it answers kBusy and has changed nothing (Clear() may
  /// have deleted some keys). Zero: it does not wait. Negative: it waits as long as that process
  /// lives. A dead owner's lock is taken over whatever this says.
  std::chrono::microseconds patience = std::chrono::microseconds(-1);
  /// The name that Map::Processes() says of this process: up to 32 bytes of UTF-8 without control
  /// characters. Empty: that of the program, as /proc/self/comm has it, 15 bytes at most; a forked
  /// child is asked for its own. Handles that only read are not seen, and have none.
  std::string application = {};
  /// The role of this process; Map::SetRole() changes it later. kLeader: opening the map is
  /// kAlreadyLed while another one leads. Handles that only read can have none.
  Role role = Role::kNone;
};

/// One invariant that does not hold, or something that was lost.
struct Violation {
  uint32_t shard = 0;   ///< the shard
  int32_t table = -1;   ///< index page of the shard, where a slot is what is wrong, else -1
  int32_t bucket = -1;  ///< bucket of the table, or -1
  int32_t slot = -1;    ///< slot of the bucket, or -1
  uint64_t offset = 0;  ///< bytes into the file, where something contradicts what
  std::string what;     ///< the invariant, and what was found
};

/// What Map::Repair() did, or what happened before Map::Recovered().
struct Repaired {
  uint32_t shards = 0;          ///< shards that were damaged, and are rebuilt
  uint64_t keys = 0;            ///< keys in these shards now
  std::vector<Violation> lost;  ///< bytes that are no record any more, where there were some
};

/// What a put did.
struct Placed {
  bool replaced = false;  ///< whether the key had a value before
  Uid uid = 0;            ///< a name for this life of the key, good until it is deleted
};

/// A pair to put. Both views are only read during the call.
struct KeyValue {
  std::string_view key;    ///< the key
  std::string_view value;  ///< its value
};

/// Memory of the caller that receives the value of one key of a batch.
struct Buffer {
  char* data = nullptr;             ///< where the value goes; null with a capacity of 0 only
  size_t capacity = 0;              ///< bytes there
  size_t bytes = 0;                 ///< set by the call: the size of the value, or 0 without one
  Status status = Status::kAbsent;  ///< set by the call: what a single Get() would have answered
};

/// A handle of an open map. Movable, not copyable; several handles of one map, in one process or
/// in many, see each other's writes.
///
/// Every operation may answer kNotAttached, kInvalidArgument (a null view with a length),
/// kTooLarge (a view of more than PTRDIFF_MAX bytes), kCorrupt and kInternal. What writes may also
/// answer kReadOnly, and in a forked child, which then takes a process slot of its own,
/// kTooManyProcesses and kSystem. What else can go wrong stands at each method.
///
/// Waiting: reads never wait. Writes wait for the lock of the key's shard while a living process
/// holds it, which is for one operation, and take it over from a dead one. With Options::patience
/// they answer kBusy when that takes too long.
///
/// Ages: a key lives for ever, or for an age (shf/age.hpp), from the put that gives it one on.
/// Those that name none give the map's, Options::default_age. A key that has expired is not there,
/// for any operation, and a put of it begins a new life.
///
/// Lists: a key may have a list in place of a value. Calls that are about the bytes of a value
/// answer kWrongType then, and those on lists do so of a key that has a value; all others, such as
/// Delete(), Touch() and UidOf(), go on. Put() replaces a list, and it ends in one step, however
/// long it is; the memory of its elements comes back with later puts and deletes, or with Reap().
class Map {
 public:
  /// As an end of Range(): that of the list.
  static constexpr int64_t kEnd = INT64_MAX;

  /// Not attached to anything: every operation answers Status::kNotAttached.
  Map() noexcept;
  /// Takes over the map of another handle, which is as one made by Map() afterwards.
  Map(Map&&) noexcept;
  /// Detaches, as Detach() does, then takes over the map of another handle.
  Map& operator=(Map&&) noexcept;
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  /// Detaches. The map lives on in its file.
  ~Map();

  /// Makes the file `<folder>/<name>.shf`; kAlreadyExists when it is there. The folder must exist.
  /// Errors: kInvalidName, kInvalidArgument (an option), kNotFound (the folder),
  /// kPermissionDenied, kUnsupportedFileSystem, kNoSpace, kOutOfMemory (of the address space),
  /// kSystem.
  [[nodiscard]] static Result<Map> Create(std::string_view folder, std::string_view name,
                                          const Options& options = Options());
  /// Opens an existing map for reading and writing. Errors: kInvalidName, kNotFound,
  /// kPermissionDenied, kIncompatible, kUnsupportedFileSystem, kNoSpace, kOutOfMemory (of the
  /// address space), kTooManyProcesses (1024 write already), kBusy (somebody is freezing it),
  /// kAlreadyLed (Options::role), kSystem.
  [[nodiscard]] static Result<Map> Open(std::string_view folder, std::string_view name,
                                        const Options& options = Options());
  /// Opens the map, or creates it; processes that race get the same one. Errors: as those two.
  [[nodiscard]] static Result<Map> OpenOrCreate(std::string_view folder, std::string_view name,
                                                const Options& options = Options());
  /// Opens an existing map for reading; needs no write permission on the file and takes no process
  /// slot. Errors: as Open().
  [[nodiscard]] static Result<Map> OpenReadOnly(std::string_view folder, std::string_view name,
                                                const Options& options = Options());
  /// Deletes the file. Whoever has the map open keeps it until detaching. A temporary map whose
  /// creator is gone is kNotFound. Errors: kInvalidName, kNotFound, kPermissionDenied, kSystem.
  [[nodiscard]] static Result<void> Remove(std::string_view folder, std::string_view name);

  /// Makes the map `<folder>/<name>.shf` of the contents of a frozen one, which Snapshot() or
  /// Freeze() has written to `<from_folder>/<from_name>.shf`, after verifying its checksum. The
  /// options may be others than those of the map that was frozen. Keys keep their values, with
  /// their types, and the moments that they expire at; UIDs and tokens are new. Nobody sees the map
  /// before it is complete. Errors: as OpenReadOnly() and Create(); kIncompatible (the map is not
  /// frozen), kCorrupt, kNoSpace, kOutOfMemory.
  [[nodiscard]] static Result<Map> Restore(std::string_view from_folder, std::string_view from_name,
                                           std::string_view folder, std::string_view name,
                                           const Options& options = Options());

  /// The maps in a folder, all files that end with .shf, in the order of their names. One that is
  /// no map, or may not be read, is listed with what Open() would answer. Needs the permission to
  /// read the folder and the files only; opens no map, takes no process slot and writes nothing,
  /// but deletes the names of temporary maps whose creators are gone, if it may. Errors: kNotFound,
  /// kPermissionDenied, kSystem, all of the folder.
  [[nodiscard]] static Result<std::vector<Listed>> List(std::string_view folder);

  /// Makes a map whose file lies in memory, without a name, and goes with the last process that has
  /// it. Children made by fork() inherit it; Descriptor() passes it on to others. Its length is
  /// sealed, so that who gets a descriptor cannot cut it short. Needs /proc. Errors: as Create();
  /// kInvalidArgument also for a mode other than the default, a group, durable, and temporary.
  [[nodiscard]] static Result<Map> CreateAnonymous(const Options& options = Options());
  /// Opens the map whose file a descriptor means, whatever its name, or a temporary one whose
  /// creator is gone, through a duplicate: the caller keeps descriptor. It need not come from a
  /// friend: the file is checked as one under a name is. The handle is read_only() if access says
  /// so, or if the descriptor is for reading only. Errors: as Open(); kInvalidArgument (a negative
  /// number); kSystem (no descriptor).
  [[nodiscard]] static Result<Map> OpenDescriptor(int descriptor,
                                                  Access access = Access::kReadWrite,
                                                  const Options& options = Options());
  /// A duplicate of the descriptor that this handle has of the map's file, to be passed to another
  /// process, as by SCM_RIGHTS, for OpenDescriptor(). The caller closes it; exec does as well. It
  /// is for reading only if the handle is, but who may write to the file can open it again through
  /// /proc. Errors: kSystem, also in a process that has closed all descriptors, for a map whose
  /// file has no name.
  [[nodiscard]] Result<int> Descriptor() const;

  /// Whether this handle has a map.
  bool attached() const noexcept;
  /// Whether the map was opened with OpenReadOnly(), or is frozen.
  bool read_only() const noexcept;
  /// Whether the map is frozen.
  bool frozen() const noexcept;
  /// Lets go of the map; afterwards this object is as one made by Map(). Waits until all calls of
  /// other threads on this object have ended: then the map is closed, its slot and its memory are
  /// given back, except as long as something that Walk() gave exists. Calls that begin later answer
  /// kNotAttached. In a function that a call on this object calls, it only says so, and the map is
  /// closed when that call, or the outermost of several, ends; two threads that detach in this way
  /// each the map that the other one is in wait for each other.
  void Detach() noexcept;

  /// Inserts the key or replaces its value, and its age with the map's. Errors: kNoSpace (the key
  /// keeps its old value, if any), kTooLarge (more than 2^32 bytes together, or more than a shard
  /// or max_bytes can hold), kWrongLength (see Options::fixed), kHashCollisions, kIncompatible (the
  /// map would have to grow, and its file was cut short since it was opened).
  [[nodiscard]] Result<Placed> Put(std::string_view key, std::string_view value) const {
    // Part of the caller, as in Get(): the usual outcome stays in registers.
    const uint64_t answer = Place(key, value);
    if (answer >= kFailed) return NotPlaced(key, value, answer);
    return Placed{(answer & kReplaced) != 0, answer & ~kReplaced};
  }
  /// Puts a value with a type. Errors: as Put() of bytes; kInvalidArgument (text that is no UTF-8);
  /// kTooLarge (a key that is too long for a number, see Add()).
  [[nodiscard]] Result<Placed> Put(std::string_view key, const Value& value) const;
  /// Puts a value if condition holds; kConditionNotMet: it did not, and nothing has changed. With
  /// Condition::Value() or Condition::Token() this is what others call compare-and-swap. Errors: as
  /// Put(); where the condition does not hold none but kInvalidArgument.
  [[nodiscard]] Result<Placed> PutIf(std::string_view key, std::string_view value,
                                     const Condition& condition) const {
    return PutIf(key, Value::Bytes(value), condition);
  }
  /// The same of a value with a type.
  [[nodiscard]] Result<Placed> PutIf(std::string_view key, const Value& value,
                                     const Condition& condition) const;
  /// Appends to the value, which is bytes or text, or puts a key that is not there as bytes;
  /// returns the new size. A key that is there keeps its age. The new value is a copy, made under
  /// the lock of the key's shard. Errors: as Put(); kWrongType, also where what text becomes is no
  /// UTF-8; kOutOfMemory.
  [[nodiscard]] Result<uint64_t> Append(std::string_view key, std::string_view suffix) const;
  /// Replaces the contents of *value, reusing its memory; value must not be null. kAbsent: the key
  /// is not there. Unless the result is ok, *value is empty. The key may lie in *value. Takes no
  /// lock, makes no system call. Errors: kBusy (writers never paused), kOutOfMemory.
  [[nodiscard]] Result<void> Get(std::string_view key, std::string* value) const;
  /// Copies the value to buffer and returns its full size. kBufferTooSmall: needed_bytes() of the
  /// result says the size; a null buffer of 0 bytes asks for that. The rest of the buffer stays as
  /// it was, and without a value all of it, unless a writer changed the key during the call: then
  /// it may hold a part of what the key had before. Nobody else may use any of the buffer_bytes
  /// during the call, which may store there again what it found. The key may lie in the buffer.
  /// Allocates nothing, except for the text of an error other than kBufferTooSmall, for a copy of a
  /// key that lies in the buffer, and some bytes by which a thread is known from its first call on.
  /// Errors: kBusy.
  [[nodiscard]] Result<size_t> Get(std::string_view key, char* buffer, size_t buffer_bytes) const {
    // Part of the caller, so that the usual outcomes are told apart in registers.
    const uint64_t answer = CopyTo(key, buffer, buffer_bytes);
    if (answer < kFailed) return static_cast<size_t>(answer);
    if (answer == kNoKey) return Result<size_t>(Status::kAbsent);
    return NotCopied(key, buffer, buffer_bytes, answer);
  }
  /// Gets count keys, in order, and calls visit(size_t index, std::string_view value) for each that
  /// is there; returns how many those were. The answers are those of single gets, one after the
  /// other (the batch is no snapshot), and it is faster than these where the map is larger than the
  /// processor's caches, since the memory of up to 16 keys is fetched at once.
  ///
  /// The value is a whole one in private memory, good during the call of visit; nothing is locked
  /// then, so visit may use the map. What it returns is ignored; what it throws passes through, and
  /// ends the batch. Allocates only where the values of 16 keys have more than 8 KiB together, and
  /// for the text of an error. Errors: a key that cannot be is kInvalidArgument or kTooLarge before
  /// anything is done; kBusy and kOutOfMemory as a single Get(), after the keys before were
  /// visited.
  template <typename Visit>
  [[nodiscard]] Result<size_t> GetMany(const std::string_view* keys, size_t count,
                                       Visit visit) const {
    Result<void> valid = CheckKeys(keys, count);
    if (!valid.ok()) return valid.error();
    bridge::Group group;
    size_t found = 0;
    for (size_t next = 0; next < count; next += group.done()) {
      const Result<void> got = GetGroup(keys + next, count - next, &group);
      found += group.ForEach(next, visit);
      if (!got.ok()) return got.error();
    }
    return found;
  }
  /// The same for an array, std::vector or other contiguous container of std::string_view.
  template <typename Keys, typename Visit,
            typename = decltype(std::data(std::declval<const Keys&>()))>
  [[nodiscard]] Result<size_t> GetMany(const Keys& keys, Visit visit) const {
    return GetMany(std::data(keys), std::size(keys), std::move(visit));
  }
  /// Gets count keys, in order, each into the buffer of the same index, as Get() into a buffer
  /// would; returns how many values were copied. What became of each key is in its buffer's status:
  /// kOk, kAbsent, kBufferTooSmall (bytes says the size), or an error such as kBusy, which concerns
  /// that key alone. No key may lie in a buffer. Allocates nothing. Errors of the call: a key or a
  /// buffer that cannot be is kInvalidArgument or kTooLarge before anything is done.
  [[nodiscard]] Result<size_t> GetMany(const std::string_view* keys, size_t count,
                                       Buffer* buffers) const;
  /// Puts count pairs, in order, so that of equal keys the last one wins; returns how many replaced
  /// a value. placed is null or has room for count answers, those of single puts. Each put is one
  /// of its own, under its own lock: others may see some of them, and a death in between leaves the
  /// first ones. Faster than single puts where the map is larger than the processor's caches.
  /// Errors: a pair that cannot be is kInvalidArgument or kTooLarge before anything is done;
  /// otherwise as Put(), of the first pair that fails. done() of the result says how many pairs
  /// before it were put; those after it were not tried.
  [[nodiscard]] Result<size_t> PutMany(const KeyValue* pairs, size_t count,
                                       Placed* placed = nullptr) const;
  /// The same for an array, std::vector or other contiguous container of KeyValue.
  template <typename Pairs, typename = decltype(std::data(std::declval<const Pairs&>()))>
  [[nodiscard]] Result<size_t> PutMany(const Pairs& pairs, Placed* placed = nullptr) const {
    return PutMany(std::data(pairs), std::size(pairs), placed);
  }
  /// True: the key is there. Errors: kBusy.
  [[nodiscard]] Result<bool> Contains(std::string_view key) const;
  /// True: the key was there. Needs no memory, so it works in a full map.
  [[nodiscard]] Result<bool> Delete(std::string_view key) const;
  /// Deletes the key if it is there and condition holds. True: it did.
  [[nodiscard]] Result<bool> DeleteIf(std::string_view key, const Condition& condition) const;
  /// As Get(), and deletes the key: of several callers one gets it. The lock of the key's shard is
  /// held while the value is copied. The string gets memory of its own, so that once the key is
  /// gone nothing can fail. Errors: kOutOfMemory, after which it is still there.
  [[nodiscard]] Result<void> Take(std::string_view key, std::string* value) const;
  /// As Get(), and returns the key's token, for Condition::Token(). A key that is not there is no
  /// kAbsent: its token is 0, and *value is empty. Where type is not null, *type becomes the type
  /// of the value. Hashes the value.
  [[nodiscard]] Result<Token> GetWithToken(std::string_view key, std::string* value,
                                           Type* type = nullptr) const;
  /// Changes the key by what change(const std::string* old, std::string* fresh) makes of its value:
  /// it gets the present one, or null, and an empty string for the new one, and returns a Change.
  /// It runs on private copies and outside of any lock, so it may take its time, use the map, or
  /// throw. What it says is done if the key has not changed meanwhile; else it runs again. A key
  /// that is there keeps its age. Returns what was done at last. Errors: as Put(); kWrongType (the
  /// value has another type than bytes); kBusy (others were faster for thousands of times);
  /// kOutOfMemory.
  template <typename Function>
  [[nodiscard]] Result<Change> Update(std::string_view key, Function change) const {
    std::string old;
    std::string fresh;
    for (int attempt = 0; attempt < kUpdateAttempts; ++attempt) {
      const Result<Token> token = BeginUpdate(key, attempt, &old);
      if (!token.ok()) return token.error();
      fresh.clear();
      const Change what = change(*token == 0 ? nullptr : &std::as_const(old), &fresh);
      const Result<bool> done = FinishUpdate(key, *token, what, fresh);
      if (!done.ok()) return done.error();
      if (*done) return what;
    }
    return Error{Status::kBusy, "busy: other processes changed the key again and again"};
  }
  /// Adds to the signed 64-bit integer under key, which starts at 0 when absent; returns the sum.
  /// A key that is there keeps its age. A value of another type is kWrongType; a sum out of range
  /// is kOverflow and changes nothing. Get() of such a key gives its 8 bytes, little-endian. Errors
  /// of a key that is new: as Put(); kTooLarge from 16,361 bytes of key on, in a durable map from
  /// 16,345, and from 8 bytes less with an age.
  [[nodiscard]] Result<int64_t> Add(std::string_view key, int64_t delta) const;
  /// As Add(), to an unsigned integer.
  [[nodiscard]] Result<uint64_t> AddUnsigned(std::string_view key, int64_t delta) const;
  /// As Add(), to a double, by the rules of IEEE 754, which know no overflow.
  [[nodiscard]] Result<double> AddDouble(std::string_view key, double delta) const;
  /// The type of the key's value. kAbsent: the key is not there. Errors: kBusy.
  [[nodiscard]] Result<Type> TypeOf(std::string_view key) const;
  /// The signed integer under key. kAbsent: the key is not there. Errors: kWrongType; kBusy.
  [[nodiscard]] Result<int64_t> GetInteger(std::string_view key) const;
  /// The unsigned integer under key. As GetInteger().
  [[nodiscard]] Result<uint64_t> GetUnsigned(std::string_view key) const;
  /// The double under key. As GetInteger().
  [[nodiscard]] Result<double> GetDouble(std::string_view key) const;
  /// The boolean under key. As GetInteger().
  [[nodiscard]] Result<bool> GetBoolean(std::string_view key) const;
  /// As Get(), of text. Errors: as Get(); kWrongType.
  [[nodiscard]] Result<void> GetText(std::string_view key, std::string* text) const;

  /// As Put(), of a key that lives for an age from now on. Errors: as Put(); kInvalidArgument (the
  /// age).
  [[nodiscard]] Result<Placed> PutFor(std::string_view key, std::string_view value, Age age) const {
    return PutFor(key, Value::Bytes(value), age);
  }
  /// The same of a value with a type.
  [[nodiscard]] Result<Placed> PutFor(std::string_view key, const Value& value, Age age) const;
  /// As PutIf(), of a key that lives for an age from now on: with Condition::Absent() a lock that
  /// opens by itself. Errors: as PutIf(); kInvalidArgument (the age; not where the condition does
  /// not hold).
  [[nodiscard]] Result<Placed> PutIfFor(std::string_view key, std::string_view value,
                                        const Condition& condition, Age age) const {
    return PutIfFor(key, Value::Bytes(value), condition, age);
  }
  /// The same of a value with a type.
  [[nodiscard]] Result<Placed> PutIfFor(std::string_view key, const Value& value,
                                        const Condition& condition, Age age) const;
  /// Has the key live for an age from now on; its value and its UID stay. True: the key is there.
  /// One store where the key has had an age before; else the record is written anew, which needs
  /// room in the map and private memory for the value, and gives it another token. A key that would
  /// have expired during the call lives on, though a get may have missed it meanwhile; so it is
  /// with puts that replace its value. Errors: as PutFor(); kOutOfMemory.
  [[nodiscard]] Result<bool> Touch(std::string_view key, Age age) const;
  /// As Get(), and has the key live for an age from now on, as Touch() does. Unlike a get it
  /// writes: the lock of the key's shard is held while the value is copied. The string gets memory
  /// of its own. Errors: as Touch(), after which the age is as it was.
  [[nodiscard]] Result<void> GetAndTouch(std::string_view key, Age age, std::string* value) const;
  /// How long the key has yet to live; nothing: for ever. kAbsent: the key is not there. Errors:
  /// kBusy.
  [[nodiscard]] Result<std::optional<std::chrono::milliseconds>> TimeLeft(
      std::string_view key) const;
  /// Deletes all keys that have expired and returns how many those were; then what lists have left
  /// that are gone. Works in small steps that
  /// other writers interleave with. Keys that have expired go without this as well, with the puts
  /// and deletes that follow in the same shards; where one part of a full map is written to and
  /// another is not, this makes room. In a durable map their memory may be used again after the
  /// next Sync(), like that of other deleted keys.
  [[nodiscard]] Result<uint64_t> Reap() const;
  /// Sets how long keys live that nobody gives an age, 1 ms to 2^47 - 1 ms, for all processes;
  /// nothing: for ever. Keys that are there keep the age that they were given. In a durable map it
  /// survives a crash of the machine from the next Sync() on. Errors: kInvalidArgument, with a text
  /// as of Age.
  [[nodiscard]] Result<void> SetDefaultAge(std::optional<std::chrono::milliseconds> age) const;
  /// How long keys live that nobody gives an age; nothing: for ever.
  [[nodiscard]] Result<std::optional<std::chrono::milliseconds>> DefaultAge() const;

  /// Adds an element behind the last one of the list under key, and returns how many it has then. A
  /// key that is not there becomes a list, with the map's age; one that is there keeps its age.
  /// Elements are any bytes, as values are. However long the list is, this takes as long. In a
  /// durable map, after a crash of the machine, what was there at the last Sync() and was not taken
  /// away since is there, in order; what was pushed or popped since, each for itself, may be or
  /// not. Errors: as Put(); kWrongType; kTooLarge also for a key that is too long for a number, see
  /// Add().
  [[nodiscard]] Result<uint64_t> Push(std::string_view key, std::string_view element) const;
  /// As Push(), before the first element.
  [[nodiscard]] Result<uint64_t> Unshift(std::string_view key, std::string_view element) const;
  /// Replaces the contents of *element with the last element of the list under key, and takes that
  /// away: of several callers one gets it. The key goes with the last one that there is. kAbsent:
  /// the key is not there. Unless the result is ok, *element is empty. The lock of the key's shard
  /// is held while the element is copied. The string gets memory of its own. Errors: as Delete();
  /// kWrongType; kOutOfMemory, after which the element is still there.
  [[nodiscard]] Result<void> Pop(std::string_view key, std::string* element) const;
  /// As Pop(), of the first element.
  [[nodiscard]] Result<void> Shift(std::string_view key, std::string* element) const;
  /// How many elements the list under key has; 0: the key is not there. Takes no lock, looks at no
  /// element. Errors: kWrongType; kBusy.
  [[nodiscard]] Result<uint64_t> Length(std::string_view key) const;
  /// Replaces the contents of *elements with those of the list under key from position start on and
  /// before end. Positions count from 0 on, and negative ones from the end: -2 and kEnd are the
  /// last two. What is beyond an end is passed over; nothing at all: the key is not there, or there
  /// is nothing between the two. All are those of one moment of the call. Takes no lock; where
  /// writers keep taking away what it reads, once more under the lock, if that is free at that
  /// moment. The key may lie in *elements, which is empty unless the result is ok. Errors:
  /// kWrongType; kBusy; kOutOfMemory.
  [[nodiscard]] Result<void> Range(std::string_view key, int64_t start, int64_t end,
                                   std::vector<std::string>* elements) const;

  /// The UID of the key's present life. kAbsent: the key is not there. Errors: kBusy.
  [[nodiscard]] Result<Uid> UidOf(std::string_view key) const;
  /// As Get() of the key that a UID names, which need not be known. kAbsent from the key's deletion
  /// on, also when it was put again; so answer all of these.
  [[nodiscard]] Result<void> GetByUid(Uid uid, std::string* value) const;
  /// The same, to a buffer.
  [[nodiscard]] Result<size_t> GetByUid(Uid uid, char* buffer, size_t buffer_bytes) const {
    const uint64_t answer = CopyToByUid(uid, buffer, buffer_bytes);
    if (answer < kFailed) return static_cast<size_t>(answer);
    if (answer == kNoKey) return Result<size_t>(Status::kAbsent);
    return NotCopiedByUid(uid, buffer, buffer_bytes, answer);
  }
  /// Copies the key that a UID names. Errors: kBusy, kOutOfMemory.
  [[nodiscard]] Result<void> GetKeyByUid(Uid uid, std::string* key) const;
  /// True: the UID names a key that is there. Errors: kBusy.
  [[nodiscard]] Result<bool> ContainsUid(Uid uid) const;
  /// Replaces the value of the key that a UID names, and its age with the map's. Errors: as Put();
  /// kOutOfMemory.
  [[nodiscard]] Result<Placed> PutByUid(Uid uid, std::string_view value) const;
  /// Deletes the key that a UID names. True: it was there.
  [[nodiscard]] Result<bool> DeleteByUid(Uid uid) const;

  /// Keys in the map: exact when nobody writes, else a number that differs by at most the writes
  /// that overlapped with the call. Keys that have expired count until they are reaped. A list is
  /// one key.
  [[nodiscard]] Result<uint64_t> Size() const;
  /// Deletes every key that is there from the beginning to the end of the call and returns how many
  /// it deleted, those among them that had expired; keys put meanwhile may stay. Works in small
  /// steps that other writers interleave with.
  [[nodiscard]] Result<uint64_t> Clear() const;
  /// What ForEach() calls: false ends the walk. Both views are good during the call only.
  using Visitor = bool (*)(void* context, std::string_view key, std::string_view value);
  /// Calls visit(context, key, value) for each key, on private copies and outside of any lock, so
  /// that visit may use the map and even detach this object; stops when visit returns false. visit
  /// must not throw. A key that is there from beginning to end is visited once; one that comes,
  /// goes or comes again meanwhile at most once for each of its lives. Errors: kBusy, kOutOfMemory.
  [[nodiscard]] Result<void> ForEach(Visitor visit, void* context) const;
  /// The entries of all keys that begin with prefix, for a loop: see shf/entries.hpp. Looks at all
  /// keys of the map.
  Entries Walk(std::string_view prefix = {}) const;
  /// Visits the entries of the map piece by piece: a call visits those at *cursor, some hundreds at
  /// most, perhaps none, of keys that begin with prefix, and moves the cursor behind them. True:
  /// there may be more. Begins at 0. A key that is there from the first call to the last is visited
  /// once, also when the cursor is kept for long or given to another process. What visit(const
  /// Entry&) returns is ignored; what it throws passes through. Then, and after an error, the
  /// cursor is where it was, and the piece comes once more. Errors: as ForEach().
  template <typename Visit>
  [[nodiscard]] Result<bool> Scan(uint64_t* cursor, std::string_view prefix, Visit visit) const {
    std::vector<Uid> uids;
    uint64_t next = 0;
    const Result<bool> more = ScanUids(cursor, prefix, &next, &uids);
    if (!more.ok()) return more.error();
    Entry entry;
    for (const Uid uid : uids) {
      const Result<bool> there = GetEntry(uid, &entry);
      if (!there.ok()) return there.error();
      if (*there) visit(std::as_const(entry));
    }
    *cursor = next;
    return *more;
  }
  /// Calls visit(const Entry&) for each entry that a shard has at one moment of the call. The shard
  /// is locked while they are copied, which takes time and private memory in proportion to it, and
  /// not while visit runs. Shards are numbered from 0 on; true: there is one of a higher number.
  /// visit must not throw. Errors: kReadOnly, kBusy, kOutOfMemory.
  template <typename Visit>
  [[nodiscard]] Result<bool> ViewShard(uint32_t shard, Visit visit) const {
    return ViewEntries(
        shard, [](void* context, const Entry& entry) { (*static_cast<Visit*>(context))(entry); },
        &visit);
  }
  /// The numbers of all shards: see shf/stats.hpp.
  [[nodiscard]] Result<Stats> GetStats() const;
  /// Walks the index and counts how far keys lie from their home buckets, and tables by depth and
  /// fill. Takes no lock, but where running writers interfere for too long, if it is free at that
  /// moment; works through handles that may only read. Takes time in proportion to the index: a
  /// page for some 500 keys. Errors: kBusy.
  [[nodiscard]] Result<ProbeLengths> GetProbeLengths() const;
  /// Checks every invariant of every shard and names those that do not hold. Others may use the map
  /// meanwhile; writers wait while the shard of their key is checked. Needs private memory in
  /// proportion to the keys of one shard. Errors: kBusy.
  [[nodiscard]] Result<std::vector<Violation>> Verify() const;
  /// Rebuilds the shards that are damaged: their index from the records, and what describes their
  /// memory; drops what is no record any more, and reports it. Unless the map is durable, values
  /// carry no checksum: one that a stranger overwrote is kept as it is. Others may use the map
  /// meanwhile; of a shard that is being rebuilt they get kBusy. A process that dies on the way
  /// leaves the rest to the next one that takes the shard's lock. Needs private memory in
  /// proportion to the keys of one shard. Errors: kBusy; kNoSpace (for the new index) and
  /// kOutOfMemory, which a shard whose index was given up by then goes on answering until it is
  /// rebuilt.
  [[nodiscard]] Result<Repaired> Repair() const;
  /// Makes everything that was acknowledged before the call, by any process, survive a crash of the
  /// machine. Others go on meanwhile; what they do may survive or not. What was there at a call,
  /// and is deleted or replaced, keeps its memory until the next one: a map that changes as a whole
  /// between two of them takes twice as much. Waits for other calls, for each shard's lock in turn,
  /// and for the disk. Errors: kNotDurable (see Options::durable); kReadOnly; kBusy; kSystem when
  /// the disk refuses, after which nothing more than before is known to survive; a later call tries
  /// all of it again.
  [[nodiscard]] Result<void> Sync() const;
  /// All processes that are attached for writing, this one among them, in order of their slots: one
  /// entry for each handle, and one for each forked child that has written through an inherited
  /// handle. Who was killed is not among them. Handles that only read may ask, and are not seen.
  /// Takes system calls in proportion to their number. Errors: kSystem.
  [[nodiscard]] Result<std::vector<Process>> Processes() const;
  /// Changes the role of this process. One leads at most, until it has another role, detaches or
  /// dies: then the first one that asks does. Errors: kAlreadyLed; kReadOnly; in a forked child,
  /// which then takes a process slot of its own, kTooManyProcesses, kNoSpace and kSystem.
  [[nodiscard]] Result<void> SetRole(Role role) const;
  /// The role of this process. A forked child has its parent's, unless that leads.
  [[nodiscard]] Result<Role> GetRole() const;
  /// Begins to watch who comes and goes: see shf/process.hpp.
  [[nodiscard]] Watch WatchProcesses() const;
  /// What was found when this handle opened a durable map after a crash of the machine, or a copy
  /// of one: how many shards were made anew, the keys in them, and the records that were torn and
  /// dropped, which were put after the last Sync(). kAbsent: there was nothing to recover.
  [[nodiscard]] Result<Repaired> Recovered() const;

  /// With false, this thread takes the locks of all shards, once it gets them, and keeps them: its
  /// operations take none any more, which is faster. All others who would write, other threads of
  /// this process as well, wait until it says true, detaches, or dies; with Options::patience they
  /// are told kBusy. Readers go on as always. A forked child has none of the locks. Errors:
  /// kReadOnly; kBusy.
  [[nodiscard]] Result<void> SetLockable(bool lockable) const;
  /// Whether operations of this thread take locks; true of a handle that is not attached.
  bool lockable() const noexcept;

  /// Writes a copy of the map to the file `<folder>/<name>.shf`: a frozen map, to be opened with
  /// OpenReadOnly() by any number of processes, on any file system, or to be given to Restore().
  /// The folder must exist; a frozen map of that name is replaced at once. Others go on meanwhile:
  /// the copy has of each shard what was there at one moment of the call. UIDs and tokens hold in
  /// it. Writers of a shard wait while some 64 KiB of it are copied, now and then; where they make
  /// more than 32,768 changes between two looks of this call, and that three times, until the shard
  /// is copied as a whole. Other snapshots of the same map wait for this one. Takes private memory
  /// for some 60 bytes a key, but of at most 8 million keys at a time, and for the largest value.
  /// Errors: kAlreadyExists (something else has the name), kReadOnly, kNoSpace, kOutOfMemory; as
  /// Create() for folder and name. Then what has the name is as it was; but a kSystem that names
  /// the flush of the folder is told of a whole copy, which a crash of the machine may take away.
  [[nodiscard]] Result<Frozen> Snapshot(std::string_view folder, std::string_view name) const;
  /// Puts a frozen map of the same contents in the place of the map's file, as small as it can be;
  /// this handle is one for reading it afterwards. Verify() holds it against its checksum. Who has
  /// the old one open for reading keeps it; who wants to open it for writing meanwhile is told
  /// kBusy. A temporary map becomes one that stays. May not overlap with other use of this object.
  /// Errors: kBusy (another handle has the map open for writing); kNotFound (its file has no name,
  /// as that of an anonymous map, of which Snapshot() makes a frozen one); as Snapshot(). Then the
  /// map is as it was and this handle writes to it, unless this handle is read_only(): then the map
  /// is frozen, and either could not be opened anew, so that this handle reads the old file, or a
  /// crash of the machine may bring that one back.
  [[nodiscard]] Result<void> Freeze();

 private:
  friend class ::SharedHashFile;
  friend class Entries;
  // The engine's handle. It is made with the first map that is attached, and stays as long as this
  // object, so that threads may use it while others detach: it knows whether it has a map.
  class Handle {
   public:
    Handle() noexcept = default;
    Handle(Handle&& other) noexcept : handle_(other.handle_.exchange(nullptr)) {}
    ~Handle();
    explicit operator bool() const noexcept { return Get() != nullptr; }
    const bridge::Map& operator*() const noexcept { return *Get(); }
    const bridge::Map* operator->() const noexcept { return Get(); }
    // Of an object that has none.
    void Set(bridge::Map* handle) noexcept { handle_.store(handle, std::memory_order_release); }
    bridge::Map* Release() noexcept { return handle_.exchange(nullptr); }
    const bridge::Map* Get() const noexcept { return handle_.load(std::memory_order_acquire); }
    // The most frequent calls, of memory that the engine takes: arguments and answers in registers,
    // where the engine wants them.
    uint64_t Put(const char* key, size_t key_bytes, const char* value,
                 size_t value_bytes) const noexcept;
    uint64_t GetInto(const char* key, size_t key_bytes, char* buffer,
                     size_t buffer_bytes) const noexcept;

   private:
    std::atomic<bridge::Map*> handle_{nullptr};
  };
  // What Put() and Get() are made of is compiled into programs: within one SONAME, neither these
  // numbers nor the private functions that templates and inline functions call may change.
  //
  // Answers in one register, as the engine packs them: what went well is below this, else the
  // status lies in bits 53 to 60.
  static constexpr uint64_t kFailed = uint64_t{7} << 61;
  static constexpr uint64_t kNoKey = kFailed | static_cast<uint64_t>(Status::kAbsent) << 53;
  // Of a put: the key had a value. The bits below are the UID.
  static constexpr uint64_t kReplaced = uint64_t{1} << 60;
  // These arguments are not for the engine as they are.
  static constexpr uint64_t kUnusual = UINT64_MAX;

  struct Opening;
  struct Attached;
  struct Arguments;
  // Put() but for the result.
  uint64_t Place(std::string_view key, std::string_view value) const noexcept {
    if (!bridge::IsMemory(key) || !bridge::IsMemory(value)) return kUnusual;
    return handle_.Put(key.data(), key.size(), value.data(), value.size());
  }
  // What Put() answers where Place() failed.
  Result<Placed> NotPlaced(std::string_view key, std::string_view value, uint64_t answer) const;
  // Get() but for the result: the size of the value, or an answer above.
  uint64_t CopyTo(std::string_view key, char* buffer, size_t buffer_bytes) const noexcept {
    if (!bridge::IsMemory(key) || !bridge::IsMemory(buffer, buffer_bytes) ||
        bridge::Overlaps(key, buffer, buffer_bytes)) {
      return kUnusual;
    }
    return handle_.GetInto(key.data(), key.size(), buffer, buffer_bytes);
  }
  // What Get() answers where CopyTo() failed.
  Result<size_t> NotCopied(std::string_view key, char* buffer, size_t buffer_bytes,
                           uint64_t answer) const;
  // Attached; the key lies outside of the sink. kOutOfMemory: it did not grow.
  Result<size_t> GetTo(std::string_view key, bridge::Sink* sink) const;
  // Whether a batch of these keys can be looked for.
  Result<void> CheckKeys(const std::string_view* keys, size_t count) const;
  // Fills the group with the values of the first of the keys, at least one. An error is that of the
  // key behind those.
  Result<void> GetGroup(const std::string_view* keys, size_t count, bridge::Group* group) const;
  // Of attached maps: 32 bits of a UID, never UINT32_MAX, and the UID that has them, if one alone.
  uint32_t ShortOfUid(Uid uid) const;
  Result<Uid> UidOfShort(uint32_t bits) const;
  Result<size_t> GetToByUid(Uid uid, bridge::Sink* sink) const;
  Result<size_t> GetKeyToByUid(Uid uid, bridge::Sink* sink) const;
  // GetByUid() but for the result, and what it answers where that failed.
  uint64_t CopyToByUid(Uid uid, char* buffer, size_t buffer_bytes) const noexcept;
  Result<size_t> NotCopiedByUid(Uid uid, char* buffer, size_t buffer_bytes, uint64_t answer) const;
  // The bits of a number or boolean of this type.
  Result<uint64_t> Scalar(std::string_view key, Type type) const;
  static constexpr int kUpdateAttempts = 4096;
  // Before an attempt of Update(): the value, and the token. After it: whether it counts.
  Result<Token> BeginUpdate(std::string_view key, int attempt, std::string* old) const;
  Result<bool> FinishUpdate(std::string_view key, Token token, Change what,
                            std::string_view fresh) const;
  // The keys at a cursor, and the one behind them. False: there are no more.
  Result<bool> ScanUids(const uint64_t* cursor, std::string_view prefix, uint64_t* next,
                        std::vector<Uid>* uids) const;
  // False: the key is gone.
  Result<bool> GetEntry(Uid uid, Entry* entry) const;
  Result<bool> ViewEntries(uint32_t shard, void (*visit)(void* context, const Entry& entry),
                           void* context) const;
  Handle handle_;  // null: never attached
};

}  // namespace shf

#endif  // SHF_MAP_HPP_
