// The methods of shf::Map for the age of keys.
#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

// What a call answers that tells how long, or that it is for ever.
Result<std::optional<std::chrono::milliseconds>> HowLong(const bridge::Outcome& outcome) {
  std::optional<std::chrono::milliseconds> time;
  if (outcome.flag) time.emplace(static_cast<int64_t>(outcome.value));
  return Answer(outcome, time);
}

}  // namespace

Result<Placed> Map::PutFor(std::string_view key, const Value& value, Age age) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  return PlacedBy(handle_->put_for(View(key), Arguments::Of(value), Arguments::Of(age)));
}

Result<Placed> Map::PutIfFor(std::string_view key, const Value& value, const Condition& condition,
                             Age age) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  if (Impossible(condition.value_)) return ImpossibleError("condition", condition.value_);
  return PlacedBy(handle_->put_if_for(View(key), Arguments::Of(value), Arguments::Of(condition),
                                      Arguments::Of(age)));
}

Result<bool> Map::Touch(std::string_view key, Age age) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->touch(View(key), Arguments::Of(age));
  return Answer(outcome, outcome.flag);
}

Result<void> Map::GetAndTouch(std::string_view key, Age age, std::string* value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (value == nullptr) return NullError("value");
  return StringSink::FillAnew(value, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->get_and_touch(View(key), Arguments::Of(age), *sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
}

Result<std::optional<std::chrono::milliseconds>> Map::TimeLeft(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  return HowLong(handle_->time_left(View(key)));
}

Result<uint64_t> Map::Reap() const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->reap();
  return Answer(outcome, outcome.value);
}

Result<void> Map::SetDefaultAge(std::optional<std::chrono::milliseconds> age) const {
  if (!handle_) return NotAttached();
  return Answer(handle_->set_default_age(Arguments::Of(age)));
}

Result<std::optional<std::chrono::milliseconds>> Map::DefaultAge() const {
  if (!handle_) return NotAttached();
  return HowLong(handle_->default_age());
}

}  // namespace shf
