// What the benchmark asks of a store, and what it says about one.
//
// Calls are virtual: that costs every store the same, 2 ns or so of what takes hundreds.
//
//     Peer --make--> Store, one table --Open()--> Session, what one process or thread works through
#ifndef SHF_BENCH_PEERS_STORE_HPP_
#define SHF_BENCH_PEERS_STORE_HPP_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workload.hpp"

namespace bench {

// Remembers the first thing that went wrong.
class Fallible {
 public:
  const std::string& error() const { return error_; }

 protected:
  [[gnu::cold, gnu::noinline]] bool Fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return false;
  }

 private:
  std::string error_;
};

// Told of each value that a GetMany finds; it is good during the call only.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void Found(size_t n, std::string_view value) = 0;
};

// The calls of one process or thread. All but Get() answer false when something went wrong; after
// any of them error() says what.
class Session : public Fallible {
 public:
  virtual ~Session() = default;
  virtual bool Put(const Key& key, std::string_view value) = 0;
  // Copies the value to a buffer that is large enough for any; false: not there, or failed.
  virtual bool Get(const Key& key, char* buffer, size_t* bytes) = 0;
  virtual bool Delete(const Key& key) = 0;

  // Several calls as one, where the store has such a thing.
  virtual bool PutMany(const Key* keys, const std::string_view* values, size_t count) {
    for (size_t n = 0; n < count; ++n) {
      if (!Put(keys[n], values[n])) return false;
    }
    return true;
  }
  virtual bool DeleteMany(const Key* keys, size_t count) {
    for (size_t n = 0; n < count; ++n) {
      if (!Delete(keys[n])) return false;
    }
    return true;
  }
  // Adds one to each of some counters, which begin at 0. Only of stores that have a way that
  // counts.
  virtual bool AddMany(const Key*, size_t) { return Fail("there are no counters"); }
  // Adds an element at the end of the list of each key. Only of stores that have a way that counts.
  virtual bool PushMany(const Key*, size_t, std::string_view) { return Fail("there are no lists"); }
  // Takes the first element, of so many bytes, of the list of each key away. As above.
  virtual bool ShiftMany(const Key*, size_t, size_t) { return Fail("there are no lists"); }
  // Puts keys that live for so many milliseconds. As above.
  virtual bool PutAgedMany(const Key*, const std::string_view*, size_t, uint64_t) {
    return Fail("there are no ages");
  }
  // Has those that are there live for so many milliseconds from now on. As above.
  virtual bool TouchMany(const Key*, size_t, uint64_t) { return Fail("there are no ages"); }
  // Only of stores that have a way with get_batch above 1.
  virtual bool GetMany(const Key*, size_t, Visitor*) { return Fail("there is no GetMany"); }
};

// Real memory that a store takes.
struct Memory {
  uint64_t bytes = 0;
  std::string also;  // what another way of counting says, for people; may be empty
};

// One table. Made in the process that starts the others, which have it by fork().
class Store : public Fallible {
 public:
  virtual ~Store() = default;
  // Makes it, empty.
  virtual bool Create() = 0;
  // nullptr: failed. Called by the process or thread that will use the session.
  virtual std::unique_ptr<Session> Open() = 0;
  // For a store that makes a difference between the two.
  virtual std::unique_ptr<Session> OpenReadOnly() { return Open(); }
  // By the process that works, of which `session` is the one.
  virtual Memory Measure(Session* session) = 0;
};

// One way to use a store, which the results name.
struct Way {
  std::string name;
  std::string configuration;  // in sentences
  unsigned get_batch = 1;     // gets, and puts, in one call
  unsigned put_batch = 1;
  uint64_t operations_max = UINT64_MAX;  // of a way so slow that a run would take hours
  std::string missing;                   // why it cannot be measured; empty: it can
  bool puts = true;                      // whether it has puts of its own
  bool counts = false;                   // whether it has counters and lists, put_batch in one call
  bool latency = false;                  // whether the latency of its single puts is measured
  bool four_processes = false;  // whether it is measured with more of them than processors too
};

// Where a store lives.
enum class Kind { kShared, kServer, kThreads };

struct Peer {
  std::vector<Way> ways;  // the first one loads the table
  Kind kind = Kind::kShared;
  std::string version;
  std::string missing;                   // the same of all ways
  bool opens_read_only = false;          // whether OpenReadOnly() is something else than Open()
  bool grows = false;                    // whether the section "growth" has it,
  uint64_t grows_keys_max = UINT64_MAX;  // and up to how many keys
  std::string rust_store;                // what the Rust program calls it; then `make` is empty
  std::function<std::unique_ptr<Store>(const Workload&, const std::string& folder)> make;

  const std::string& name() const { return ways.front().name; }
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_STORE_HPP_
