// Walks of shf::Map, and the range that is made of them.
#include "shf/entries.hpp"

#include <utility>

#include "outcome.hpp"
#include "shf/internal/visitor.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

// Keys of one table, at most.
constexpr size_t kUidsMax = 768;

// The UIDs of one table at a cursor, which moves on, perhaps none, or until there are any. False:
// there are no more behind it.
Result<bool> NextUids(const bridge::Map& map, std::string_view prefix, bool until_any,
                      uint64_t* cursor, uint64_t (&uids)[kUidsMax], size_t* count) {
  const bridge::Outcome outcome =
      map.scan_names(*cursor, View(prefix), until_any, {uids, kUidsMax}, *count);
  if (IsOk(outcome)) *cursor = outcome.value;
  return Answer(outcome, outcome.flag);
}

// False: the key is gone.
Result<bool> EntryOf(const bridge::Map& map, Uid uid, Entry* entry) {
  StringSink key(&entry->key);
  StringSink value(&entry->value);
  size_t key_bytes = 0;
  size_t value_bytes = 0;
  const bridge::Outcome outcome =
      map.pair_of_uid(uid, key.sink(), value.sink(), key_bytes, value_bytes);
  if (IsAbsent(outcome)) return false;
  if (!IsOk(outcome)) return ErrorOf(outcome);
  for (const Result<void>& copied : {key.Finish(key_bytes), value.Finish(value_bytes)}) {
    if (!copied.ok()) return copied.error();
  }
  entry->type = static_cast<Type>(outcome.value);
  entry->uid = uid;
  return true;
}

}  // namespace

namespace bridge {

bool EntryVisitor::Visit(const uint8_t* key, size_t key_bytes, const uint8_t* value,
                         size_t value_bytes, uint32_t type, uint64_t uid) const noexcept {
  Entry entry;
  const auto copy = [&] {
    entry.key.assign(reinterpret_cast<const char*>(key), key_bytes);
    entry.value.assign(reinterpret_cast<const char*>(value), value_bytes);
  };
  if (!Allocates(copy)) {
    *out_of_memory = true;
    return false;
  }
  entry.type = static_cast<Type>(type);
  entry.uid = uid;
  function(context, entry);
  return true;
}

}  // namespace bridge

struct Entries::State {
  explicit State(rust::Box<bridge::Map> of) : map(std::move(of)) {}

  rust::Box<bridge::Map> map;
  std::string prefix;
  uint64_t cursor = 0;
  bool more = true;
  uint64_t uids[kUidsMax] = {};
  size_t count = 0;
  size_t next = 0;
};

Entries::Entries(std::unique_ptr<State> state, Result<void> status)
    : state_(std::move(state)), status_(std::move(status)) {}
Entries::Entries(Entries&& other) noexcept = default;
Entries& Entries::operator=(Entries&& other) noexcept = default;
Entries::~Entries() = default;

Entries::Iterator Entries::begin() {
  if (state_) {
    state_->cursor = 0;
    state_->more = true;
    state_->count = state_->next = 0;
    status_ = {};
  }
  return Iterator(Next() ? this : nullptr);
}

Entries::Iterator Entries::end() const noexcept { return Iterator(nullptr); }

bool Entries::Next() {
  if (!state_) return false;
  State& state = *state_;
  for (;;) {
    while (state.next < state.count) {
      const Result<bool> there = EntryOf(*state.map, state.uids[state.next++], &entry_);
      if (!there.ok()) {
        status_ = there.error();
        return false;
      }
      if (*there) return true;
    }
    if (!state.more) return false;
    state.next = 0;
    const Result<bool> more =
        NextUids(*state.map, state.prefix, true, &state.cursor, state.uids, &state.count);
    if (!more.ok()) {
      state.count = 0;
      state.more = false;
      status_ = more.error();
      return false;
    }
    state.more = *more;
  }
}

Entries Map::Walk(std::string_view prefix) const {
  if (!handle_) return Entries(nullptr, NotAttached());
  if (Impossible(prefix)) return Entries(nullptr, ImpossibleError("prefix", prefix));
  std::unique_ptr<Entries::State> state(new (std::nothrow) Entries::State(handle_->share()));
  if (!state || !Allocates([&] { state->prefix.assign(prefix); })) {
    return Entries(nullptr, OutOfMemory(prefix.size()));
  }
  return Entries(std::move(state), {});
}

Result<bool> Map::ScanUids(const uint64_t* cursor, std::string_view prefix, uint64_t* next,
                           std::vector<Uid>* uids) const {
  if (!handle_) return NotAttached();
  if (Impossible(prefix)) return ImpossibleError("prefix", prefix);
  if (cursor == nullptr) return NullError("cursor");
  uint64_t found[kUidsMax];
  size_t count = 0;
  *next = *cursor;
  Result<bool> more = NextUids(*handle_, prefix, false, next, found, &count);
  if (more.ok() && !Allocates([&] { uids->assign(found, found + count); })) {
    return OutOfMemory(count * sizeof(Uid));
  }
  return more;
}

Result<bool> Map::GetEntry(Uid uid, Entry* entry) const {
  // A visitor may have detached this object meanwhile.
  if (!handle_) return NotAttached();
  return EntryOf(*handle_, uid, entry);
}

Result<bool> Map::ViewEntries(uint32_t shard, void (*visit)(void* context, const Entry& entry),
                              void* context) const {
  if (!handle_) return NotAttached();
  bool out_of_memory = false;
  const bridge::EntryVisitor visitor{visit, context, &out_of_memory};
  const bridge::Outcome outcome = handle_->view(shard, visitor);
  if (out_of_memory) return Error{Status::kOutOfMemory, "out of memory: no room for an entry"};
  return Answer(outcome, uint64_t{shard} + 1 < outcome.value);
}

}  // namespace shf
