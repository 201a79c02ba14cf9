// Loads the plugin; both use a map through copies of the library of their own.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "shf/map.hpp"

int main(int, char** arguments) {
  void* const plugin = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) return std::puts(dlerror()), 1;
  const auto add_one = reinterpret_cast<bool (*)(const char*)>(dlsym(plugin, "AddOne"));
  if (add_one == nullptr) return std::puts(dlerror()), 1;

  const std::string name = "host-" + std::to_string(getpid());
  const shf::Result<shf::Map> map = shf::Map::Create("/dev/shm", name);
  if (!map.ok()) return std::puts(map.text().c_str()), 1;
  const bool added = map->Add("number", 1).ok() && add_one(name.c_str());
  const shf::Result<int64_t> sum = map->Add("number", 0);
  if (!shf::Map::Remove("/dev/shm", name).ok()) return std::puts("Remove failed"), 1;
  return added && sum.ok() && *sum == 2 ? 0 : (std::puts("the sum is not 2"), 1);
}
