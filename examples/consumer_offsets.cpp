// Consumers of a partitioned log, as in Kafka, that keep in a map how far they are.
//
//   consumer_offsets [kills]        of each consumer, 2 by default
//
// Two groups read the same topic, each partition of it with a process of its own. A consumer takes
// its offset from the key "group/topic/partition", processes message after message, and stores
// the offset of the next one behind each. In the middle it is killed with -9, and a new process
// goes on where the map says.
//
// What it shows: at-least-once. An offset that Put has stored survives the process that stored it.
// So a death skips nothing, and repeats at most the message that was in flight: the one that was
// processed, but whose Put had not been done. (Storing the offset first would turn that round: at
// most once, and the message in flight may be lost.)

#include <poll.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "helpers.hpp"
#include "shf/map.hpp"

namespace {

using examples::Fail;

constexpr int kPartitions = 3;
constexpr int64_t kMessages = 1000;  // in each partition

// What a consumer asks of the shop, which is outside: the parent plays it.
enum class Ask : int64_t { kPrice, kOrder };
struct Request {
  Ask what;
  int64_t offset;
};

struct Consumer {
  std::string key;  // group/topic/partition
  // What the parent knows of it.
  pid_t process = -1;
  int requests = -1;  // the socket that they come from
  int64_t next = 0;   // the message that has to be ordered now
  int restarts = 0;
  int repeats = 0;
  bool fresh = false;  // restarted, and has ordered nothing since
};

// ---- the consumer process ----------------------------------------------------------------------

// Asks, and waits for the answer.
bool Call(int shop, const Request& request) {
  char answer = 0;
  return send(shop, &request, sizeof request, MSG_NOSIGNAL) == sizeof request &&
         recv(shop, &answer, 1, 0) == 1;
}

// Processes the message at this offset, which a real consumer would read from its log. Asking for
// the price changes nothing; what has been ordered is ordered, and no death takes it back.
bool Process(int shop, int64_t offset) {
  return Call(shop, {Ask::kPrice, offset}) && Call(shop, {Ask::kOrder, offset});
}

int Consume(const std::string& map_name, const std::string& key, int shop) {
  shf::Result<shf::Map> map = shf::Map::Open(examples::kMapFolder, map_name);
  if (!map.ok()) return Fail("open", map.text());
  int64_t offset = 0;
  const shf::Result<size_t> stored = map->Get(key, reinterpret_cast<char*>(&offset), sizeof offset);
  if (!stored.ok() && !stored.absent()) return Fail("get", stored.text());
  while (offset < kMessages) {
    if (!Process(shop, offset)) return Fail("process", std::strerror(errno));
    ++offset;  // only now is the message done
    const shf::Result<shf::Placed> placed =
        map->Put(key, std::string_view(reinterpret_cast<const char*>(&offset), sizeof offset));
    if (!placed.ok()) return Fail("put", placed.text());
  }
  return 0;
}

// ---- the parent --------------------------------------------------------------------------------

bool StartConsumer(const std::string& map_name, Consumer* consumer) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) {
    return Fail("socketpair", std::strerror(errno)), false;
  }
  consumer->process = examples::Start([&] {
    close(ends[0]);
    return Consume(map_name, consumer->key, ends[1]);
  });
  close(ends[1]);
  consumer->requests = ends[0];
  return consumer->process > 0;
}

// Checks that a message may be ordered now.
bool Check(int64_t offset, Consumer* consumer) {
  if (offset == consumer->next) {
    ++consumer->next;
  } else if (offset == consumer->next - 1 && consumer->fresh) {
    ++consumer->repeats;
  } else {
    std::fprintf(stderr, "%s: message %lld was ordered instead of %lld\n", consumer->key.c_str(),
                 static_cast<long long>(offset), static_cast<long long>(consumer->next));
    return false;
  }
  consumer->fresh = false;
  return true;
}

