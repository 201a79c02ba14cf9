// The methods of shf::Map that look before they change.
#include <thread>

#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {

Result<Placed> Map::Put(std::string_view key, const Value& value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  return PlacedBy(handle_->put_value(View(key), Arguments::Of(value)));
}

Result<Placed> Map::PutIf(std::string_view key, const Value& value,
                          const Condition& condition) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  if (Impossible(condition.value_)) return ImpossibleError("condition", condition.value_);
  return PlacedBy(handle_->put_if(View(key), Arguments::Of(value), Arguments::Of(condition)));
}

Result<bool> Map::DeleteIf(std::string_view key, const Condition& condition) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(condition.value_)) return ImpossibleError("condition", condition.value_);
  const bridge::Outcome outcome = handle_->erase_if(View(key), Arguments::Of(condition));
  return Answer(outcome, outcome.flag);
}

Result<void> Map::Take(std::string_view key, std::string* value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (value == nullptr) return NullError("value");
  return StringSink::FillAnew(value, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->take(View(key), *sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
}

Result<uint64_t> Map::Append(std::string_view key, std::string_view suffix) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(suffix)) return ImpossibleError("suffix", suffix);
  const bridge::Outcome outcome = handle_->append(View(key), View(suffix));
  return Answer(outcome, outcome.value);
}

Result<Token> Map::GetWithToken(std::string_view key, std::string* value, Type* type) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (value == nullptr) return NullError("value");
  std::string fresh;  // the key may lie in *value
  Token token = 0;
  uint32_t kind = 0;
  const Result<void> got = StringSink::Fill(&fresh, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->get_with_token(View(key), *sink, token, kind);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
  value->swap(fresh);
  if (!got.ok() && !got.absent()) return got.error();
  if (type != nullptr) *type = static_cast<Type>(kind);
  return token;
}

Result<Token> Map::BeginUpdate(std::string_view key, int attempt, std::string* old) const {
  // Whoever is faster again and again has a processor of its own, or this one.
  if (attempt > 16) std::this_thread::yield();
  Type type{};
  Result<Token> token = GetWithToken(key, old, &type);
  if (token.ok() && type != Type::kBytes) {
    return Error{Status::kWrongType,
                 std::string("wrong type: expected bytes, found ") + TypeName(type)};
  }
  return token;
}

Result<bool> Map::FinishUpdate(std::string_view key, Token token, Change what,
                               std::string_view fresh) const {
  switch (what) {
    case Change::kKeep:
      return true;
    case Change::kDelete:
      if (token == 0) return true;
      return DeleteIf(key, Condition::Token(token));
    case Change::kPut:
      break;
  }
  if (!handle_) return NotAttached();
  const Result<Placed> put = PlacedBy(
      handle_->put_if_keeping_age(View(key), View(fresh), Arguments::Of(Condition::Token(token))));
  if (put.status() == Status::kConditionNotMet) return false;
  if (!put.ok()) return put.error();
  return true;
}

}  // namespace shf
