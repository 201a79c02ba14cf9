/// @file
/// Walking a map with a range-based for loop.
///
///     shf::Entries users = map.Walk("user:");
///     for (const shf::Entry& entry : users) puts(entry.key.c_str());
///     if (!users.status().ok()) puts(users.status().text().c_str());
#ifndef SHF_ENTRIES_HPP_
#define SHF_ENTRIES_HPP_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "shf/result.hpp"
#include "shf/value.hpp"

namespace shf {

class Map;

/// A name for one life of a key (Placed::uid, Map::UidOf): 60 bits, good in any process until the
/// key is deleted, whatever happens to its value and to the map meanwhile. A key that was put again
/// has another one. Never 0. No two keys that are there have the same one.
///
/// What an old UID could be taken for is a life of the same key, or of one whose hash has the same
/// 32 bits and those of the shard, that begins a multiple of 1,048,576 births of keys in the shard
/// after its own (in maps of more than 256 shards, of 2^28 divided by the shards). A crash of the
/// machine may have births be forgotten; up to 262,144 of them in a shard do no harm.
using Uid = uint64_t;

/// A key and its value, as they were at one moment.
struct Entry {
  std::string key;           ///< the key
  std::string value;         ///< the bytes of its value; of a list, its length: 8 bytes,
                             ///< little-endian
  Type type = Type::kBytes;  ///< the type of the value
  Uid uid = 0;               ///< a name for this life of the key
};

/// The entries of a map, one at a time while others write. A key that is there from beginning to
/// end comes once; one that comes, goes or comes again meanwhile at most once for each of its
/// lives; one that was never there never. The value is one that the key has when its entry is read.
///
/// A range to be gone through once, by one thread. Keeps its map open, whatever becomes of the
/// shf::Map that it comes from. The loop ends early where an error occurs, and status() tells.
class Entries {
 public:
  class Iterator;
  /// Goes to the first entry. Other iterators of this range are at its end from here on.
  Iterator begin();
  /// Behind the last entry.
  Iterator end() const noexcept;
  /// kOk as long as nothing went wrong. Errors: as Map::ForEach().
  const Result<void>& status() const noexcept { return status_; }
  /// Takes over what another range has; that one is empty afterwards.
  Entries(Entries&& other) noexcept;
  /// The same.
  Entries& operator=(Entries&& other) noexcept;
  Entries(const Entries&) = delete;
  Entries& operator=(const Entries&) = delete;
  /// Lets go of the map.
  ~Entries();

 private:
  friend class Map;
  struct State;
  explicit Entries(std::unique_ptr<State> state, Result<void> status);
  // Reads the next entry; false: there is none, or an error.
  bool Next();

  std::unique_ptr<State> state_;
  Entry entry_;
  Result<void> status_;
};

/// Where a loop over the entries of a map is.
class Entries::Iterator {
 public:
  /// One pass.
  using iterator_category = std::input_iterator_tag;
  /// What it leads to.
  using value_type = Entry;
  /// Of no use.
  using difference_type = std::ptrdiff_t;
  /// To an entry.
  using pointer = const Entry*;
  /// Of an entry.
  using reference = const Entry&;

  /// The entry, good until the iterator goes on.
  reference operator*() const noexcept { return range_->entry_; }
  /// A member of it.
  pointer operator->() const noexcept { return &range_->entry_; }
  /// Goes on.
  Iterator& operator++() {
    if (!range_->Next()) range_ = nullptr;
    return *this;
  }
  /// Goes on.
  void operator++(int) { ++*this; }
  /// Whether both are at an entry, or both at the end.
  friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
    return (a.range_ == nullptr) == (b.range_ == nullptr);
  }
  /// Whether one of them is at the end.
  friend bool operator!=(const Iterator& a, const Iterator& b) noexcept { return !(a == b); }

 private:
  friend class Entries;
  explicit Iterator(Entries* range) : range_(range) {}
  Entries* range_;  // null: at the end
};

}  // namespace shf

#endif  // SHF_ENTRIES_HPP_
