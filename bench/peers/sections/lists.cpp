// Lists, of the stores that have them: pushed to at the end and shifted from the front.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "../context.hpp"
#include "../team.hpp"
#include "random.hpp"

namespace bench {
namespace {

constexpr uint64_t kKeysParts = 1000;  // of --keys, so many lists
constexpr uint64_t kListsMin = 10;

struct Meeting {
  Barrier barrier;
  std::array<double, kProcessesMax> push_starts = {};
  std::array<double, kProcessesMax> push_ends = {};
  std::array<double, kProcessesMax> shift_ends = {};
};

struct Figures {
  double push = 0;  // million a second
  double shift = 0;
};

// Each process pushes to lists of its own, one after the other, and then shifts all of it again;
// nothing: it failed, and that was said.
Figures Measure(const Workload& work, const Peer& peer, const Way& way, uint64_t lists,
                unsigned processes, Context* context) {
  Place place(peer, work, context->options.folder);
  const Shared<Meeting> meeting;
  const uint64_t each =
      std::max<uint64_t>(std::min(work.operations, way.operations_max) / processes, 1);
  const std::string element(work.value_bytes, 'e');
  const auto body = [&](unsigned n) -> std::string {
    const std::unique_ptr<Session> session = place->Open();
    if (session == nullptr) return "open: " + place->error();
    std::vector<Key> keys;
    // Calls `operate` for all elements, so many of them at once.
    const auto all = [&](auto operate) {
      for (uint64_t done = 0; done < each; done += keys.size()) {
        const uint64_t many = std::min<uint64_t>(way.put_batch, each - done);
        keys.clear();
        for (uint64_t next = done; next < done + many; ++next) {
          keys.push_back(KeyAt(work, n * lists + next % lists));
        }
        if (!operate(keys.data(), keys.size())) return false;
      }
      return true;
    };
    if (!meeting->barrier.Wait(processes)) return "another process failed";
    meeting->push_starts[n] = Now();
    const auto push = [&](const Key* of, size_t many) {
      return session->PushMany(of, many, element);
    };
    if (!all(push)) return session->error();
    meeting->push_ends[n] = Now();
    const auto shift = [&](const Key* of, size_t many) {
      return session->ShiftMany(of, many, element.size());
    };
    if (!all(shift)) return session->error();
    meeting->shift_ends[n] = Now();
    return "";
  };
  if (!place.Create() || !RunTeam(peer.kind, processes, &meeting->barrier, body)) {
    context->Fail(peer.name(), kSectionNames[kOperations]);
    return {};
  }
  const auto first = [&](const auto& times) {
    return *std::min_element(&times[0], &times[processes]);
  };
  const auto last = [&](const auto& times) {
    return *std::max_element(&times[0], &times[processes]);
  };
  const double millions = static_cast<double>(each * processes) / 1e6;
  return {millions / (last(meeting->push_ends) - first(meeting->push_starts)),
          millions / (last(meeting->shift_ends) - first(meeting->push_ends))};
}

}  // namespace

void MeasureLists(Context* context) {
  const Workload& work = context->options.work;
  for (const unsigned processes : {1U, 2U}) {
    const Scene scene = {kSectionNames[kOperations], work.operations, work.value_bytes, processes};
    for (const Peer& peer : context->peers) {
      for (const Way& way : peer.ways) {
        if (interrupted) return;
        if (!way.counts || !context->options.Wants(way.name)) continue;
        context->Begin(std::string("lists, ") + Several(processes, peer.kind) + ": " + way.name);
        const auto add = [&](const char* which, uint64_t lists) {
          const Figures figures = Measure(work, peer, way, lists, processes, context);
          if (figures.push <= 0) return;
          context->Add(way.name, scene, std::string("PUSH, ") + which, kMops, figures.push);
          context->Add(way.name, scene, std::string("SHIFT, ") + which, kMops, figures.shift);
        };
        add("many lists", std::max(work.keys / kKeysParts, kListsMin));
        add("one list a process", 1);
      }
    }
  }
}

}  // namespace bench