// Takes a request of a consumer and answers it, or kills the consumer; notices its death and
// replaces it. False: something is wrong.
bool Follow(const std::string& map_name, int kills, Consumer* consumer) {
  Request request{};
  if (recv(consumer->requests, &request, sizeof request, 0) == sizeof request) {
    if (request.what == Ask::kOrder && !Check(request.offset, consumer)) return false;
    // By turns just after the order, whose offset cannot be stored yet, and just before it.
    const Ask deadly = consumer->restarts % 2 == 0 ? Ask::kOrder : Ask::kPrice;
    if (request.what == deadly && consumer->restarts < kills &&
        request.offset == kMessages * (consumer->restarts + 1) / (kills + 1)) {
      examples::Kill(consumer->process);
    } else {
      send(consumer->requests, "", 1, MSG_NOSIGNAL);
    }
    return true;
  }
  close(consumer->requests);
  const int status = examples::Wait(consumer->process);
  consumer->requests = consumer->process = -1;
  if (!examples::Killed(status)) return status == 0;
  ++consumer->restarts;
  consumer->fresh = true;
  return StartConsumer(map_name, consumer);
}

bool Supervise(const std::string& map_name, int kills, std::vector<Consumer>* consumers) {
  bool good = true;
  for (Consumer& consumer : *consumers) good = good && StartConsumer(map_name, &consumer);
  for (bool running = true; good && running;) {
    std::vector<pollfd> sockets;
    for (const Consumer& consumer : *consumers) sockets.push_back({consumer.requests, POLLIN, 0});
    poll(sockets.data(), sockets.size(), -1);
    running = false;
    for (size_t i = 0; i < sockets.size(); ++i) {
      if (sockets[i].revents != 0) good = good && Follow(map_name, kills, &(*consumers)[i]);
      running = running || (*consumers)[i].process > 0;
    }
  }
  for (const Consumer& consumer : *consumers) {
    examples::Kill(consumer.process);  // nobody, when all went well
    examples::Wait(consumer.process);
  }
  return good;
}

// Says how each consumer got on; 0 when each has processed everything.
int Report(const shf::Map& map, int kills, const std::vector<Consumer>& consumers) {
  bool right = true;
  for (const Consumer& consumer : consumers) {
    int64_t stored = 0;
    const shf::Result<size_t> got =
        map.Get(consumer.key, reinterpret_cast<char*>(&stored), sizeof stored);
    if (!got.ok()) return Fail("get", got.absent() ? "no offset was stored" : got.text());
    std::printf("%-18s %lld messages ordered, %d kills, %d repeated, offset %lld\n",
                consumer.key.c_str(), static_cast<long long>(consumer.next), consumer.restarts,
                consumer.repeats, static_cast<long long>(stored));
    right = right && consumer.next == kMessages && stored == kMessages &&
            consumer.restarts == kills && consumer.repeats <= kills;
  }
  return right ? 0 : Fail("check", "a message is missing, or was repeated too often");
}

}  // namespace

int main(int argc, char** argv) {
  const int kills = argc > 1 ? std::atoi(argv[1]) : 2;
  if (argc > 2 || kills < 0 || kills > 100) return Fail("usage", "consumer_offsets [0..100]");
  const std::string name = "consumer-offsets-" + std::to_string(getpid());
  const shf::Result<shf::Map> map = shf::Map::Create(examples::kMapFolder, name);
  if (!map.ok()) return Fail("create", map.text());
  std::vector<Consumer> consumers;
  for (const char* group : {"billing", "search"}) {
    for (int partition = 0; partition < kPartitions; ++partition) {
      consumers.emplace_back().key = std::string(group) + "/orders/" + std::to_string(partition);
    }
  }
  int code = Supervise(name, kills, &consumers) ? 0 : 1;
  if (code == 0) code = Report(*map, kills, consumers);
  const shf::Result<void> removed = shf::Map::Remove(examples::kMapFolder, name);
  return removed.ok() ? code : Fail("remove", removed.text());
}
