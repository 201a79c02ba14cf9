// Redis over a unix socket, with a server that the benchmark starts and ends.
#include "../peers.hpp"

#ifdef SHF_BENCH_REDIS
#include "../temporary_folder.hpp"
#include "redis_server.hpp"
#include "redis_session.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_REDIS
namespace {

class RedisStore : public Store {
 public:
  bool Create() override {
    const std::string problem = server_.Start(folder_.path());
    return problem.empty() || Fail(problem);
  }
  std::unique_ptr<Session> Open() override {
    auto session = std::make_unique<RedisSession>(server_.socket());
    if (session->error().empty()) return session;
    Fail(session->error());
    return nullptr;
  }
  Memory Measure(Session* session) override {
    auto* const redis = static_cast<RedisSession*>(session);
    Memory memory;
    memory.bytes = redis->Info("used_memory_rss");
    memory.also = "used_memory_rss is " + std::to_string(memory.bytes) + " bytes, used_memory " +
                  std::to_string(redis->Info("used_memory"));
    return memory;
  }

 private:
  // Removed by the process that made it only: others leave by _exit().
  const TemporaryFolder folder_{"/tmp"};  // the path of a socket must be short
  RedisServer server_;
};

}  // namespace
#endif

Peer RedisPeer() {
  const std::string common =
      "A server of its own on a unix socket, without persistence, pinned to processor 0; client n "
      "is "
      "pinned to processor n, so that a single client shares the server's processor, and of two "
      "one "
      "does. Clients use hiredis. Memory is used_memory_rss.";
  Way pipelined;
  pipelined.name = "Redis, pipelined by 100";
  pipelined.configuration = common + " 100 commands are sent before their answers are read.";
  pipelined.get_batch = 100;
  pipelined.put_batch = 100;
  pipelined.counts = true;
  Way single;
  single.name = "Redis, single";
  single.configuration =
      common +
      " Each command waits for its answer. The table is loaded by pipelines; the "
      "puts that are timed are the last 100,000 keys, or a tenth of them.";
  single.operations_max = 100'000;
  single.counts = true;
  Peer peer;
  peer.ways = {pipelined, single};
  peer.kind = Kind::kServer;
#ifdef SHF_BENCH_REDIS
  peer.version = "hiredis " + std::to_string(HIREDIS_MAJOR) + "." + std::to_string(HIREDIS_MINOR) +
                 "." + std::to_string(HIREDIS_PATCH);
  if (RedisServer::Program().empty()) {
    peer.missing = "the package redis-server is not installed";
  } else {
    peer.version = RedisServer::Version() + ", " + peer.version;
  }
  peer.make = [](const Workload&, const std::string&) { return std::make_unique<RedisStore>(); };
#else
  peer.missing = "it was built without the package libhiredis-dev";
#endif
  return peer;
}

}  // namespace bench
