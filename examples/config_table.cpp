// A configuration table that one process builds and many read, and that is replaced as a whole.
//
//   config_table [readers]        3 by default
//
// Each generation of the configuration is a map of its own, filled before anybody is told of it. A
// small map that stays, the pointer, holds the number of the current generation; adding 1 to it
// publishes the next. Readers open both for reading only, and the file of a generation, mode 0444,
// may be written by nobody but the handle that created it.
//
// Why this is atomic: the pointer is one number under one key, and a key is linearizable: a reader
// gets the old number or the new one, and who gets the new one finds everything that was put before
// the Add. Changing a map in place, key by key, or with Clear() before, would show readers a
// mixture. Renaming the new file over the old one would be as atomic, but a reader would have to
// open the name again to notice; here it asks with a Get, without a system call, before every use.
// And unlike a second set of keys in the same map, an old map stays whole for whoever still has it
// open: removing it only takes away its name.
//
// What it shows besides: a builder that is killed with -9 half way through has changed nothing for
// anybody, and the next one begins that generation anew. Old maps are removed when the next is
// begun and not when it is published, so that wherever a builder dies, its successor removes what
// it left: there are never more than the current map and one beside it.

#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "shf/map.hpp"

namespace {

using examples::Fail;
using examples::kMapFolder;

constexpr int64_t kGenerations = 100;
constexpr int kSettings = 300;
constexpr char kCurrent[] = "current generation";

std::string KeyOf(int setting) { return "setting." + std::to_string(setting); }

std::string ValueOf(int64_t generation, int setting) {
  return "value " + std::to_string(setting) + " of generation " + std::to_string(generation);
}

std::string NameOf(const std::string& pointer_name, int64_t generation) {
  return pointer_name + "." + std::to_string(generation);
}

// The number of the current generation; 0 before the first.
shf::Result<int64_t> CurrentGeneration(const shf::Map& pointer) {
  int64_t generation = 0;  // 8 bytes, little-endian, as this machine has them
  const shf::Result<size_t> got =
      pointer.Get(kCurrent, reinterpret_cast<char*>(&generation), sizeof generation);
  if (!got.ok() && !got.absent()) return got.error();
  return generation;
}

// Removes the map of a generation, if there is one.
shf::Result<void> Drop(const std::string& pointer_name, int64_t generation) {
  shf::Result<void> removed = shf::Map::Remove(kMapFolder, NameOf(pointer_name, generation));
  return removed.status() == shf::Status::kNotFound ? shf::Result<void>() : removed;
}

// ---- the builder -------------------------------------------------------------------------------

// Where a builder is killed, to see what it leaves.
enum class Death { kNone, kHalfWay, kPublished };

// Builds the generation after the current one and publishes it. There is one builder at a time.
shf::Result<void> BuildNext(const shf::Map& pointer, const std::string& pointer_name, Death death) {
  const shf::Result<int64_t> current = CurrentGeneration(pointer);
  if (!current.ok()) return current.error();
  const int64_t next = *current + 1;
  // What came before the current one stayed until now, for readers that were about to open it. And
  // if a builder died half way, nobody has been told of what it left.
  for (const int64_t generation : {*current - 1, next}) {
    shf::Result<void> dropped = Drop(pointer_name, generation);
    if (!dropped.ok()) return dropped;
  }

  shf::Options options;
  options.mode = 0444;
  options.expected_keys = kSettings;
  const shf::Result<shf::Map> table =
      shf::Map::Create(kMapFolder, NameOf(pointer_name, next), options);
  if (!table.ok()) return table.error();
  for (int setting = 0; setting < kSettings; ++setting) {
    if (death == Death::kHalfWay && setting == kSettings / 2) raise(SIGKILL);
    const shf::Result<shf::Placed> placed = table->Put(KeyOf(setting), ValueOf(next, setting));
    if (!placed.ok()) return placed.error();
  }
  const shf::Result<int64_t> published = pointer.Add(kCurrent, 1);
  if (!published.ok()) return published.error();
  if (death == Death::kPublished) raise(SIGKILL);
  return {};
}

// Builds until `last`; the builder of the one in the middle may be killed.
int Build(const shf::Map& pointer, const std::string& pointer_name, int64_t last, Death death) {
  for (;;) {
    const shf::Result<int64_t> current = CurrentGeneration(pointer);
    if (!current.ok()) return Fail("builder", current.text());
    if (*current >= last) return 0;
    const shf::Result<void> built =
        BuildNext(pointer, pointer_name, *current == last / 2 ? death : Death::kNone);
    if (!built.ok()) return Fail("builder", built.text());
  }
}

// ---- the readers -------------------------------------------------------------------------------

// Whether the table holds one generation, all of it and nothing else.
int CheckWhole(const shf::Map& table, int64_t generation) {
  std::string value;
  for (int setting = 0; setting < kSettings; ++setting) {
    const shf::Result<void> got = table.Get(KeyOf(setting), &value);
    if (!got.ok()) return Fail("reader", got.absent() ? "a setting is missing" : got.text());
    if (value != ValueOf(generation, setting)) return Fail("reader: mixture", value);
  }
  const shf::Result<uint64_t> size = table.Size();
  if (!size.ok()) return Fail("size", size.text());
  return *size == kSettings ? 0 : Fail("reader", "there are settings too many");
}

// Uses the current configuration, again and again, until it has used the last one.
int Read(const std::string& pointer_name) {
  const shf::Result<shf::Map> pointer = shf::Map::OpenReadOnly(kMapFolder, pointer_name);
  if (!pointer.ok()) return Fail("pointer", pointer.text());
  shf::Map table;
  int64_t generation = 0;  // of the table
  int64_t seen = 0;
  long long uses = 0;
  while (generation < kGenerations) {
    const shf::Result<int64_t> current = CurrentGeneration(*pointer);
    if (!current.ok()) return Fail("pointer", current.text());
    if (*current < generation) return Fail("reader", "the configuration went back");
    if (*current != generation) {
      shf::Result<shf::Map> opened =
          shf::Map::OpenReadOnly(kMapFolder, NameOf(pointer_name, *current));
      // The next was published since the Get, and this one is gone: then the pointer has moved.
      if (opened.status() == shf::Status::kNotFound) continue;
      if (!opened.ok()) return Fail("reader", opened.text());
      table = std::move(opened).value();  // lets go of the old one
      generation = *current;
      ++seen;
    }
    if (CheckWhole(table, generation) != 0) return 1;
    ++uses;
  }
  if (table.Put(KeyOf(0), "mine").status() != shf::Status::kReadOnly) {
    return Fail("reader", "it could write");
  }
  std::printf("reader %d: %lld uses, %lld of %lld generations, each of them whole\n",
              static_cast<int>(getpid()), uses, static_cast<long long>(seen),
              static_cast<long long>(kGenerations));
  return 0;
}

// ---- the parent --------------------------------------------------------------------------------

// Whether exactly the maps of two generations are there, the current one and `other`.
int CheckMaps(const shf::Map& pointer, const std::string& pointer_name, int64_t current,
              int64_t other) {
  const shf::Result<int64_t> found = CurrentGeneration(pointer);
  if (!found.ok()) return Fail("pointer", found.text());
  if (*found != current) return Fail("current generation", std::to_string(*found));
  for (int64_t generation = 1; generation <= kGenerations; ++generation) {
    const std::string name = NameOf(pointer_name, generation);
    const shf::Result<shf::Map> table = shf::Map::OpenReadOnly(kMapFolder, name);
    if (!table.ok() && table.status() != shf::Status::kNotFound) return Fail("map", table.text());
    if (table.ok() == (generation == current || generation == other)) continue;
    return Fail(table.ok() ? "left over" : "missing", name);
  }
  return 0;
}

// Two builders are killed, the last one gets to the end. No map is ever left over.
int BuildAll(const shf::Map& pointer, const std::string& pointer_name) {
  constexpr int64_t kMiddle = kGenerations / 2;
  const auto build = [&](Death death) {
    return examples::Wait(
        examples::Start([&] { return Build(pointer, pointer_name, kGenerations, death); }));
  };
  const auto check = [&](int64_t current, int64_t other) {
    return CheckMaps(pointer, pointer_name, current, other);
  };
  if (!examples::Killed(build(Death::kHalfWay))) return Fail("builder", "it should be dead");
  if (check(kMiddle, kMiddle + 1) != 0) return 1;
  if (!examples::Killed(build(Death::kPublished))) return Fail("builder", "it should be dead");
  if (check(kMiddle + 1, kMiddle) != 0) return 1;
  if (build(Death::kNone) != 0) return 1;
  return check(kGenerations, kGenerations - 1);
}

int Run(const shf::Map& pointer, const std::string& pointer_name, int readers_wanted) {
  int code = Build(pointer, pointer_name, 1, Death::kNone);
  if (code != 0) return code;
  std::vector<pid_t> readers;
  for (int i = 0; i < readers_wanted; ++i) {
    readers.push_back(examples::Start([&] { return Read(pointer_name); }));
  }
  code = BuildAll(pointer, pointer_name);
  for (const pid_t reader : readers) {
    if (code != 0) examples::Kill(reader);  // what it waits for will not come
    if (examples::Wait(reader) != 0) code = 1;
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const int readers = argc > 1 ? std::atoi(argv[1]) : 3;
  if (argc > 2 || readers < 1 || readers > 64) return Fail("usage", "config_table [1..64]");
  const std::string name = "config-table-" + std::to_string(getpid());
  shf::Options options;
  options.mode = 0644;  // written by the builder, read by everybody
  options.expected_keys = 1;
  const shf::Result<shf::Map> pointer = shf::Map::Create(kMapFolder, name, options);
  if (!pointer.ok()) return Fail("create", pointer.text());
  int code = Run(*pointer, name, readers);
  for (int64_t generation = 1; generation <= kGenerations; ++generation) {
    const shf::Result<void> dropped = Drop(name, generation);
    if (!dropped.ok()) code = Fail("remove", dropped.text());
  }
  const shf::Result<void> removed = shf::Map::Remove(kMapFolder, name);
  return removed.ok() ? code : Fail("remove", removed.text());
}
