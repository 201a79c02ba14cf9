// The classic interface over shf::Map.
#include "SharedHashFile.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "shf/internal/sink.hpp"
#include "thread_state.hpp"

namespace {

using shf::Status;
using shf::classic::KeyState;
using shf::classic::ThreadState;

bool Succeed(ThreadState& state) {
  state.Note(Status::kOk, {});
  return true;
}

bool Fail(ThreadState& state, Status status, std::string_view why) {
  state.Note(status, why);
  return false;
}

bool FailAbsent(ThreadState& state) {
  return Fail(state, Status::kAbsent, "the key is not in the map");
}

bool FailAs(ThreadState& state, const shf::Error& error) {
  if (error.status == Status::kAbsent) return FailAbsent(state);
  return Fail(state, error.status, error.text);
}

bool AttachResult(shf::Result<shf::Map> opened, shf::Map* map) {
  ThreadState& state = ThreadState::Current();
  if (!opened.ok()) return FailAs(state, opened.error());
  *map = std::move(opened).value();
  return Succeed(state);
}

bool AttachArguments(const char* path, const char* name) {
  if (path != nullptr && name != nullptr) return true;
  return Fail(ThreadState::Current(), Status::kInvalidArgument,
              path == nullptr ? "path: null pointer" : "name: null pointer");
}

// Whether MakeHash() left the thread a key.
bool HasKey(ThreadState& state) {
  switch (state.key_state) {
    case KeyState::kGood:
      return true;
    case KeyState::kNone:
      return Fail(state, Status::kInvalidArgument, "this thread has not called MakeHash()");
    case KeyState::kNullPointer:
      return Fail(state, Status::kInvalidArgument,
                  "key: null pointer with length " + std::to_string(state.key_bytes));
    case KeyState::kOutOfMemory:
      break;
  }
  return Fail(state, Status::kOutOfMemory,
              "out of memory: the key has " + std::to_string(state.key_bytes) + " bytes");
}

// Whether there are a map and a key to work with.
bool IsReady(ThreadState& state, const shf::Map& map) {
  if (!map.attached()) return Fail(state, Status::kNotAttached, "not attached to a map");
  return HasKey(state);
}

std::string_view Key(const ThreadState& state) { return {state.key.data(), state.key_bytes}; }

// The memory of the thread's value, but for one byte that is kept for the 0 at the end.
void SetRoom(shf::bridge::Sink* sink, const ThreadState& state) {
  sink->data = state.value.data();
  sink->bytes = state.value.capacity() - 1;
}

// Makes room for a value; one that is too long for shf_val_len is left in sink->bytes.
bool GrowValue(shf::bridge::Sink* sink, size_t needed) {
  auto* state = static_cast<ThreadState*>(sink->context);
  if (needed > UINT32_MAX) {
    sink->bytes = needed;
    return false;
  }
  if (!state->value.Reserve(needed)) return false;
  SetRoom(sink, *state);
  return true;
}

// Has get(sink) copy a value to the thread's memory.
template <typename Get>
bool CopyValue(ThreadState& state, Get get) {
  shf::bridge::Sink sink{nullptr, 0, GrowValue, &state};
  if (state.value.capacity() > 0) SetRoom(&sink, state);
  const shf::Result<size_t> size = get(&sink);
  shf_val = state.value.data();
  if (sink.bytes > UINT32_MAX) {
    return Fail(state, Status::kTooLarge,
                "the value has " + std::to_string(sink.bytes) +
                    " bytes, shf_val_len ends at 4294967295; use map().Get()");
  }
  if (!size.ok()) return FailAs(state, size.error());
  shf_val_len = static_cast<uint32_t>(*size);
  shf_val[shf_val_len] = '\0';
  return Succeed(state);
}

}  // namespace

bool SharedHashFile::AttachExisting(const char* path, const char* name) {
  return AttachArguments(path, name) && AttachResult(shf::Map::Open(path, name), &map_);
}

bool SharedHashFile::Attach(const char* path, const char* name) {
  return AttachArguments(path, name) && AttachResult(shf::Map::OpenOrCreate(path, name), &map_);
}

void SharedHashFile::Detach() noexcept {
  map_.Detach();
  Succeed(ThreadState::Current());
}

