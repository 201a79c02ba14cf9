// The methods of shf::Map for keys that UIDs name.
#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {

Result<Uid> Map::UidOf(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->uid(View(key));
  return Answer(outcome, outcome.value);
}

Result<Uid> Map::UidOfShort(uint32_t bits) const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->uid_of_short(bits);
  return Answer(outcome, outcome.value);
}

uint32_t Map::ShortOfUid(Uid uid) const {
  return static_cast<uint32_t>(handle_->short_of_uid(uid).value);
}

Result<size_t> Map::GetToByUid(Uid uid, bridge::Sink* sink) const {
  const bridge::Outcome outcome = handle_->get_uid_to(uid, *sink);
  return Answer(outcome, static_cast<size_t>(outcome.value));
}

Result<size_t> Map::GetKeyToByUid(Uid uid, bridge::Sink* sink) const {
  const bridge::Outcome outcome = handle_->key_of_uid(uid, *sink);
  return Answer(outcome, static_cast<size_t>(outcome.value));
}

Result<void> Map::GetByUid(Uid uid, std::string* value) const {
  if (!handle_) return NotAttached();
  if (value == nullptr) return NullError("value");
  return StringSink::Fill(value, [&](bridge::Sink* sink) { return GetToByUid(uid, sink); });
}

uint64_t Map::CopyToByUid(Uid uid, char* buffer, size_t buffer_bytes) const noexcept {
  if (!handle_ || !bridge::IsMemory(buffer, buffer_bytes)) return kUnusual;
  return handle_->get_uid_into(uid, reinterpret_cast<uint8_t*>(buffer), buffer_bytes);
}

Result<size_t> Map::NotCopiedByUid(Uid uid, char* buffer, size_t buffer_bytes,
                                   uint64_t answer) const {
  if (answer != kUnusual) return Answer(Unpacked(answer), size_t{0});
  if (!handle_) return NotAttached();
  const std::string_view into(buffer, buffer_bytes);
  if (Impossible(into)) return ImpossibleError("buffer", into);
  char none = 0;
  return GetByUid(uid, &none, 0);
}

Result<void> Map::GetKeyByUid(Uid uid, std::string* key) const {
  if (!handle_) return NotAttached();
  if (key == nullptr) return NullError("key");
  return StringSink::Fill(key, [&](bridge::Sink* sink) { return GetKeyToByUid(uid, sink); });
}

Result<bool> Map::ContainsUid(Uid uid) const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->contains_uid(uid);
  return Answer(outcome, outcome.flag);
}

Result<Placed> Map::PutByUid(Uid uid, std::string_view value) const {
  if (!handle_) return NotAttached();
  if (Impossible(value)) return ImpossibleError("value", value);
  const bridge::Outcome outcome = handle_->put_uid(uid, View(value));
  return Answer(outcome, Placed{outcome.flag, outcome.value});
}

Result<bool> Map::DeleteByUid(Uid uid) const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->erase_uid(uid);
  return Answer(outcome, outcome.flag);
}

}  // namespace shf
