// One process or thread at work on a store, in one of the ways to use it.
//
// Each phase does so many operations; error() says what went wrong, and is empty while nothing did.
// A get that misses a key which is there, or answers with another key's value, is such a thing.
#ifndef SHF_BENCH_PEERS_WORKER_HPP_
#define SHF_BENCH_PEERS_WORKER_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"
#include "shf-bench-kit/src/lib.rs.h"
#include "store.hpp"
#include "workload.hpp"

namespace bench {

class Worker : private Visitor {
 public:
  Worker(const Workload& work, const Way& way, Session* session, uint64_t random_seed)
      : work_(work),
        way_(way),
        session_(session),
        random_(random_seed),
        seed_(random_seed),
        values_(work, way.put_batch),
        found_(work.bytes_most()),
        get_keys_(way.get_batch),
        get_indexes_(way.get_batch),
        put_keys_(way.put_batch),
        put_values_(way.put_batch) {}

  const std::string& error() const { return error_; }

  // Inserts the keys from first on.
  void PutFresh(uint64_t first, uint64_t end) {
    for (uint64_t index = first; index < end; ++index) Put(index, work_.value_bytes);
    Finish();
  }
  // Draws what Run(kZipf) needs, which would weigh on what is timed.
  void Prepare(Phase phase, uint64_t count) {
    skewed_.clear();
    if (phase != kZipf) return;
    // The most wanted keys are spread over all.
    const Shuffle spread(work_.keys, work_.seed);
    for (const uint64_t rank : kit::zipf_numbers(work_.keys, kSkew, seed_, count)) {
      skewed_.push_back(spread.At(rank));
    }
  }
  // Any phase but kPut, over all keys.
  void Run(Phase phase, uint64_t count) {
    switch (phase) {
      case kGet:
        return Gets(count);
      case kZipf:
        return Skewed();
      case kMiss:
        return Misses(count);
      case kMix:
        return Mixed(count);
      case kUpdate:
        for (uint64_t i = 0; i < count; ++i) Put(RandomIndex(), work_.value_bytes);
        return Finish();
      case kResize:
        return Resize(count);
      default:
        return;
    }
  }
  // Gets that hit, in uniform random order.
  void Gets(uint64_t count) {
    if (way_.get_batch == 1) return SingleGets<false>(count);
    for (uint64_t i = 0; i < count; ++i) GetSoon(RandomIndex());
    Finish();
  }
  void Misses(uint64_t count) {
    if (way_.get_batch == 1) return SingleGets<true>(count);
    missing_ = true;
    for (uint64_t i = 0; i < count; ++i) GetSoon(RandomIndex());
    Finish();
    missing_ = false;
  }
  // Replaces everything once, in another order and with other sizes than in other rounds. Returns
  // the bytes of keys and values that are in the store afterwards.
  uint64_t ReplaceAll(unsigned round) {
    const Shuffle order(work_.keys, work_.seed * 8 + round);
    uint64_t payload = work_.keys * kKeyBytes;
    for (uint64_t i = 0; i < work_.keys; ++i) {
      const uint64_t index = order.At(i);
      const uint64_t bytes = SizeOf(work_, index, round);
      Put(index, bytes);
      payload += bytes;
    }
    Finish();
    return payload;
  }

  void Put(uint64_t index, uint64_t bytes) {
    if (way_.put_batch == 1) {
      if (!session_->Put(KeyAt(work_, index), values_.At(0, index, bytes))) {
        Fail("put failed", index);
      }
      return;
    }
    put_keys_[puts_] = KeyAt(work_, index);
    put_values_[puts_] = values_.At(puts_, index, bytes);
    if (++puts_ == way_.put_batch) FinishPuts();
  }
  // Does what waits for its batch to be full.
  void Finish() {
    FinishGets();
    FinishPuts();
  }

 private:
  // A get of one key in few instructions of its own: with many, the processor does not see the next
  // get while it waits for this one, which costs a fast store more than a slow one.
  class SingleGet {
   public:
    explicit SingleGet(Worker* worker)
        : worker_(*worker),
          work_(worker->work_),
          session_(worker->session_),
          buffer_(worker->found_.data()) {}

