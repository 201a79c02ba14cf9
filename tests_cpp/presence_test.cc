// Goal: processes see who else is attached, who leads, and who came and went, whatever became of
// them. Method: forked children that attach under names, lead, count, and are killed.
#include <sys/mman.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "support.hpp"

namespace {

using shf::Role;
using shf::Status;
using support::Fork;
using support::Scratch;

shf::Options Named(const std::string& application, Role role = Role::kNone) {
  shf::Options options;
  options.application = application;
  options.role = role;
  return options;
}

// A child that attaches, does something, says that it has, and waits to be killed.
template <typename Work>
pid_t Attached(const Scratch& scratch, const shf::Options& options, Work work) {
  int ready[2];
  if (pipe(ready) != 0) return -1;
  const pid_t child = Fork([&] {
    const shf::Result<shf::Map> map = shf::Map::Open(scratch.folder(), scratch.name(), options);
    SHF_REQUIRE(map.ok() && work(*map));
    SHF_REQUIRE(write(ready[1], "y", 1) == 1);
    for (;;) pause();
    return true;
  });
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  return child;
}

void Kill(pid_t child) {
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

std::vector<std::string> Polled(shf::Watch* watch) {
  std::vector<std::string> told;
  const shf::Result<std::vector<shf::Event>> events = watch->Poll();
  EXPECT_TRUE(events.ok()) << events.text();
  for (const shf::Event& event : *events) {
    told.push_back((event.joined ? "+" : "-") + event.process.application);
  }
  return told;
}

TEST(Presence, ProcessesAreSeenAsTheySayWithWhatTheyHaveDoneAsLongAsTheyLive) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  (void)scratch.Create();
  const shf::Result<shf::Map> map = shf::Map::Open("/dev/shm", scratch.name(), Named("test"));
  ASSERT_TRUE(map.ok()) << map.text();
  shf::Watch watch = map->WatchProcesses();
  EXPECT_EQ(Polled(&watch), std::vector<std::string>{"+test"});
  const pid_t child = Attached(scratch, Named("child", Role::kConsumer), [](const shf::Map& own) {
    std::string value;
    for (uint64_t i = 0; i < 32; ++i) SHF_REQUIRE(own.Put(support::Bytes(i), "value").ok());
    for (uint64_t i = 0; i < 40; ++i) (void)own.Get(support::Bytes(i), &value);
    return own.Processes().ok();  // publishes
  });
  const shf::Result<std::vector<shf::Process>> seen = map->Processes();
  ASSERT_TRUE(seen.ok()) << seen.text();
  ASSERT_EQ(seen->size(), 2u);
  for (const shf::Process& process : *seen) {
    EXPECT_EQ(process.is_this, process.application == "test");
    EXPECT_GT(process.attached_ns, 0u);
    if (process.is_this) continue;
    EXPECT_EQ(process.application, "child");
    EXPECT_EQ(process.pid, static_cast<uint32_t>(child));
    EXPECT_EQ(process.role, Role::kConsumer);
    EXPECT_EQ(process.counts.puts, 32u);
    EXPECT_EQ(process.counts.hits, 32u);
    EXPECT_EQ(process.counts.misses, 8u);
  }
  EXPECT_EQ(Polled(&watch), std::vector<std::string>{"+child"});
  Kill(child);
  EXPECT_EQ(Polled(&watch), std::vector<std::string>{"-child"});
  const shf::Map reader = scratch.OpenReadOnly();
  EXPECT_EQ(reader.Processes()->size(), 1u);
}

TEST(Presence, ALeaderIsOneAtATimeAndItsDeathMakesRoomForTheNext) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const pid_t leader = Attached(scratch, Named("leader", Role::kLeader), [](const shf::Map& own) {
    return *own.GetRole() == Role::kLeader;
  });
  EXPECT_EQ(map.SetRole(Role::kLeader).status(), Status::kAlreadyLed);
  EXPECT_EQ(shf::Map::Open("/dev/shm", scratch.name(), Named("", Role::kLeader)).status(),
            Status::kAlreadyLed);
  Kill(leader);
  EXPECT_TRUE(map.SetRole(Role::kLeader).ok());
  EXPECT_EQ(*map.GetRole(), Role::kLeader);
  EXPECT_EQ(scratch.Open().SetRole(Role::kLeader).status(), Status::kAlreadyLed);
}

TEST(Presence, NamesThatDoNotFitAreRefusedWithBothLengths) {
  const Scratch scratch;
  (void)scratch.Create();
  const auto refused = [&](const std::string& name) {
    const auto opened = shf::Map::Open("/dev/shm", scratch.name(), Named(name));
    EXPECT_EQ(opened.status(), Status::kInvalidArgument);
    return opened.text();
  };
  const std::string text = refused(std::string(33, 'x'));
  EXPECT_NE(text.find("32"), std::string::npos) << text;
  EXPECT_NE(text.find("33"), std::string::npos) << text;
  EXPECT_NE(refused("a\x80").find("UTF-8"), std::string::npos);
  EXPECT_NE(refused("a\n").find("control"), std::string::npos);
  EXPECT_TRUE(shf::Map::Open("/dev/shm", scratch.name(), Named(std::string(32, 'x'))).ok());
}

TEST(Presence, AWatchEndsWithTheMapThatMadeIt) {
  const Scratch scratch;
  shf::Map map = scratch.Create();
  shf::Watch watch = map.WatchProcesses();
  EXPECT_EQ(watch.Poll()->size(), 1u);
  map.Detach();
  EXPECT_EQ(watch.Poll().status(), Status::kNotAttached);
  EXPECT_TRUE(scratch.Open().Processes()->front().is_this) << "the watch keeps nobody attached";
  EXPECT_EQ(scratch.Open().Processes()->size(), 1u);
  shf::Watch none = shf::Map().WatchProcesses();
  EXPECT_EQ(none.Poll().status(), Status::kNotAttached);
  none = std::move(watch);
  EXPECT_EQ(watch.Poll().status(), Status::kNotAttached);  // NOLINT: moved from
}

TEST(Presence, AWatchDoesNotKeepItsMapFromBeingFrozenAndEndsWithThat) {
  const Scratch scratch;
  shf::Map map = scratch.Create();
  shf::Watch watch = map.WatchProcesses();
  EXPECT_EQ(watch.Poll()->size(), 1u);
  const shf::Result<void> frozen = map.Freeze();
  ASSERT_TRUE(frozen.ok()) << frozen.text();
  EXPECT_TRUE(map.frozen());
  EXPECT_EQ(watch.Poll().status(), Status::kNotAttached);
}

}  // namespace
