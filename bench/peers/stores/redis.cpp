// Redis over a unix socket, with a server that the benchmark starts and ends.
#include "../peers.hpp"

#ifdef SHF_BENCH_REDIS
#include <hiredis/hiredis.h>

#include <cstdlib>
#include <cstring>

#include "../temporary_folder.hpp"
#include "redis_server.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_REDIS
namespace {

class RedisSession : public Session {
 public:
  explicit RedisSession(const std::string& socket) : context_(redisConnectUnix(socket.c_str())) {
    if (context_ == nullptr) {
      Fail("no memory for a connection");
    } else if (context_->err != 0) {
      Fail(context_->errstr);
    }
  }
  ~RedisSession() override {
    if (context_ != nullptr) redisFree(context_);
  }

  bool Put(const Key& key, std::string_view value) override { return PutMany(&key, &value, 1); }
  bool PutMany(const Key* keys, const std::string_view* values, size_t count) override {
    for (size_t n = 0; n < count; ++n) Append({"SET", keys[n].view(), values[n]});
    return Each(count,
                [](size_t, const redisReply& reply) { return reply.type == REDIS_REPLY_STATUS; });
  }
  bool Delete(const Key& key) override { return DeleteMany(&key, 1); }
  bool DeleteMany(const Key* keys, size_t count) override {
    for (size_t n = 0; n < count; ++n) Append({"DEL", keys[n].view()});
    return Each(count,
                [](size_t, const redisReply& reply) { return reply.type == REDIS_REPLY_INTEGER; });
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) override {
    bool found = false;
    Append({"GET", key.view()});
    Each(1, [&](size_t, const redisReply& reply) {
      found = reply.type == REDIS_REPLY_STRING;
      if (found) std::memcpy(buffer, reply.str, *bytes = reply.len);
      return found || reply.type == REDIS_REPLY_NIL;
    });
    return found;
  }
  bool GetMany(const Key* keys, size_t count, Visitor* visitor) override {
    for (size_t n = 0; n < count; ++n) Append({"GET", keys[n].view()});
    return Each(count, [&](size_t n, const redisReply& reply) {
      if (reply.type == REDIS_REPLY_STRING) visitor->Found(n, {reply.str, reply.len});
      return reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_NIL;
    });
  }
  bool AddMany(const Key* keys, size_t count) override {
    for (size_t n = 0; n < count; ++n) Append({"INCRBY", keys[n].view(), "1"});
    return Each(count, [](size_t, const redisReply& reply) {
      return reply.type == REDIS_REPLY_INTEGER && reply.integer > 0;
    });
  }
  bool PushMany(const Key* keys, size_t count, std::string_view element) override {
    for (size_t n = 0; n < count; ++n) Append({"RPUSH", keys[n].view(), element});
    return Each(count, [](size_t, const redisReply& reply) {
      return reply.type == REDIS_REPLY_INTEGER && reply.integer > 0;
    });
  }
  bool ShiftMany(const Key* keys, size_t count, size_t bytes) override {
    for (size_t n = 0; n < count; ++n) Append({"LPOP", keys[n].view()});
    return Each(count, [&](size_t, const redisReply& reply) {
      return reply.type == REDIS_REPLY_STRING && reply.len == bytes;
    });
  }
  // A number of the command INFO memory, such as used_memory.
  uint64_t Info(const std::string& name) {
    uint64_t number = 0;
    Append({"INFO", "memory"});
    Each(1, [&](size_t, const redisReply& reply) {
      const char* const at = std::strstr(reply.str, ("\n" + name + ":").c_str());
      if (at != nullptr) number = std::strtoull(at + name.size() + 2, nullptr, 10);
      return at != nullptr;
    });
    return number;
  }

 private:
  void Append(std::initializer_list<std::string_view> parts) {
    const char* pointers[3];
    size_t lengths[3];
    int count = 0;
    for (const std::string_view part : parts) {
      pointers[count] = part.data();
      lengths[count++] = part.size();
    }
    redisAppendCommandArgv(context_, count, pointers, lengths);
  }
  // Takes the replies of all commands that were appended; good(n, reply) judges each.
  template <typename Good>
  bool Each(size_t count, Good good) {
    for (size_t n = 0; n < count; ++n) {
      void* answer = nullptr;
      if (redisGetReply(context_, &answer) != REDIS_OK) return Fail(context_->errstr);
      const auto* const reply = static_cast<const redisReply*>(answer);
      if (!good(n, *reply)) Fail(reply->str == nullptr ? "an answer of a wrong type" : reply->str);
      freeReplyObject(answer);
    }
    return error().empty();
  }

  redisContext* const context_;
};

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
