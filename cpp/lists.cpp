// The methods of shf::Map for lists.
#include <utility>

#include "outcome.hpp"
#include "shf/internal/visitor.hpp"
#include "shf/map.hpp"
#include "string_sink.hpp"

namespace shf {
namespace {

// Where a range goes, and the element for which there was no memory.
struct Collection {
  std::vector<std::string> elements;
  uint64_t refused_bytes = 0;

  static bool Add(void* context, std::string_view /*key*/, std::string_view element) {
    auto* collection = static_cast<Collection*>(context);
    if (Allocates([&] { collection->elements.emplace_back(element); })) return true;
    collection->refused_bytes = element.size();
    return false;
  }
};

}  // namespace

Result<uint64_t> Map::Push(std::string_view key, std::string_view element) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(element)) return ImpossibleError("element", element);
  const bridge::Outcome outcome = handle_->push(View(key), View(element));
  return Answer(outcome, outcome.value);
}

Result<uint64_t> Map::Unshift(std::string_view key, std::string_view element) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (Impossible(element)) return ImpossibleError("element", element);
  const bridge::Outcome outcome = handle_->unshift(View(key), View(element));
  return Answer(outcome, outcome.value);
}

Result<void> Map::Pop(std::string_view key, std::string* element) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (element == nullptr) return NullError("element");
  return StringSink::FillAnew(element, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->pop(View(key), *sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
}

Result<void> Map::Shift(std::string_view key, std::string* element) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (element == nullptr) return NullError("element");
  return StringSink::FillAnew(element, [&](bridge::Sink* sink) {
    const bridge::Outcome outcome = handle_->shift(View(key), *sink);
    return Answer(outcome, static_cast<size_t>(outcome.value));
  });
}

Result<uint64_t> Map::Length(std::string_view key) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  const bridge::Outcome outcome = handle_->length(View(key));
  return Answer(outcome, outcome.value);
}

Result<void> Map::Range(std::string_view key, int64_t start, int64_t end,
                        std::vector<std::string>* elements) const {
  if (!handle_) return NotAttached();
  if (Impossible(key)) return ImpossibleError("key", key);
  if (elements == nullptr) return NullError("elements");
  // The key may lie in *elements.
  Collection collection;
  const bridge::Visitor visitor{Collection::Add, &collection};
  const bridge::Outcome outcome = handle_->range(View(key), start, end, visitor);
  elements->clear();
  if (IsOk(outcome) && !outcome.flag) return OutOfMemory(collection.refused_bytes);
  if (IsOk(outcome)) elements->swap(collection.elements);
  return Answer(outcome);
}

}  // namespace shf
