// What our map has besides gets and puts: UIDs, compare-and-swap, updates, walks.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "../context.hpp"
#include "random.hpp"
#include "shf/map.hpp"

namespace bench {
namespace {

constexpr char kMapName[] = "map";
// Of --keys: far more than the processor's caches hold, and few enough for them.
constexpr std::array<uint64_t, 2> kKeysParts = {10, 1000};
constexpr std::array<uint64_t, 4> kBytesOfKeys = {8, 16, 32, 64};
// Gets by key and by UID take turns that often, so that a change of the machine's mood meets both.
constexpr uint64_t kTurns = 10;

struct Figures {
  double by_key = 0;  // million operations a second
  double by_uid = 0;
  double swaps = 0;
  double updates = 0;
  double walk = 0;
};

// The only one that works on the map.
class Bench {
 public:
  Bench(const Workload& work, uint64_t key_bytes, const shf::Map& map)
      : work_(work),
        key_bytes_(key_bytes),
        map_(map),
        random_(work.seed),
        value_(work.value_bytes, 'v'),
        buffer_(work.value_bytes) {}

  std::string Run(Figures* out) {
    for (uint64_t index = 0; index < work_.keys; ++index) {
      const shf::Result<shf::Placed> placed = map_.Put(KeyOf(index), value_);
      if (!placed.ok()) return placed.text();
      uids_.push_back(placed->uid);
    }
    for (uint64_t turn = 0; turn < kTurns; ++turn) Lookups();
    out->by_key = Mops(kTurns * turn_operations(), by_key_);
    out->by_uid = Mops(kTurns * turn_operations(), by_uid_);
    const uint64_t count = work_.operations / 2;
    out->swaps = Timed(count, [&](std::string_view key) {
      const shf::Result<shf::Token> token = map_.GetWithToken(key, &found_);
      if (!token.ok()) return Check(token);
      return Check(map_.PutIf(key, value_, shf::Condition::Token(*token)));
    });
    out->updates = Timed(count, [&](std::string_view key) {
      return Check(map_.Update(key, [](const std::string* old, std::string* fresh) {
        *fresh = *old;
        ++(*fresh)[0];
        return shf::Change::kPut;
      }));
    });
    const double start = Now();
    uint64_t seen = 0;
    shf::Entries entries = map_.Walk();
    for (const shf::Entry& entry : entries) seen += entry.value.size() == work_.value_bytes;
    if (seen != work_.keys) error_ = "a walk saw " + std::to_string(seen) + " keys";
    out->walk = Mops(seen, Now() - start);
    return error_;
  }

 private:
  static double Mops(uint64_t count, double seconds) {
    return static_cast<double>(count) / seconds / 1e6;
  }
  uint64_t turn_operations() const { return std::max<uint64_t>(work_.operations / kTurns, 1); }

  // Good until the next call.
  std::string_view KeyOf(uint64_t index) {
    key_.resize(key_bytes_, 'k');
    const uint64_t number = Mix(index ^ (work_.seed << 40));
    std::memcpy(key_.data(), &number, sizeof(number));
    return key_;
  }
  // The keys and the UIDs lie in the order in which they are used: what is measured are lookups,
  // not where a program keeps its keys.
  void Lookups() {
    std::string keys;
    std::vector<shf::Uid> uids;
    for (uint64_t n = 0; n < turn_operations(); ++n) {
      const uint64_t index = random_.Below(work_.keys);
      keys += KeyOf(index);
      uids.push_back(uids_[index]);
    }
    double start = Now();
    for (size_t at = 0; at < keys.size(); at += key_bytes_) {
      Hit(map_.Get(std::string_view(keys).substr(at, key_bytes_), buffer_.data(), buffer_.size()));
    }
    by_key_ += Now() - start;
    start = Now();
    for (const shf::Uid uid : uids) Hit(map_.GetByUid(uid, buffer_.data(), buffer_.size()));
    by_uid_ += Now() - start;
  }
  void Hit(const shf::Result<size_t>& found) {
    if (!found.ok() || *found != work_.value_bytes) Check(found);
  }
  template <typename T>
  bool Check(const shf::Result<T>& result) {
    if (!result.ok() && error_.empty()) error_ = result.text();
    return result.ok();
  }
  // Million calls of operation(key) a second.
  template <typename Operation>
  double Timed(uint64_t count, Operation operation) {
    const double start = Now();
    for (uint64_t n = 0; n < count; ++n) {
      if (!operation(KeyOf(random_.Below(work_.keys)))) return 0;
    }
    return Mops(count, Now() - start);
  }

  const Workload work_;
  const uint64_t key_bytes_;
  const shf::Map& map_;
  Random random_;
  const std::string value_;
  std::vector<char> buffer_;
  std::string key_;
  std::string found_;
  std::vector<shf::Uid> uids_;
  double by_key_ = 0;  // seconds
  double by_uid_ = 0;
  std::string error_;
};

void Measure(const Workload& work, uint64_t key_bytes, Context* context) {
  const TemporaryFolder folder(context->options.folder);
  const Shared<Figures> figures;
  const bool good = RunProcesses(1, nullptr, [&](unsigned) {
    const shf::Result<shf::Map> map = shf::Map::Create(folder.path(), kMapName);
    return map.ok() ? Bench(work, key_bytes, *map).Run(&*figures) : "create: " + map.text();
  });
  if (!good) return context->Fail(kOurs, kSectionNames[kOperations]);
  const Scene scene = {kSectionNames[kOperations], work.keys, work.value_bytes, 1};
  const std::string of = ", keys of " + std::to_string(key_bytes) + " bytes";
  context->Add(kOurs, scene, "GET by key" + of, kMops, figures->by_key);
  context->Add(kOurs, scene, "GET by UID" + of, kMops, figures->by_uid);
  if (key_bytes != kKeyBytes) return;
  context->Add(kOurs, scene, "SWAP by token", kMops, figures->swaps);
  context->Add(kOurs, scene, "UPDATE by a function", kMops, figures->updates);
  context->Add(kOurs, scene, "WALK", kMops, figures->walk);
}

}  // namespace

void MeasureOperations(Context* context) {
  for (unsigned run = 0; run < context->options.runs && !interrupted; ++run) {
    MeasureLists(context);
    MeasureAges(context);
  }
  if (!context->options.Wants(kOurs)) return;
  for (unsigned run = 0; run < context->options.runs; ++run) {
    for (const uint64_t part : kKeysParts) {
      Workload work = context->options.work;
      work.keys = std::max<uint64_t>(work.keys / part, 100);
      for (const uint64_t key_bytes : kBytesOfKeys) {
        if (interrupted) return;
        context->Begin(std::string(kSectionNames[kOperations]) + ", " + std::to_string(work.keys) +
                       " keys of " + std::to_string(key_bytes) + " bytes");
        Measure(work, key_bytes, context);
      }
    }
  }
}

}  // namespace bench
