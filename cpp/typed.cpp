// The methods of shf::Map for values with a type.
#include <cstring>

#include "outcome.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

double DoubleOf(uint64_t bits) {
  double number = 0;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

}  // namespace

const char* TypeName(Type type) noexcept {
  switch (type) {
    case Type::kBytes:
      return "bytes";
    case Type::kInteger:
      return "integer";
    case Type::kUnsigned:
      return "unsigned integer";
    case Type::kDouble:
      return "double";
    case Type::kText:
      return "text";
    case Type::kBoolean:
      return "boolean";
    case Type::kList:
      return "list";
  }
  return "unknown";
}

Result<uint64_t> Map::AddUnsigned(std::string_view key, int64_t delta) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->add_unsigned(View(key), delta);
  return Answer(outcome, outcome.value);
}

Result<double> Map::AddDouble(std::string_view key, double delta) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->add_double(View(key), delta);
  return Answer(outcome, DoubleOf(outcome.value));
}

Result<Type> Map::TypeOf(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->kind(View(key));
  return Answer(outcome, static_cast<Type>(outcome.value));
}

Result<uint64_t> Map::Scalar(std::string_view key, Type type) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->scalar(View(key), static_cast<uint32_t>(type));
  return Answer(outcome, outcome.value);
}

Result<int64_t> Map::GetInteger(std::string_view key) const {
  const Result<uint64_t> bits = Scalar(key, Type::kInteger);
  if (!bits.ok()) return bits.error();
  return static_cast<int64_t>(*bits);
}

Result<uint64_t> Map::GetUnsigned(std::string_view key) const {
  return Scalar(key, Type::kUnsigned);
}

Result<double> Map::GetDouble(std::string_view key) const {
  const Result<uint64_t> bits = Scalar(key, Type::kDouble);
  if (!bits.ok()) return bits.error();
  return DoubleOf(*bits);
}

Result<bool> Map::GetBoolean(std::string_view key) const {
  const Result<uint64_t> bits = Scalar(key, Type::kBoolean);
  if (!bits.ok()) return bits.error();
  return *bits != 0;
}

Result<void> Map::GetText(std::string_view key, std::string* text) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (text == nullptr) return NullError("text");
  std::string fresh;  // the key may lie in *text
  Result<void> got = StringSink::Fill(&fresh, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->get_text(View(key), *sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
  text->swap(fresh);
  return got;
}

}  // namespace shf
