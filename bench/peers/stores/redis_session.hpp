// The connection of one process to a Redis server, by hiredis.
#ifndef SHF_BENCH_PEERS_STORES_REDIS_SESSION_HPP_
#define SHF_BENCH_PEERS_STORES_REDIS_SESSION_HPP_

#include <hiredis/hiredis.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

#include "../store.hpp"

namespace bench {

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
  bool PutAgedMany(const Key* keys, const std::string_view* values, size_t count,
                   uint64_t age_ms) override {
    const std::string age = std::to_string(age_ms);
    for (size_t n = 0; n < count; ++n) Append({"SET", keys[n].view(), values[n], "PX", age});
    return Each(count,
                [](size_t, const redisReply& reply) { return reply.type == REDIS_REPLY_STATUS; });
  }
  bool TouchMany(const Key* keys, size_t count, uint64_t age_ms) override {
    const std::string age = std::to_string(age_ms);
    for (size_t n = 0; n < count; ++n) Append({"PEXPIRE", keys[n].view(), age});
    return Each(count,
                [](size_t, const redisReply& reply) { return reply.type == REDIS_REPLY_INTEGER; });
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

  // How many keys there are.
  uint64_t Size() {
    uint64_t keys = 0;
    Append({"DBSIZE"});
    Each(1, [&](size_t, const redisReply& reply) {
      keys = static_cast<uint64_t>(reply.integer);
      return reply.type == REDIS_REPLY_INTEGER;
    });
    return keys;
  }
  // A command of a few words that is answered by OK.
  bool Do(std::initializer_list<std::string_view> words) {
    Append(words);
    return Each(1,
                [](size_t, const redisReply& reply) { return reply.type == REDIS_REPLY_STATUS; });
  }

 private:
  void Append(std::initializer_list<std::string_view> parts) {
    const char* pointers[kPartsMax];
    size_t lengths[kPartsMax];
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

  static constexpr size_t kPartsMax = 5;

  redisContext* const context_;
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_STORES_REDIS_SESSION_HPP_
