// A web server in the prefork style: worker processes that share hit counters and a cache of pages.
//
//   web_workers [workers]        4 by default
//
// The parent opens the map and a listening socket; its workers inherit both. A worker accepts a
// request, counts it with Add, and answers with the page from the cache, which it makes and puts
// there when it is missing. The parent sits in waitpid(): it replaces every worker that dies, and
// kills one with -9 each time a client is served, whatever that worker is doing.
//
// What it shows: counter and cache need no lock, no server and no repair by the program. At the end
// the counters hold every request that was answered, and beyond that at most those requests that
// a death cut off between the count and the answer; their clients saw that and asked again.

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "helpers.hpp"
#include "shf/map.hpp"

namespace {

using examples::Fail;

constexpr int kPages = 50;
constexpr int kClients = 12;  // in all
constexpr int kClientsAtOnce = 4;
constexpr int kRequests = 500;  // of each client
constexpr int kGiveUp = 255;    // exit code of a client that does not get its pages

std::string PathOf(int page) { return "/page/" + std::to_string(page); }

// Makes a page, slowly: that is why there is a cache.
std::string Render(const std::string& path) {
  uint32_t state = 1;
  for (int round = 0; round < 10000; ++round) {
    for (const char letter : path) state = state * 1664525 + static_cast<unsigned char>(letter);
  }
  return "<h1>" + path + "</h1>" + std::to_string(state);
}

// Counts a request and returns its page.
shf::Result<std::string> Serve(const shf::Map& map, const std::string& path) {
  const shf::Result<int64_t> hits = map.Add("hits " + path, 1);
  if (!hits.ok()) return hits.error();
  std::string page;
  const shf::Result<void> cached = map.Get("page " + path, &page);
  if (cached.ok()) return page;
  if (!cached.absent()) return cached.error();
  page = Render(path);
  // Where two workers miss at once, both make the page and either may put it. A full map is no
  // reason to give no answer.
  const shf::Result<shf::Placed> placed = map.Put("page " + path, page);
  if (!placed.ok() && placed.status() != shf::Status::kNoSpace) return placed.error();
  const shf::Result<int64_t> made = map.Add("pages made", 1);
  if (!made.ok()) return made.error();
  return page;
}

// A worker: answers requests until there is no listener any more.
int Work(const shf::Map& map, int listener) {
  for (;;) {
    const int client = accept(listener, nullptr, nullptr);
    if (client < 0 && errno == EINVAL) return 0;  // the parent has shut it down
    if (client < 0) return Fail("accept", std::strerror(errno));
    char path[64];
    const ssize_t bytes = recv(client, path, sizeof path, 0);
    if (bytes > 0) {
      const shf::Result<std::string> page =
          Serve(map, std::string(path, static_cast<size_t>(bytes)));
      if (!page.ok()) return Fail("serve", page.text());
      send(client, page->data(), page->size(), MSG_NOSIGNAL);
    }
    close(client);
  }
}

// Asks for a page; "" when whoever was to answer is gone.
std::string Ask(const sockaddr_un& address, const std::string& path) {
  const int server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  char answer[256];
  ssize_t bytes = 0;
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(server, path.data(), path.size(), MSG_NOSIGNAL) > 0) {
    bytes = recv(server, answer, sizeof answer, 0);
  }
  close(server);
  return std::string(answer, bytes > 0 ? static_cast<size_t>(bytes) : 0);
}

// A client: makes its requests, repeating those that are cut off. The exit code: how many were, or
// kGiveUp.
int Browse(const sockaddr_un& address, int client) {
  int cut_off = 0;
  for (int request = 0; request < kRequests; ++request) {
    const std::string path = PathOf((request * request + client) % kPages);
    std::string page;
    while ((page = Ask(address, path)).empty()) {
      if (++cut_off == kGiveUp) return kGiveUp;
    }
    if (page.find(path + "<") == std::string::npos) return kGiveUp;
  }
  return cut_off;
}

