// Asks the system what it is.
#include "machine.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace bench {

Machine ThisMachine() {
  Machine machine;
  machine.processors = sysconf(_SC_NPROCESSORS_ONLN);
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.compare(0, 10, "model name") != 0) continue;
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) machine.processor = line.substr(colon + 2);
    break;
  }
  utsname name;
  if (uname(&name) == 0) machine.kernel = std::string(name.sysname) + " " + name.release;
  if (getloadavg(&machine.load, 1) != 1) machine.load = 0;
  return machine;
}

void PrintMachine(const Machine& machine) {
  std::printf("%s, %ld processors, %s, load %.2f\n", machine.processor.c_str(), machine.processors,
              machine.kernel.c_str(), machine.load);
}

bool FitsIntoMemory(uint64_t bytes) {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    unsigned long long kibibytes = 0;
    if (std::sscanf(line.c_str(), "MemAvailable: %llu", &kibibytes) != 1) continue;
    if (bytes <= kibibytes * 1024) return true;
    std::fprintf(stderr, "bench: needs about %llu MiB of memory, %llu MiB are available\n",
                 static_cast<unsigned long long>(bytes >> 20), kibibytes >> 10);
    return false;
  }
  return true;
}

}  // namespace bench
