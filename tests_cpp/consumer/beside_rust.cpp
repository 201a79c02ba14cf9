// Uses the library and a foreign Rust library in one program.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "shf/map.hpp"

extern "C" uint64_t neighbour_sum(uint64_t count);

int main() {
  const std::string name = "beside-rust-" + std::to_string(getpid());
  const shf::Result<shf::Map> map = shf::Map::Create("/dev/shm", name);
  if (!map.ok()) return std::puts(map.text().c_str()), 1;
  const shf::Result<int64_t> sum = map->Add("sum", static_cast<int64_t>(neighbour_sum(100)));
  if (!shf::Map::Remove("/dev/shm", name).ok()) return std::puts("Remove failed"), 1;
  return sum.ok() && *sum == 5050 ? 0 : (std::puts("the sum is not 5050"), 1);
}
