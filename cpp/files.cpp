// Maps whose files have no name, descriptors of files, and the maps of a folder.
#include <chrono>
#include <utility>

#include "outcome.hpp"
#include "shf/access.hpp"
#include "shf/listed.hpp"
#include "shf/map.hpp"

namespace shf {
namespace {

std::chrono::system_clock::time_point Moment(int64_t since_1970_ns) {
  using Clock = std::chrono::system_clock;
  return Clock::time_point(
      std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(since_1970_ns)));
}

Listed ListedBy(const bridge::Listed& found) {
  Listed listed;
  listed.name = static_cast<std::string>(found.name);
  listed.status = static_cast<Status>(found.status);
  listed.text = static_cast<std::string>(found.text);
  listed.keys = found.keys;
  listed.committed_bytes = found.committed_bytes;
  listed.real_bytes = found.real_bytes;
  listed.apparent_bytes = found.apparent_bytes;
  listed.max_bytes = found.max_bytes;
  listed.created = Moment(found.created_ns);
  listed.durable = found.durable;
  listed.evict = found.evict;
  listed.temporary = found.temporary;
  listed.users = found.users;
  return listed;
}

}  // namespace

Result<std::vector<Listed>> Map::List(std::string_view folder) {
  if (Impossible(folder)) return ImpossibleError("folder", folder);
  rust::Vec<bridge::Listed> found;
  const bridge::Outcome outcome = bridge::list_maps(View(folder), found);
  if (!IsOk(outcome)) return ErrorOf(outcome);
  std::vector<Listed> listed;
  listed.reserve(found.size());
  for (const bridge::Listed& one : found) listed.push_back(ListedBy(one));
  return listed;
}

Result<Map> Map::CreateAnonymous(const Options& options) {
  return Attached::By(
      [&](bridge::Map& handle) { return handle.create_anonymous(Arguments::Of(options)); });
}

Result<Map> Map::OpenDescriptor(int descriptor, Access access, const Options& options) {
  return Attached::By([&](bridge::Map& handle) {
    return handle.open_descriptor(descriptor, access == Access::kReadOnly, Arguments::Of(options));
  });
}

Result<int> Map::Descriptor() const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->descriptor();
  return Answer(outcome, static_cast<int>(outcome.value));
}

}  // namespace shf
