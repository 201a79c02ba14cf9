// shf::Map over the bridge: checks what only C++ can get wrong, and turns outcomes into results.
#include "shf/map.hpp"

#include <algorithm>
#include <new>

#include "outcome.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

using Opener = bridge::Outcome (bridge::Map::*)(Bytes, Bytes,
                                                const bridge::Options&) const noexcept;

// The values of a group of keys get so much memory together, or that of the largest one.
constexpr size_t kGroupBytes = size_t{256} << 10;

// The result of get(copy of the key).
template <typename Get>
auto WithCopy(std::string_view key, Get get) -> decltype(get(key)) {
  std::string copy;
  if (Allocates([&] { copy.assign(key); })) return get(copy);
  return Error{Status::kOutOfMemory,
               "out of memory: the key has " + std::to_string(key.size()) + " bytes"};
}

// A get that has to be refused, or of other memory than that of the arguments.
[[gnu::cold, gnu::noinline]] Result<size_t> GetUnusual(const Map& map, std::string_view key,
                                                       std::string_view into) {
  if (!map.attached()) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(into)) return ImpossibleError("buffer", into);
  char* const buffer = const_cast<char*>(into.data());  // the caller's own
  char none = 0;
  if (key.data() == nullptr) return map.Get("", buffer, into.size());
  if (buffer == nullptr) return map.Get(key, &none, 0);
  return WithCopy(key, [&](std::string_view copy) { return map.Get(copy, buffer, into.size()); });
}

std::vector<Violation> Violations(const rust::Vec<bridge::Violation>& found) {
  std::vector<Violation> violations;
  violations.reserve(found.size());
  for (const bridge::Violation& one : found) {
    violations.push_back({one.shard, one.table, one.bucket, one.slot, one.offset,
                          static_cast<std::string>(one.what)});
  }
  return violations;
}

}  // namespace

namespace bridge {

// How the values get into a group.
class GroupFiller {
 public:
  explicit GroupFiller(Group* group) : group_(*group) { group_.done_ = 0; }

  size_t wanted_bytes() const { return group_.wanted_bytes_; }

  // Gives the group the bytes that it wants. False: there is no memory.
  bool Grow() {
    if (group_.wanted_bytes_ <= group_.bytes_) return true;
    group_.heap_.reset(new (std::nothrow) char[group_.wanted_bytes_]);
    group_.data_ = group_.heap_ ? group_.heap_.get() : group_.stack_;
    group_.bytes_ = group_.heap_ ? group_.wanted_bytes_ : Group::kStackBytes;
    return group_.heap_ != nullptr;
  }

  // Gets the first of the keys, as many as there is room for.
  Outcome Fill(const bridge::Map& map, rust::Slice<const Key> keys) {
    const rust::Slice<uint8_t> room(reinterpret_cast<uint8_t*>(group_.data_), group_.bytes_);
    const Outcome outcome = map.get_some(keys, room, {group_.sizes_, keys.size()}, group_.done_);
    if (IsOk(outcome) && !outcome.flag) {
      // Groups of values that are not small should be whole ones as well.
      const size_t twice = std::min(group_.bytes_ * 2, kGroupBytes);
      group_.wanted_bytes_ = std::max<size_t>({group_.bytes_, twice, outcome.value});
    }
    return outcome;
  }

 private:
  Group& group_;
};

}  // namespace bridge

Map::Handle::~Handle() {
  bridge::Map* const handle = Release();
  if (handle != nullptr) rust::Box<bridge::Map>::from_raw(handle);
}

uint64_t Map::Handle::Put(const char* key, size_t key_bytes, const char* value,
                          size_t value_bytes) const noexcept {
  const bridge::Map* const handle = Get();
  if (handle == nullptr) return kUnusual;
  return handle->put(reinterpret_cast<const uint8_t*>(key), key_bytes,
                     reinterpret_cast<const uint8_t*>(value), value_bytes);
}

uint64_t Map::Handle::GetInto(const char* key, size_t key_bytes, char* buffer,
                              size_t buffer_bytes) const noexcept {
  const bridge::Map* const handle = Get();
  if (handle == nullptr) return kUnusual;
  return handle->get_into(reinterpret_cast<const uint8_t*>(key), key_bytes,
                          reinterpret_cast<uint8_t*>(buffer), buffer_bytes);
}

Map::Map() noexcept = default;
Map::Map(Map&&) noexcept = default;
Map& Map::operator=(Map&& other) noexcept {
  if (this == &other) return *this;
  if (!handle_) {
    handle_.Set(other.handle_.Release());
  } else if (other.handle_) {
    handle_->take_over(*other.handle_);
  } else {
    handle_->detach();
  }
  return *this;
}
Map::~Map() = default;

// Opens by a name.
struct Map::Opening {
  static Result<Map> By(Opener open, std::string_view folder, std::string_view name,
                        const Options& options) {
    return With(folder, name, options, [&](bridge::Map& handle, const bridge::Options& converted) {
      return (handle.*open)(View(folder), View(name), converted);
    });
  }

