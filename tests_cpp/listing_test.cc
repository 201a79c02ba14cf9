// Goal: the maps of a folder are listed with what is true of them, whatever else lies there.
// Method: maps of each kind, files that are none, and users in other processes.
#include <fcntl.h>

#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

namespace {

using shf::Listed;
using shf::Status;
using support::Fork;

shf::Options Small() {
  shf::Options options;
  options.shards = 2;
  options.max_bytes = 2 << 20;
  return options;
}

// A folder in /dev/shm for one test.
class Listing : public testing::Test {
 protected:
  Listing() {
    char name[] = "/dev/shm/shf-test-list-XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  ~Listing() override {
    if (std::system(("rm -r " + folder_).c_str()) != 0) ADD_FAILURE() << folder_;
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name + ".shf"; }

  shf::Map Create(const std::string& name, const shf::Options& options = Small()) const {
    shf::Result<shf::Map> made = shf::Map::Create(folder_, name, options);
    EXPECT_TRUE(made.ok()) << made.text();
    return std::move(made).value();
  }

  std::vector<Listed> List() const {
    shf::Result<std::vector<Listed>> listed = shf::Map::List(folder_);
    EXPECT_TRUE(listed.ok()) << listed.text();
    return std::move(listed).value();
  }

  std::string folder_;
};

TEST_F(Listing, SaysOfEachMapWhatItIs) {
  const auto before = std::chrono::system_clock::now() - std::chrono::seconds(1);
  EXPECT_TRUE(List().empty());
  shf::Options options = Small();
  const shf::Map plain = Create("plain");
  options.evict = true;
  const shf::Map cache = Create("a cache", options);
  options = Small();
  options.durable = true;
  const shf::Map durable = Create("durable", options);
  options = Small();
  options.temporary = true;
  const shf::Map temporary = Create("temporary", options);
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(plain.Put(support::Bytes(i), "value").ok());
  const std::vector<Listed> listed = List();
  ASSERT_EQ(listed.size(), 4u);
  const shf::Map* const maps[] = {&cache, &durable, &plain, &temporary};
  const char* const names[] = {"a cache", "durable", "plain", "temporary"};
  for (size_t i = 0; i < listed.size(); ++i) {
    const Listed& one = listed[i];
    const shf::Stats stats = *maps[i]->GetStats();
    struct stat found {};
    EXPECT_EQ(one.name, names[i]);
    ASSERT_EQ(stat(path(one.name).c_str(), &found), 0);
    EXPECT_EQ(one.status, Status::kOk) << one.text;
    EXPECT_EQ(one.keys, stats.keys);
    EXPECT_EQ(one.committed_bytes, stats.committed_bytes);
    EXPECT_EQ(one.real_bytes, static_cast<uint64_t>(found.st_blocks) * 512);
    EXPECT_EQ(one.apparent_bytes, static_cast<uint64_t>(found.st_size));
    EXPECT_EQ(one.max_bytes, Small().max_bytes);
    EXPECT_GT(one.created, before);
    EXPECT_LE(one.created, std::chrono::system_clock::now());
    EXPECT_EQ(one.evict, one.name == "a cache");
    EXPECT_EQ(one.durable, one.name == "durable");
    EXPECT_EQ(one.temporary, one.name == "temporary");
    EXPECT_EQ(one.users, 1u);
  }
  EXPECT_EQ(listed[2].keys, 1000u);
}

TEST_F(Listing, CountsUsersOfOtherProcessesWhileTheyLive) {
  const support::Watchdog watchdog;
  shf::Map map = Create("map");
  EXPECT_EQ(List()[0].users, 1u);
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = Fork([&] {
    const shf::Result<shf::Map> own = shf::Map::Open(folder_, "map");
    const shf::Result<shf::Map> reader = shf::Map::OpenReadOnly(folder_, "map");
    SHF_REQUIRE(own.ok() && reader.ok() && map.Put("key", "value").ok());
    SHF_REQUIRE(write(ready[1], "y", 1) == 1);
    for (;;) pause();
    return true;
  });
  char byte = 'n';
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(List()[0].users, 3u) << "its own handle, and the one that it inherited";
  EXPECT_EQ(List()[0].keys, 1u);
  kill(child, SIGKILL);
  EXPECT_FALSE(support::Join(child));
  EXPECT_EQ(List()[0].users, 1u);
  map.Detach();
  EXPECT_EQ(List()[0].users, 0u);
  close(ready[0]);
  close(ready[1]);
}

TEST_F(Listing, NamesWhatIsWrongWithAFileAndListsTheOthers) {
  Create("a good one").Detach();
  Create("the last good one").Detach();
  std::ofstream(path("garbage")) << std::string(10000, 'g');
  std::ofstream(path("empty"));
  std::ofstream(folder_ + "/no map at all");
  ASSERT_EQ(mkdir(path("folder").c_str(), 0700), 0);
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const std::vector<Listed> listed = List();
  ASSERT_EQ(listed.size(), 6u);
  for (const Listed& one : listed) {
    if (one.name.find("good") != std::string::npos) {
      EXPECT_EQ(one.status, Status::kOk) << one.text;
    } else {
      const shf::Result<shf::Map> opened = shf::Map::OpenReadOnly(folder_, one.name);
      EXPECT_EQ(one.status, Status::kIncompatible) << one.name;
      EXPECT_EQ(one.text, opened.text());
    }
  }
  EXPECT_EQ(shf::Map::List(folder_ + "/missing").status(), Status::kNotFound);
  EXPECT_EQ(shf::Map::List(path("garbage")).status(), Status::kSystem);
  EXPECT_EQ(shf::Map::List({}).status(), Status::kNotFound);
}

TEST_F(Listing, ShowsWhoMayNotReadAMapThatOnly) {
  if (geteuid() != 0 || !support::OthersReachShm()) {
    GTEST_SKIP() << "becoming another user needs root, and a root folder that others may enter";
  }
  shf::Options options = Small();
  options.mode = 0644;
  const shf::Map open = Create("open", options);
  const shf::Map secret = Create("secret");
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  EXPECT_TRUE(support::InChild([&] {
    SHF_REQUIRE(setgid(65534) == 0 && setuid(65534) == 0);
    const std::vector<Listed> listed = List();
    SHF_REQUIRE(listed.size() == 2);
    SHF_REQUIRE(listed[0].status == Status::kOk && listed[0].users == 1);
    SHF_REQUIRE(listed[1].status == Status::kPermissionDenied);
    return true;
  }));
}

TEST_F(Listing, PassesOverWhatADeadCreatorLeft) {
  const support::Watchdog watchdog;
  shf::Options options = Small();
  options.temporary = true;
  EXPECT_TRUE(support::Join(Fork([&] {
    const shf::Map map = Create("dead", options);
    _exit(0);
    return true;
  })));
  EXPECT_EQ(access(path("dead").c_str(), F_OK), 0);
  EXPECT_TRUE(List().empty());
  EXPECT_NE(access(path("dead").c_str(), F_OK), 0);
}

}  // namespace
