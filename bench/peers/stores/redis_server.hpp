// A Redis server of our own: on the first processor, on a unix socket, without persistence.
#ifndef SHF_BENCH_PEERS_STORES_REDIS_SERVER_HPP_
#define SHF_BENCH_PEERS_STORES_REDIS_SERVER_HPP_

#include <sys/types.h>

#include <string>

namespace bench {

class RedisServer {
 public:
  // The path of the server's program; empty: there is none.
  static std::string Program();
  // What that program says its version is; empty: it does not say.
  static std::string Version();

  RedisServer() = default;
  // Ends the server, if this process started it.
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  // Starts it with its socket in a folder whose path is short, and waits until it answers. Returns
  // what went wrong, or nothing.
  std::string Start(const std::string& folder);
  const std::string& socket() const { return socket_; }

 private:
  std::string socket_;
  pid_t pid_ = 0;
  pid_t owner_ = 0;
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_STORES_REDIS_SERVER_HPP_
