// The methods of shf::Map for who is attached, and shf::Watch.
#include "shf/process.hpp"

#include <utility>

#include "outcome.hpp"
#include "shf/map.hpp"

namespace shf {
namespace {

Process ProcessOf(const bridge::Process& found) {
  const bridge::Counts& counts = found.counts;
  Process process;
  process.slot = found.slot;
  process.attached_ns = found.attached_ns;
  process.pid = found.pid;
  process.application = static_cast<std::string>(found.application);
  process.role = static_cast<Role>(found.role);
  process.counts = {counts.hits,    counts.misses, counts.puts,  counts.deletes,
                    counts.changes, counts.lists,  counts.walks, counts.waits};
  process.is_this = found.is_this;
  return process;
}

}  // namespace

Result<std::vector<Process>> Map::Processes() const {
  if (!handle_) return NotAttached();
  rust::Vec<bridge::Process> found;
  const bridge::Outcome outcome = handle_->processes(found);
  std::vector<Process> processes;
  processes.reserve(found.size());
  for (const bridge::Process& one : found) processes.push_back(ProcessOf(one));
  return Answer(outcome, std::move(processes));
}

Result<void> Map::SetRole(Role role) const {
  if (!handle_) return NotAttached();
  return Answer(handle_->set_role(static_cast<uint32_t>(role)));
}

Result<Role> Map::GetRole() const {
  if (!handle_) return NotAttached();
  const bridge::Outcome outcome = handle_->role();
  return Answer(outcome, static_cast<Role>(outcome.value));
}

Watch Map::WatchProcesses() const { return Watch(handle_ ? handle_->watch().into_raw() : nullptr); }

void Watch::Closer::operator()(bridge::Watch* watch) const noexcept {
  rust::Box<bridge::Watch>::from_raw(watch);
}

Watch::Watch(bridge::Watch* watch) noexcept : watch_(watch) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

Result<std::vector<Event>> Watch::Poll() {
  if (!watch_) return NotAttached();
  rust::Vec<bridge::Event> found;
  const bridge::Outcome outcome = watch_->poll(found);
  std::vector<Event> events;
  events.reserve(found.size());
  for (const bridge::Event& one : found) events.push_back({one.joined, ProcessOf(one.process)});
  return Answer(outcome, std::move(events));
}

}  // namespace shf
