// Keys that expire, of the stores that have them: put with an age, and given another one.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../context.hpp"
#include "../team.hpp"
#include "random.hpp"

namespace bench {
namespace {

// Of --keys: as many as are put again and again.
constexpr uint64_t kKeysPart = 10;
// That no run reaches, and one that is over soon, so that keys go all the time.
constexpr uint64_t kLongMs = 3'600'000;
constexpr uint64_t kShortMs = 50;

struct Meeting {
  Barrier barrier;
  double put = 0;  // million a second
  double put_short = 0;
  double touch = 0;
};

}  // namespace

void MeasureAges(Context* context) {
  const Workload& work = context->options.work;
  const Scene scene = {kSectionNames[kOperations], work.operations, work.value_bytes, 1};
  for (const Peer& peer : context->peers) {
    for (const Way& way : peer.ways) {
      if (interrupted) return;
      if (!way.counts || !context->options.Wants(way.name)) continue;
      context->Begin(std::string("ages: ") + way.name);
      Place place(peer, work, context->options.folder);
      const Shared<Meeting> meeting;
      const uint64_t keys = std::max<uint64_t>(work.keys / kKeysPart, 1);
      const uint64_t operations = std::max<uint64_t>(
          std::min(work.operations, way.operations_max) / way.put_batch * way.put_batch,
          way.put_batch);
      const auto body = [&](unsigned) -> std::string {
        const std::unique_ptr<Session> session = place->Open();
        if (session == nullptr) return "open: " + place->error();
        if (!meeting->barrier.Wait(1)) return "another process failed";
        Random random(work.seed);
        const std::string value(work.value_bytes, 'v');
        const std::vector<std::string_view> values(way.put_batch, value);
        std::vector<Key> batch;
        // Calls `operate` for keys at random, so many of them at once; the speed, 0: it failed.
        const auto timed = [&](auto operate) {
          const double begun = Now();
          for (uint64_t done = 0; done < operations; done += way.put_batch) {
            batch.clear();
            for (uint64_t n = 0; n < way.put_batch; ++n) {
              batch.push_back(KeyAt(work, random.Below(keys)));
            }
            if (!operate()) return 0.0;
          }
          return static_cast<double>(operations) / 1e6 / (Now() - begun);
        };
        const auto put = [&](uint64_t age_ms) {
          return timed([&] {
            return session->PutAgedMany(batch.data(), values.data(), batch.size(), age_ms);
          });
        };
        meeting->put_short = put(kShortMs);
        meeting->put = put(kLongMs);
        meeting->touch =
            timed([&] { return session->TouchMany(batch.data(), batch.size(), kLongMs); });
        return session->error();
      };
      if (!place.Create() || !RunTeam(peer.kind, 1, &meeting->barrier, body)) {
        context->Fail(peer.name(), kSectionNames[kOperations]);
        continue;
      }
      context->Add(way.name, scene, "PUT with an age", kMops, meeting->put);
      context->Add(way.name, scene, "PUT, soon over", kMops, meeting->put_short);
      context->Add(way.name, scene, "TOUCH", kMops, meeting->touch);
    }
  }
}

}  // namespace bench
