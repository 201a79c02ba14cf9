// Goal: the name of a temporary map goes with its creator, however that ends, and with nobody else.
// Method: creators in children that detach, exit, fork, and are killed, beside processes that look.
#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

namespace {

using shf::Status;
using support::Fork;
using support::Scratch;

shf::Options Temporary() {
  shf::Options options;
  options.shards = 2;
  options.max_bytes = 1 << 20;
  options.temporary = true;
  return options;
}

bool Exists(const Scratch& scratch) { return access(scratch.path().c_str(), F_OK) == 0; }

shf::Result<shf::Map> Opening(const Scratch& scratch) {
  return shf::Map::Open(scratch.folder(), scratch.name());
}

// A child that has created the map, and waits to be killed.
class Creator {
 public:
  explicit Creator(const Scratch& scratch) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    child_ = Fork([&] {
      const shf::Map map = scratch.Create(Temporary());
      SHF_REQUIRE(map.Put("key", "value").ok());
      SHF_REQUIRE(write(ready[1], "y", 1) == 1);
      for (;;) pause();
      return true;
    });
    char byte = 'n';
    close(ready[1]);
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
  }
  ~Creator() { Kill(); }
  Creator(const Creator&) = delete;
  Creator& operator=(const Creator&) = delete;
  void Kill() {
    if (child_ == 0) return;
    kill(child_, SIGKILL);
    EXPECT_FALSE(support::Join(child_));
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

TEST(Temporary, TheNameGoesWhenTheCreatorDetaches) {
  const Scratch scratch;
  shf::Map map = scratch.Create(Temporary());
  ASSERT_TRUE(map.Put("key", "value").ok());
  { const shf::Map guest = scratch.Open(); }
  EXPECT_TRUE(Exists(scratch));
  const shf::Map guest = scratch.Open();
  map.Detach();
  EXPECT_FALSE(Exists(scratch));
  EXPECT_EQ(Opening(scratch).status(), Status::kNotFound);
  EXPECT_TRUE(*guest.Contains("key"));
  EXPECT_TRUE(guest.Put("more", "value").ok());
}

TEST(Temporary, TheNameGoesAtExitAndNotWithAChild) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const Scratch other;
  shf::Map map = scratch.Create(Temporary());
  // Children of the creator: one that exits, one that detaches, one that makes a map of its own.
  const auto exits = [&] {
    static const shf::Map* const never_destroyed = new shf::Map(other.Create(Temporary()));
    exit(never_destroyed->attached() ? 0 : 1);
    return false;
  };
  EXPECT_TRUE(support::Join(Fork(exits)));
  EXPECT_FALSE(Exists(other));
  EXPECT_TRUE(Exists(scratch));
  EXPECT_TRUE(support::Join(Fork([&] {
    shf::Map inherited = std::move(map);
    SHF_REQUIRE(inherited.Put("key", "child").ok());
    inherited.Detach();
    return Exists(scratch);
  })));
  EXPECT_TRUE(Exists(scratch));
  EXPECT_TRUE(*scratch.Open().Contains("key"));
}

TEST(Temporary, AfterKillThereIsNoMapForWhoeverLooks) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const auto found = [&](const shf::Result<shf::Map>& map) {
    EXPECT_EQ(map.status(), Status::kNotFound) << map.text();
    EXPECT_FALSE(Exists(scratch));
  };
  Creator(scratch).Kill();
  EXPECT_TRUE(Exists(scratch));
  found(Opening(scratch));
  Creator(scratch).Kill();
  found(shf::Map::OpenReadOnly(scratch.folder(), scratch.name()));
  Creator(scratch).Kill();
  EXPECT_EQ(shf::Map::Remove(scratch.folder(), scratch.name()).status(), Status::kNotFound);
  EXPECT_FALSE(Exists(scratch));
  Creator(scratch).Kill();
  EXPECT_EQ(*scratch.Create(Temporary()).Size(), 0u);
  Creator(scratch).Kill();
  const shf::Result<shf::Map> made = shf::Map::OpenOrCreate(scratch.folder(), scratch.name());
  ASSERT_TRUE(made.ok()) << made.text();
  EXPECT_EQ(*made->Size(), 0u);
  EXPECT_EQ(shf::Map::Create(scratch.folder(), scratch.name()).status(), Status::kAlreadyExists);
}

TEST(Temporary, WhoHasTheMapKeepsItWhenTheCreatorIsKilled) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  Creator creator(scratch);
  shf::Map guest = scratch.Open();
  creator.Kill();
  EXPECT_TRUE(*guest.Contains("key"));
  EXPECT_TRUE(guest.Put("more", "value").ok());
  EXPECT_TRUE(support::Join(Fork([&] { return guest.Put("child", "value").ok(); })));
  guest.Detach();
  EXPECT_FALSE(Exists(scratch)) << "who detaches notices";
}

TEST(Temporary, OfRacingOpenersAndCreatorsNobodyGetsWhatADeadOneLeft) {
  // Method: after each death, processes race to open or create the name; each that gets a map finds
  // one that somebody of this round made, and all who get one at a time share it.
  const support::Watchdog watchdog;
  for (int round = 0; round < 30; ++round) {
    const Scratch scratch;
    Creator(scratch).Kill();
    std::vector<pid_t> children;
    int go[2];
    int done[2];
    ASSERT_EQ(pipe(go), 0);
    ASSERT_EQ(pipe(done), 0);
    for (int racer = 0; racer < 4; ++racer) {
      children.push_back(Fork([&, racer] {
        char byte = 0;
        close(go[1]);
        close(done[1]);
        SHF_REQUIRE(read(go[0], &byte, 1) == 0);
        const bool opens = racer == 0;
        const shf::Result<shf::Map> map =
            opens ? Opening(scratch)
                  : shf::Map::OpenOrCreate(scratch.folder(), scratch.name(), Temporary());
        if (opens && map.status() == Status::kNotFound) return true;
        SHF_REQUIRE(map.ok());
        SHF_REQUIRE(!*map->Contains("key"));
        SHF_REQUIRE(opens || map->Add("racers", 1).ok());
        // Whoever made the map stays until all are counted.
        SHF_REQUIRE(read(done[0], &byte, 1) == 0);
        return true;
      }));
    }
    close(go[0]);
    close(done[0]);
    close(go[1]);
    for (;;) {
      const shf::Result<shf::Map> map = Opening(scratch);
      ASSERT_TRUE(map.ok() || map.status() == Status::kNotFound) << map.text();
      if (map.ok() && *map->Add("racers", 0) == 3) break;
      usleep(200);
    }
    close(done[1]);
    EXPECT_TRUE(support::JoinAll(children));
    EXPECT_FALSE(Exists(scratch));
  }
}

TEST(Temporary, IsNotDurable) {
  const Scratch scratch;
  shf::Options options = Temporary();
  options.durable = true;
  const shf::Result<shf::Map> refused = shf::Map::Create(scratch.folder(), scratch.name(), options);
  EXPECT_EQ(refused.status(), Status::kInvalidArgument);
  EXPECT_NE(refused.text().find("option temporary"), std::string::npos) << refused.text();
}

}  // namespace
