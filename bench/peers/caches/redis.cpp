// Redis with a limit to its memory, in a server that the benchmark starts and ends.
#include "../cache.hpp"

#ifdef SHF_BENCH_REDIS
#include "../stores/redis_server.hpp"
#include "../stores/redis_session.hpp"
#include "../temporary_folder.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_REDIS
namespace {

class RedisCache : public Cache {
 public:
  RedisCache(const Workload& work, const Held& room, std::string policy)
      : work_(work),
        room_(room),
        policy_(std::move(policy)),
        values_(work, 1),
        buffer_(work.bytes_most()) {
    const std::string problem = server_.Start(folder_.path());
    if (!problem.empty()) Fail(problem);
  }

  // Learns from as many keys as there is room for how much memory they take.
  bool Open() override {
    if (!error().empty()) return false;
    session_ = std::make_unique<RedisSession>(server_.socket());
    session_->Do({"CONFIG", "SET", "maxmemory-policy", policy_});
    UseEachCommand();
    const uint64_t mean_bytes = room_.bytes / room_.keys - kKeyBytes;
    for (uint64_t n = 0; n < room_.keys && session_->error().empty(); ++n) {
      session_->Put(MissingKeyAt(work_, n), values_.At(0, n, mean_bytes));
    }
    const std::string bytes = std::to_string(session_->Info("used_memory"));
    session_->Do({"FLUSHALL"});
    return session_->Do({"CONFIG", "SET", "maxmemory", bytes}) || Fail(session_->error());
  }
  bool Get(uint64_t index) override {
    size_t bytes = 0;
    return session_->Get(KeyAt(work_, index), buffer_.data(), &bytes);
  }
  bool Put(uint64_t index, uint64_t value_bytes) override {
    return session_->Put(KeyAt(work_, index), values_.At(0, index, value_bytes)) ||
           Fail(session_->error());
  }
  // Its bytes are not known.
  Held Measure() override { return {session_->Size(), 0}; }

 private:
  // The server takes some 20 KB for its statistics of a command when it gets the first one.
  void UseEachCommand() {
    Put(0, work_.value_bytes);
    Get(0);
    Measure();
    session_->Info("used_memory");
    session_->Do({"FLUSHALL"});
  }

  const Workload work_;
  const Held room_;
  const std::string policy_;
  Values values_;
  std::vector<char> buffer_;
  const TemporaryFolder folder_{"/tmp"};  // the path of a socket must be short
  RedisServer server_;
  std::unique_ptr<RedisSession> session_;
};

}  // namespace
#endif

std::vector<CachePeer> RedisCaches() {
  std::vector<CachePeer> all;
  for (const std::string policy : {"allkeys-lru", "allkeys-lfu"}) {
    CachePeer peer;
    peer.name = "Redis, " + policy;
    peer.configuration =
        "A server of its own on a unix socket, one command after the other. Its maxmemory is what "
        "it used when it held, without a limit, as many keys as SharedHashFile holds; other "
        "settings are the default ones. Its clock for eviction by last use counts seconds, which "
        "at this rate of requests are a good part of a key's stay.";
    peer.kind = Kind::kServer;
    peer.slow = true;
#ifdef SHF_BENCH_REDIS
    if (RedisServer::Program().empty()) {
      peer.missing = "the package redis-server is not installed";
    } else {
      peer.version = RedisServer::Version();
    }
    peer.make = [policy](const Workload& work, const Held& room, const std::string&) {
      return std::make_unique<RedisCache>(work, room, policy);
    };
#else
    peer.missing = "it was built without the package libhiredis-dev";
#endif
    all.push_back(std::move(peer));
  }
  return all;
}

}  // namespace bench