  // Of what open(handle, options) attaches to a handle.
  template <typename Open>
  static Result<Map> With(std::string_view folder, std::string_view name, const Options& options,
                          Open open) {
    if (Impossible(folder)) return ImpossibleError("folder", folder);
    if (Impossible(name)) return ImpossibleError("name", name);
    return Attached::By([&](bridge::Map& handle) { return open(handle, Arguments::Of(options)); });
  }
};

Result<Map> Map::Create(std::string_view folder, std::string_view name, const Options& options) {
  return Opening::By(&bridge::Map::create, folder, name, options);
}

Result<Map> Map::Open(std::string_view folder, std::string_view name, const Options& options) {
  return Opening::By(&bridge::Map::open, folder, name, options);
}

Result<Map> Map::OpenOrCreate(std::string_view folder, std::string_view name,
                              const Options& options) {
  return Opening::By(&bridge::Map::open_or_create, folder, name, options);
}

Result<Map> Map::OpenReadOnly(std::string_view folder, std::string_view name,
                              const Options& options) {
  return Opening::By(&bridge::Map::open_read_only, folder, name, options);
}

Result<Map> Map::Restore(std::string_view from_folder, std::string_view from_name,
                         std::string_view folder, std::string_view name, const Options& options) {
  if (Impossible(from_folder)) return ImpossibleError("folder", from_folder);
  if (Impossible(from_name)) return ImpossibleError("name", from_name);
  return Opening::With(folder, name, options,
                       [&](bridge::Map& handle, const bridge::Options& converted) {
                         return handle.restore(View(from_folder), View(from_name), View(folder),
                                               View(name), converted);
                       });
}

Result<void> Map::Remove(std::string_view folder, std::string_view name) {
  if (Impossible(folder)) return ImpossibleError("folder", folder);
  if (Impossible(name)) return ImpossibleError("name", name);
  return Answer(bridge::remove_map(View(folder), View(name)));
}

bool Map::attached() const noexcept { return handle_ && handle_->is_attached(); }

bool Map::read_only() const noexcept { return handle_ && handle_->is_read_only().flag; }

bool Map::frozen() const noexcept { return handle_ && handle_->is_frozen().flag; }

void Map::Detach() noexcept {
  if (handle_) handle_->detach();
}

Result<Placed> Map::NotPlaced(std::string_view key, std::string_view value, uint64_t answer) const {
  if (answer != kUnusual) return ErrorOf(Unpacked(answer));
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value)) return ImpossibleError("value", value);
  // Null, and empty.
  return Put(key.data() == nullptr ? "" : key, value.data() == nullptr ? "" : value);
}

Result<void> Map::Get(std::string_view key, std::string* value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (value == nullptr) return NullError("value");
  if (bridge::Overlaps(key, value->data(), value->capacity())) {
    Result<void> got = WithCopy(key, [&](std::string_view copy) { return Get(copy, value); });
    if (!got.ok()) value->clear();
    return got;
  }
  return StringSink::Fill(value, [&](bridge::Sink* sink) { return GetTo(key, sink); });
}

Result<size_t> Map::GetTo(std::string_view key, bridge::Sink* sink) const {
  const bridge::Outcome outcome = handle_->get_to(View(key), *sink);
  return Answer(outcome, static_cast<size_t>(outcome.value));
}

Result<size_t> Map::NotCopied(std::string_view key, char* buffer, size_t buffer_bytes,
                              uint64_t answer) const {
  if (answer == kUnusual) return GetUnusual(*this, key, {buffer, buffer_bytes});
  return Answer(Unpacked(answer), size_t{0});
}

Result<void> Map::CheckKeys(const std::string_view* keys, size_t count) const {
  if (!handle_) return NotAttached();
  if (keys == nullptr && count != 0) return NullError("keys");
  for (size_t i = 0; i < count; ++i) {
    if (Impossible(keys[i])) return ImpossibleError("key", keys[i]);
  }
  return {};
}

Result<void> Map::GetGroup(const std::string_view* keys, size_t count, bridge::Group* group) const {
  bridge::GroupFiller filler(group);
  // A visitor may have detached this object meanwhile.
  if (!handle_) return NotAttached();
  bridge::Key views[bridge::Group::kKeys];
  count = std::min(count, bridge::Group::kKeys);
  for (size_t i = 0; i < count; ++i) views[i].bytes = View(keys[i]);
  do {
    if (!filler.Grow()) return OutOfMemory(filler.wanted_bytes());
    const bridge::Outcome outcome = filler.Fill(*handle_, {views, count});
    if (!IsOk(outcome)) return ErrorOf(outcome);
  } while (group->done() == 0);
  return {};
}