    template <bool kMissing>
    void operator()(uint64_t index) {
      const Key key = kMissing ? MissingKeyAt(work_, index) : KeyAt(work_, index);
      const bool there = session_->Get(key, buffer_, &bytes_);
      if (there != kMissing && (kMissing || Values::IsOf(work_, index, {buffer_, bytes_}))) return;
      worker_.Fail(kMissing ? "a get found a key that was never put"
                            : (there ? "a get answered wrongly" : "a get missed"),
                   index);
    }

   private:
    Worker& worker_;
    const Workload work_;
    Session* const session_;
    char* const buffer_;
    size_t bytes_ = 0;
  };

  template <bool kMissing>
  void SingleGets(uint64_t count) {
    SingleGet get(this);
    Random random = random_;
    for (uint64_t i = 0; i < count; ++i) get.operator()<kMissing>(random.Below(work_.keys));
    random_ = random;
  }
  // Gets that hit, in the order that Prepare() drew.
  void Skewed() {
    if (way_.get_batch == 1) {
      SingleGet get(this);
      for (const uint64_t index : skewed_) get.operator()<false>(index);
    } else {
      for (const uint64_t index : skewed_) GetSoon(index);
    }
    Finish();
  }
  // 98% gets that hit, 2% puts of the same size.
  void Mixed(uint64_t count) {
    SingleGet get(this);
    Random random = random_;
    for (uint64_t i = 0; i < count; ++i) {
      const auto [index, choice] = random.Below(work_.keys, 50);
      if (choice == 0) {
        Put(index, work_.value_bytes);
      } else if (way_.get_batch == 1) {
        get.operator()<false>(index);
      } else {
        GetSoon(index);
      }
    }
    random_ = random;
    Finish();
  }
  // Replaces values by others of half to one and a half of the size.
  void Resize(uint64_t count) {
    const uint64_t sizes = work_.bytes_most() - work_.bytes_least() + 1;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t index = RandomIndex();
      Put(index, work_.bytes_least() + random_.Below(sizes));
    }
    Finish();
  }
  // One more get of a batch.
  void GetSoon(uint64_t index) {
    get_keys_[gets_] = missing_ ? MissingKeyAt(work_, index) : KeyAt(work_, index);
    get_indexes_[gets_] = index;
    if (++gets_ == way_.get_batch) FinishGets();
  }
  void FinishGets() {
    if (gets_ == 0) return;
    hits_ = 0;
    const unsigned count = gets_;
    gets_ = 0;
    const bool good = session_->GetMany(get_keys_.data(), count, this);
    if (!good || hits_ != (missing_ ? 0 : count)) FailFound(get_indexes_[0]);
  }
  void FinishPuts() {
    if (puts_ == 0) return;
    const unsigned count = puts_;
    puts_ = 0;
    if (!session_->PutMany(put_keys_.data(), put_values_.data(), count)) {
      Fail("one of some puts failed", put_keys_[0].words[0]);
    }
  }
  void Found(size_t n, std::string_view value) override {
    ++hits_;
    Check(get_indexes_[n], value);
  }
  void Check(uint64_t index, std::string_view value) {
    if (!missing_ && !Values::IsOf(work_, index, value)) Fail("a get answered wrongly", index);
  }
  uint64_t RandomIndex() { return random_.Below(work_.keys); }

  void FailFound(uint64_t index) {
    Fail(missing_ ? "a get found a key that was never put" : "a get missed", index);
  }
  [[gnu::cold, gnu::noinline]] void Fail(const char* what, uint64_t index) {
    if (!error_.empty()) return;
    error_ = std::string(what) + " at " + std::to_string(index);
    if (!session_->error().empty()) error_ += ": " + session_->error();
  }

  const Workload work_;
  const Way& way_;
  Session* const session_;
  Random random_;
  const uint64_t seed_;
  Values values_;
  std::vector<char> found_;
  std::vector<uint64_t> skewed_;
  bool missing_ = false;  // whether gets ask for keys that are not there
  // What waits for its batch to be full:
  unsigned gets_ = 0;
  unsigned puts_ = 0;
  size_t hits_ = 0;  // of the gets
  std::vector<Key> get_keys_;
  std::vector<uint64_t> get_indexes_;
  std::vector<Key> put_keys_;
  std::vector<std::string_view> put_values_;
  std::string error_;
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_WORKER_HPP_