struct Served {
  int clients = 0;
  int cut_off = 0;  // requests
  int deaths = 0;   // of workers, by kill -9
};

// The parent: runs workers and clients until all clients are served. False: one of them failed.
bool Supervise(const shf::Map& map, int listener, const sockaddr_un& address, size_t workers_wanted,
               Served* served) {
  const auto work = [&] { return Work(map, listener); };
  std::vector<pid_t> workers;
  while (workers.size() < workers_wanted) workers.push_back(examples::Start(work));
  std::vector<pid_t> clients;  // 0: has been served
  const auto start_client = [&] {
    const int client = static_cast<int>(clients.size());
    clients.push_back(examples::Start([&] { return Browse(address, client); }));
    return clients.back() > 0;
  };
  bool good = true;
  while (clients.size() < kClientsAtOnce) good = start_client() && good;

  while (good && served->clients < kClients) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    good = false;
    const auto worker = std::find(workers.begin(), workers.end(), ended);
    const auto client = std::find(clients.begin(), clients.end(), ended);
    if (worker != workers.end() && examples::Killed(status)) {
      ++served->deaths;
      *worker = examples::Start(work);
      good = *worker > 0;
    } else if (client != clients.end() && WIFEXITED(status) && WEXITSTATUS(status) != kGiveUp) {
      *client = 0;
      ++served->clients;
      served->cut_off += WEXITSTATUS(status);
      examples::Kill(workers[static_cast<size_t>(served->clients) % workers.size()]);
      good = clients.size() == kClients || start_client();
    }
  }
  shutdown(listener, SHUT_RDWR);  // ends the workers that wait for requests
  for (const pid_t client : clients) {
    examples::Kill(client);  // nobody, when all went well
    examples::Wait(client);
  }
  for (const pid_t worker : workers) {
    const int status = examples::Wait(worker);
    if (examples::Killed(status)) ++served->deaths;
    good = good && (status == 0 || examples::Killed(status));
  }
  return good;
}

int Report(const shf::Map& map, const Served& served) {
  int64_t counted = 0;
  for (int page = 0; page < kPages; ++page) {
    const shf::Result<int64_t> hits = map.Add("hits " + PathOf(page), 0);  // reads the number
    if (!hits.ok()) return Fail("hits", hits.text());
    counted += *hits;
  }
  const shf::Result<int64_t> made = map.Add("pages made", 0);
  if (!made.ok()) return Fail("pages made", made.text());
  const int64_t answered = int64_t{served.clients} * kRequests;
  std::printf(
      "answered %lld requests, counted %lld, made %lld pages for the cache\n"
      "killed and replaced %d workers, which cut off %d requests\n",
      static_cast<long long>(answered), static_cast<long long>(counted),
      static_cast<long long>(*made), served.deaths, served.cut_off);
  const bool right = counted >= answered && counted <= answered + served.cut_off &&
                     served.cut_off <= served.deaths;
  return right ? 0 : Fail("check", "the counters do not agree with the requests");
}

}  // namespace

int main(int argc, char** argv) {
  const int workers = argc > 1 ? std::atoi(argv[1]) : 4;
  if (argc > 2 || workers < 1 || workers > 64) return Fail("usage", "web_workers [1..64]");
  const std::string name = "web-workers-" + std::to_string(getpid());
  const shf::Result<shf::Map> map = shf::Map::Create(examples::kMapFolder, name);
  if (!map.ok()) return Fail("create", map.text());
  sockaddr_un address{};  // an abstract one, which is no file: a 0 byte, and the name
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  Served served;
  int code = 0;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 64) != 0) {
    code = Fail("listen", std::strerror(errno));
  } else if (!Supervise(*map, listener, address, static_cast<size_t>(workers), &served)) {
    code = Fail("run", "a process failed");
  } else {
    code = Report(*map, served);
  }
  const shf::Result<void> removed = shf::Map::Remove(examples::kMapFolder, name);
  return removed.ok() ? code : Fail("remove", removed.text());
}