void SharedHashFile::MakeHash(const char* key, uint32_t key_len) {
  ThreadState& state = ThreadState::Current();
  state.key_bytes = key_len;
  if (key == nullptr && key_len != 0) {
    state.key_state = KeyState::kNullPointer;
  } else if (state.key.Assign(std::string_view(key, key_len))) {
    state.key_state = KeyState::kGood;
  } else {
    state.key_state = KeyState::kOutOfMemory;
  }
  if (HasKey(state)) Succeed(state);
}

bool SharedHashFile::GetCopyViaKey() {
  ThreadState& state = ThreadState::Current();
  shf_val_len = 0;
  if (!IsReady(state, map_)) return false;
  return CopyValue(state, [&](shf::bridge::Sink* sink) { return map_.GetTo(Key(state), sink); });
}

bool SharedHashFile::GetCopyViaUid(uint32_t uid) {
  ThreadState& state = ThreadState::Current();
  shf_val_len = 0;
  const shf::Result<shf::Uid> found = map_.UidOfShort(uid);
  if (!found.ok()) return FailAs(state, found.error());
  return CopyValue(state, [&](shf::bridge::Sink* sink) { return map_.GetToByUid(*found, sink); });
}

bool SharedHashFile::GetKeyViaUid(uint32_t uid) {
  ThreadState& state = ThreadState::Current();
  shf_val_len = 0;
  const shf::Result<shf::Uid> found = map_.UidOfShort(uid);
  if (!found.ok()) return FailAs(state, found.error());
  return CopyValue(state,
                   [&](shf::bridge::Sink* sink) { return map_.GetKeyToByUid(*found, sink); });
}

bool SharedHashFile::PutValViaUid(uint32_t uid, const char* val, uint32_t val_len) {
  ThreadState& state = ThreadState::Current();
  const shf::Result<shf::Uid> found = map_.UidOfShort(uid);
  if (!found.ok()) return FailAs(state, found.error());
  const shf::Result<shf::Placed> put = map_.PutByUid(*found, std::string_view(val, val_len));
  return put.ok() ? Succeed(state) : FailAs(state, put.error());
}

bool SharedHashFile::DelKeyViaUid(uint32_t uid) {
  ThreadState& state = ThreadState::Current();
  const shf::Result<shf::Uid> found = map_.UidOfShort(uid);
  if (!found.ok()) return FailAs(state, found.error());
  const shf::Result<bool> deleted = map_.DeleteByUid(*found);
  if (!deleted.ok()) return FailAs(state, deleted.error());
  return *deleted ? Succeed(state) : FailAbsent(state);
}

uint32_t SharedHashFile::PutVal(const char* val, uint32_t val_len) {
  ThreadState& state = ThreadState::Current();
  if (!IsReady(state, map_)) return SHF_UID_NONE;
  const shf::Result<shf::Placed> placed = map_.Put(Key(state), std::string_view(val, val_len));
  if (!placed.ok()) {
    FailAs(state, placed.error());
    return SHF_UID_NONE;
  }
  Succeed(state);
  return map_.ShortOfUid(placed->uid);
}

bool SharedHashFile::DelKey() {
  ThreadState& state = ThreadState::Current();
  if (!IsReady(state, map_)) return false;
  const shf::Result<bool> deleted = map_.Delete(Key(state));
  if (!deleted.ok()) return FailAs(state, deleted.error());
  return *deleted ? Succeed(state) : FailAbsent(state);
}

bool SharedHashFile::SetIsLockable(bool lockable) {
  ThreadState& state = ThreadState::Current();
  const shf::Result<void> set = map_.SetLockable(lockable);
  return set.ok() ? Succeed(state) : FailAs(state, set.error());
}

uint64_t SharedHashFile::DebugGetBytesMarkedAsDeleted() {
  ThreadState& state = ThreadState::Current();
  const shf::Result<shf::Stats> stats = map_.GetStats();
  if (!stats.ok()) {
    FailAs(state, stats.error());
    return 0;
  }
  Succeed(state);
  return stats->dead_bytes;
}

shf::Status SharedHashFile::LastStatus() const noexcept { return ThreadState::Current().status; }

const char* SharedHashFile::LastError() const noexcept {
  const ThreadState& state = ThreadState::Current();
  if (state.status == Status::kOk) return "";
  return state.text.data() == nullptr ? shf::StatusName(state.status) : state.text.data();
}
