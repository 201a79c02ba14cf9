// A log shipper that remembers how far it has read each file, across restarts and rotation.
//
//   log_positions <map> <file>...   prints the lines that are new since the last run, in order
//   log_positions                   tries that on small logs of its own, and checks the outcome
//
// A position belongs to the file and not to its name, so its key is "device:inode". When the log is
// rotated, app.log becomes app.log.1 and keeps its position: the lines that were written after the
// last run and before the rotation are read from there, then the new app.log from its start. Only
// one rotation between two runs is followed, and half a line waits for the next run.
//
// A number of an inode is used again once its file is deleted, and a file may be emptied in place.
// So the value holds, beside the position, the first bytes of the file: where they differ now, it
// is another file and is read from its start.
//
// Two limits. With `copytruncate` of logrotate, app.log.1 is a new file and every line comes twice;
// use its default, which renames. And a file that was emptied in place and begins anew with the
// same bytes as before (the first 64, or as many as had been read) is taken for the old one: once
// it is as long again, the lines up to the old position are lost.
//
// Lines are printed first and the position is stored then: a kill -9 between the two repeats them,
// and none are lost. The map lies in /dev/shm and lasts until the machine restarts. Do not run two
// at once with the same map: each would print the lines.

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <vector>

#include "helpers.hpp"
#include "shf/map.hpp"

namespace {

using examples::Fail;

// ---- the shipper -------------------------------------------------------------------------------

constexpr size_t kHeadBytes = 64;
constexpr int kLinesAtOnce = 1000;

// What is stored: the position, and as many of the file's first bytes as lie before it.
std::string Encode(int64_t position, std::string_view head) {
  std::string value(reinterpret_cast<const char*>(&position), sizeof position);
  return value.append(head.substr(0, static_cast<size_t>(position)));
}

// The position in the value, or 0 where the file that it was made of began otherwise.
int64_t Decode(const std::string& value, std::string_view head) {
  int64_t position = 0;
  if (value.size() < sizeof position) return 0;
  std::memcpy(&position, value.data(), sizeof position);
  const std::string_view then = std::string_view(value).substr(sizeof position);
  return head.substr(0, then.size()) == then ? position : 0;
}

// Prints the new whole lines of an open file.
int ShipOpen(const shf::Map& map, std::FILE* file, const struct stat& status) {
  const std::string key = std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
  char head_bytes[kHeadBytes];
  const std::string_view head(head_bytes, std::fread(head_bytes, 1, sizeof head_bytes, file));
  std::string value;
  const shf::Result<void> got = map.Get(key, &value);
  if (!got.ok() && !got.absent()) return Fail("get", got.text());
  int64_t position = Decode(value, head);
  if (position > status.st_size) position = 0;  // emptied, and filled with less
  if (fseeko(file, position, SEEK_SET) != 0) return Fail("seek", std::strerror(errno));

  std::string line;
  for (bool more = true; more;) {
    const int64_t stored = position;
    for (int lines = 0; more && lines < kLinesAtOnce; ++lines) {
      line.clear();
      int byte = EOF;
      while ((byte = std::getc(file)) != EOF && byte != '\n') line += static_cast<char>(byte);
      more = byte == '\n';
      if (!more) break;
      line += '\n';
      position += static_cast<int64_t>(line.size());
      std::fwrite(line.data(), 1, line.size(), stdout);
    }
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      return Fail("print", std::strerror(errno));
    if (position == stored) break;
    const shf::Result<shf::Placed> placed = map.Put(key, Encode(position, head));
    if (!placed.ok()) return Fail("put", placed.text());
  }
  return 0;
}

// The same for a path; a file that is not there has no lines.
int ShipFile(const shf::Map& map, const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return errno == ENOENT ? 0 : Fail(path.c_str(), std::strerror(errno));
  struct stat status {};
  const int code = fstat(fileno(file), &status) == 0 ? ShipOpen(map, file, status)
                                                     : Fail(path.c_str(), std::strerror(errno));
  std::fclose(file);
  return code;
}

int Ship(const std::string& map_name, const std::vector<std::string>& paths) {
  const shf::Result<shf::Map> map = shf::Map::OpenOrCreate(examples::kMapFolder, map_name);
  if (!map.ok()) return Fail("open", map.text());
  for (const std::string& path : paths) {
    // The rotated file first: its lines are older.
    for (const std::string& file : {path + ".1", path}) {
      if (ShipFile(*map, file) != 0) return 1;
    }
  }
  return 0;
}

// ---- the trial ---------------------------------------------------------------------------------

void Append(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Runs this program, as a user would: each run is a new process that knows the map's name only.
// Then compares all that has been shipped with what should have been.
bool RunAndCompare(const std::string& map_name, const std::string& log, const std::string& shipped,
                   const std::string& expected) {
  const pid_t child = examples::Start([&] {
    if (std::freopen(shipped.c_str(), "a", stdout) == nullptr) return 1;
    execl("/proc/self/exe", "log_positions", map_name.c_str(), log.c_str(), nullptr);
    return 1;
  });
  if (examples::Wait(child) != 0) return Fail("run", "the shipper failed"), false;
  if (Contents(shipped) == expected) return true;
  std::fprintf(stderr, "shipped:\n%s\nexpected:\n%s\n", Contents(shipped).c_str(),
               expected.c_str());
  return false;
}

bool Try(const std::string& map_name, const std::string& folder) {
  const std::string log = folder + "/app.log";
  const std::string shipped = folder + "/shipped";
  std::string expected;
  const auto run = [&] { return RunAndCompare(map_name, log, shipped, expected); };
  const auto write = [&](const std::string& lines) {
    Append(log, lines);
    expected += lines;
  };
  for (int day = 1; day <= 5; ++day) {
    const std::string today = "day " + std::to_string(day);
    write(today + ": first line\n" + today + ": second line\n");
    if (!run() || !run()) return false;  // the second run has nothing to ship
    Append(log, today + ": half");       // this waits until the line is whole
    if (!run()) return false;
    expected += today + ": half";
    write(" a line, before the rotation\n");
    std::error_code error;
    std::filesystem::rename(log, log + ".1", error);  // drops yesterday's: its inode is free again
    if (error) return Fail("rename", error.message()), false;
    write(today + ": after the rotation, in the new file\n");
    if (!run()) return false;
  }
  std::error_code error;
  std::filesystem::resize_file(log, 0, error);
  if (error) return Fail("resize", error.message()), false;
  write("a file emptied in place, and filled with more than it had before, is a new one\n");
  if (!run()) return false;
  std::printf("shipped %lld lines of 5 days, each once\n",
              static_cast<long long>(std::count(expected.begin(), expected.end(), '\n')));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return Fail("usage", "log_positions [<map> <file>...]");
  if (argc > 2) return Ship(argv[1], std::vector<std::string>(argv + 2, argv + argc));
  std::string folder = (std::filesystem::temp_directory_path() / "log-positions-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return Fail("mkdtemp", std::strerror(errno));
  const std::string name = "log-positions-" + std::to_string(getpid());
  const bool good = Try(name, folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  const shf::Result<void> removed = shf::Map::Remove(examples::kMapFolder, name);
  if (!removed.ok()) return Fail("remove", removed.text());
  return good ? 0 : 1;
}
