// Loads a map, and gets from it between marks.
#include "get_loop.hpp"

#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "context.hpp"
#include "worker.hpp"

namespace bench {
namespace {

// Marks a point in a trace, by one system call that is easy to find.
void Mark(const std::string& text) {
  const std::string line = "---- " + text + "\n";
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

bool Fail(const std::string& error) {
  std::fprintf(stderr, "bench: %s\n", error.c_str());
  return false;
}

}  // namespace

bool RunGetLoop(const Options& options) {
  const Workload& work = options.work;
  const Peer peer = ShfPeer();
  const Way& way = peer.ways.front();
  Place place(peer, work, options.folder);
  if (!place.Create()) return false;
  {
    const std::unique_ptr<Session> session = place->Open();
    if (session == nullptr) return Fail("open: " + place->error());
    Worker worker(work, way, session.get(), work.seed);
    worker.PutFresh(0, work.keys);
    if (!worker.error().empty()) return Fail(worker.error());
  }
  for (const bool read_only : {false, true}) {
    const std::unique_ptr<Session> session = read_only ? place->OpenReadOnly() : place->Open();
    if (session == nullptr) return Fail("open: " + place->error());
    Worker worker(work, way, session.get(), work.seed);
    const std::string what = std::to_string(options.get_loop) + " gets through a " +
                             (read_only ? "read-only" : "writable") + " handle";
    Mark("begin: " + what);
    worker.Gets(options.get_loop);
    worker.Misses(options.get_loop);
    Mark("end: " + what + ", and as many that missed");
    if (!worker.error().empty()) return Fail(worker.error());
  }
  return true;
}

}  // namespace bench
