// Uses both classes, once each, on one map.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "SharedHashFile.hpp"
#include "shf/map.hpp"

int main() {
  const std::string name = "consumer-" + std::to_string(getpid());
  SharedHashFile classic;
  if (!classic.Attach("/dev/shm", name.c_str())) return std::puts("Attach failed"), 1;
  classic.MakeHash("key", 3);
  if (classic.PutVal("value", 5) == SHF_UID_NONE) return std::puts("PutVal failed"), 1;

  std::string value;
  shf::Result<shf::Map> map = shf::Map::Open("/dev/shm", name);
  const bool same = map.ok() && map->Get("key", &value).ok() && value == "value" &&
                    map->Put("key", "other").ok() && classic.GetCopyViaKey() && shf_val_len == 5 &&
                    std::memcmp(shf_val, "other", 5) == 0;
  if (!shf::Map::Remove("/dev/shm", name).ok()) return std::puts("Remove failed"), 1;
  return same ? 0 : (std::puts("the classes do not see the same map"), 1);
}
