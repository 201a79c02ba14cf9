// A shared library with a copy of the library in it: adds to a number in a map.
#include "shf/map.hpp"

extern "C" bool AddOne(const char* name) {
  const shf::Result<shf::Map> map = shf::Map::Open("/dev/shm", name);
  return map.ok() && map->Add("number", 1).ok();
}