Result<size_t> Map::GetMany(const std::string_view* keys, size_t count, Buffer* buffers) const {
  const Result<void> valid = CheckKeys(keys, count);
  if (!valid.ok()) return valid.error();
  if (buffers == nullptr && count != 0) return NullError("buffers");
  for (size_t i = 0; i < count; ++i) {
    const std::string_view into(buffers[i].data, buffers[i].capacity);
    if (Impossible(into)) return ImpossibleError("buffer", into);
  }
  size_t found = 0;
  for (size_t next = 0; next < count; next += bridge::Group::kKeys) {
    bridge::Key views[bridge::Group::kKeys];
    bridge::Buffer rooms[bridge::Group::kKeys];
    const size_t some = std::min(count - next, bridge::Group::kKeys);
    for (size_t i = 0; i < some; ++i) {
      const Buffer& into = buffers[next + i];
      views[i].bytes = View(keys[next + i]);
      rooms[i].room = {reinterpret_cast<uint8_t*>(into.data), into.capacity};
    }
    const bridge::Outcome outcome = handle_->get_each_into({views, some}, {rooms, some});
    if (!IsOk(outcome)) return ErrorOf(outcome);
    for (size_t i = 0; i < some; ++i) {
      buffers[next + i].bytes = rooms[i].bytes;
      buffers[next + i].status = static_cast<Status>(rooms[i].status);
    }
    found += outcome.value;
  }
  return found;
}

Result<size_t> Map::PutMany(const KeyValue* pairs, size_t count, Placed* placed) const {
  if (!handle_) return NotAttached();
  if (pairs == nullptr && count != 0) return NullError("pairs");
  for (size_t i = 0; i < count; ++i) {
    if (Impossible(pairs[i].key)) return ImpossibleError("key", pairs[i].key);
    if (Impossible(pairs[i].value)) return ImpossibleError("value", pairs[i].value);
  }
  size_t replaced = 0;
  for (size_t next = 0; next < count; next += bridge::Group::kKeys) {
    bridge::Pair views[bridge::Group::kKeys];
    bridge::Placed answers[bridge::Group::kKeys];
    const size_t some = std::min(count - next, bridge::Group::kKeys);
    for (size_t i = 0; i < some; ++i) {
      views[i] = {View(pairs[next + i].key), View(pairs[next + i].value)};
    }
    size_t done = 0;
    const bridge::Outcome outcome = handle_->put_many({views, some}, {answers, some}, done);
    for (size_t i = 0; placed != nullptr && i < done; ++i) {
      placed[next + i] = {answers[i].replaced, answers[i].uid};
    }
    if (!IsOk(outcome)) {
      Error error = ErrorOf(outcome);
      error.done = next + done;
      return error;
    }
    replaced += outcome.value;
  }
  return replaced;
}

Result<bool> Map::Contains(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->contains(View(key));
  return Answer(outcome, outcome.flag);
}

Result<bool> Map::Delete(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->erase(View(key));
  return Answer(outcome, outcome.flag);
}

Result<int64_t> Map::Add(std::string_view key, int64_t delta) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (key.data() == nullptr) key = "";
  const bridge::Outcome outcome = handle_->add(Data(key), key.size(), delta);
  return Answer(outcome, static_cast<int64_t>(outcome.value));
}

Result<uint64_t> Map::Size() const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->size();
  return Answer(outcome, outcome.value);
}

Result<uint64_t> Map::Clear() const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->clear();
  return Answer(outcome, outcome.value);
}

Result<void> Map::ForEach(Visitor visit, void* context) const {
  if (!handle_) return NotAttached();
  if (visit == nullptr) return NullError("visit");
  return Answer(handle_->for_each(bridge::Visitor{visit, context}));
}

Result<std::vector<Violation>> Map::Verify() const {
  if (!handle_) return NotAttached();
  rust::Vec<bridge::Violation> found;
  const bridge::Outcome outcome = handle_->verify(found);
  return Answer(outcome, Violations(found));
}

Result<Repaired> Map::Repair() const {
  if (!handle_) return NotAttached();
  rust::Vec<bridge::Violation> lost;
  uint32_t shards = 0;
  const bridge::Outcome outcome = handle_->repair(shards, lost);
  return Answer(outcome, Repaired{shards, outcome.value, Violations(lost)});
}

Result<void> Map::Sync() const {
  if (!handle_) return NotAttached();
  return Answer(handle_->sync());
}

Result<Repaired> Map::Recovered() const {
  if (!handle_) return NotAttached();
  rust::Vec<bridge::Violation> lost;
  uint32_t shards = 0;
  const bridge::Outcome outcome = handle_->recovered(shards, lost);
  return Answer(outcome, Repaired{shards, outcome.value, Violations(lost)});
}

Result<void> Map::SetLockable(bool lockable) const {
  if (!handle_) return NotAttached();
  return Answer(handle_->set_lockable(lockable));
}

bool Map::lockable() const noexcept { return !handle_ || handle_->is_lockable().flag; }

Result<Frozen> Map::Snapshot(std::string_view folder, std::string_view name) const {
  if (!handle_) return NotAttached();
  if (Impossible(folder)) return ImpossibleError("folder", folder);
  if (Impossible(name)) return ImpossibleError("name", name);
  uint64_t file_bytes = 0;
  const bridge::Outcome outcome = handle_->snapshot(View(folder), View(name), file_bytes);
  return Answer(outcome, Frozen{outcome.value, file_bytes});
}

Result<void> Map::Freeze() {
  if (!handle_) return NotAttached();
  return Answer(handle_->freeze());
}

}  // namespace shf
