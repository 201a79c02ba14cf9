// The README's example: counts how often it has been run, for all processes of this machine.
#include <cstdio>

#include "shf/map.hpp"

int main() {
  shf::Result<shf::Map> map = shf::Map::OpenOrCreate("/dev/shm", "hello");
  if (!map.ok()) return std::puts(map.text().c_str()), 1;
  const shf::Result<int64_t> runs = map->Add("runs", 1);
  if (!runs.ok()) return std::puts(runs.text().c_str()), 1;
  std::printf("run number %lld\n", static_cast<long long>(*runs));
}
