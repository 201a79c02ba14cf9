// Starts and ends a Redis server.
#include "redis_server.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "../workload.hpp"
#include "processes.hpp"

namespace bench {
namespace {

constexpr double kPatienceSeconds = 10;
constexpr useconds_t kPauseMicroseconds = 2000;

bool Answers(const std::string& path) {
  const int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const bool good =
      connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(file);
  return good;
}

// In the child: becomes the server.
[[noreturn]] void Become(const std::string& program, const std::string& folder,
                         const std::string& socket) {
  // The end of who started it ends it, however that comes about.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  PinTo(0);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(nothing, STDOUT_FILENO);
  dup2(nothing, STDERR_FILENO);
  execl(program.c_str(), "redis-server", "--port", "0", "--unixsocket", socket.c_str(), "--save",
        "", "--appendonly", "no", "--daemonize", "no", "--dir", folder.c_str(),
        static_cast<char*>(nullptr));
  _exit(127);
}

}  // namespace

std::string RedisServer::Program() {
  for (const char* path : {"/usr/bin/redis-server", "/usr/local/bin/redis-server"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

std::string RedisServer::Version() {
  std::FILE* const output = popen((Program() + " --version").c_str(), "r");
  if (output == nullptr) return "";
  char version[32] = "";
  const int read = std::fscanf(output, "Redis server v=%31s", version);
  pclose(output);
  return read == 1 ? version : "";
}

std::string RedisServer::Start(const std::string& folder) {
  socket_ = folder + "/redis.sock";
  if (socket_.size() >= sizeof(sockaddr_un::sun_path)) return "too long for a socket: " + socket_;
  const std::string program = Program();
  owner_ = getpid();
  pid_ = fork();
  if (pid_ == 0) Become(program, folder, socket_);
  if (pid_ < 0) return "fork failed";
  for (const double start = Now(); Now() - start < kPatienceSeconds;) {
    if (Answers(socket_)) return "";
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = 0;
      return program + " ended at once";
    }
    usleep(kPauseMicroseconds);
  }
  return program + " does not answer";
}

RedisServer::~RedisServer() {
  if (pid_ <= 0 || owner_ != getpid()) return;
  // Nothing that it has is to be kept.
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace bench
