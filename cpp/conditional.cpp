// The methods of shf::Map that look before they change.
#include <thread>

#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

bridge::Value Converted(const Value& value) {
  // The engine takes no null, not even an empty one.
  const std::string_view bytes = value.bytes();
  return {View(bytes.data() == nullptr ? "" : bytes), static_cast<uint32_t>(value.type())};
}

Result<Placed> PlacedBy(const bridge::Outcome& outcome) {
  if (outcome.status == static_cast<uint32_t>(Status::kConditionNotMet)) {
    return Result<Placed>(Status::kConditionNotMet);
  }
  return Answer(outcome, Placed{outcome.flag, outcome.value});
}

}  // namespace

Result<Placed> Map::Put(std::string_view key, const Value& value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  return PlacedBy(handle_->put_value(View(key), Converted(value)));
}

Result<Placed> Map::PutIf(std::string_view key, const Value& value,
                          const Condition& condition) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(value.bytes())) return ImpossibleError("value", value.bytes());
  if (Impossible(condition.value_)) return ImpossibleError("condition", condition.value_);
  const bridge::Condition converted{condition.what_, View(condition.value_), condition.token_};
  return PlacedBy(handle_->put_if(View(key), Converted(value), converted));
}

Result<bool> Map::DeleteIf(std::string_view key, const Condition& condition) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(condition.value_)) return ImpossibleError("condition", condition.value_);
  const bridge::Condition converted{condition.what_, View(condition.value_), condition.token_};
  const bridge::Outcome outcome = handle_->erase_if(View(key), converted);
  return Answer(outcome, outcome.flag);
}

Result<void> Map::Take(std::string_view key, std::string* value) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (value == nullptr) return NullError("value");
  std::string taken;
  // Straight into the string: once the key is gone, nothing may fail any more.
  const auto grow = [](bridge::Sink* sink, size_t needed) {
    auto* into = static_cast<std::string*>(sink->context);
    if (!Allocates([&] { into->resize(needed); })) return false;
    sink->data = into->data();
    sink->bytes = needed;
    return true;
  };
  bridge::Sink sink{nullptr, 0, grow, &taken};
  const bridge::Outcome outcome = handle_->take(View(key), sink);
  if (!IsOk(outcome)) {
    value->clear();
    return Answer(outcome);
  }
  taken.resize(outcome.value);
  value->swap(taken);
  return {};
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
  const Result<Placed> put = PutIf(key, fresh, Condition::Token(token));
  if (put.status() == Status::kConditionNotMet) return false;
  if (!put.ok()) return put.error();
  return true;
}

}  // namespace shf
