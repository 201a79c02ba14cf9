// The memory that belongs to this process alone, of which stores in private memory are measured.
#ifndef SHF_BENCH_PEERS_PRIVATE_BYTES_HPP_
#define SHF_BENCH_PEERS_PRIVATE_BYTES_HPP_

#include <unistd.h>

#include <cstdint>
#include <cstdio>

namespace bench {

inline uint64_t PrivateBytes() {
  unsigned long pages = 0, resident = 0, shared = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  const int read = std::fscanf(file, "%lu %lu %lu", &pages, &resident, &shared);
  std::fclose(file);
  return read == 3 ? (resident - shared) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace bench

#endif  // SHF_BENCH_PEERS_PRIVATE_BYTES_HPP_
