// Goal: a map without a name is one map for all who have it, by inheritance or by its descriptor,
// and goes with the last of them. Method: children, kill -9, descriptors sent over a socket.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "support.hpp"

namespace {

using shf::Access;
using shf::Status;
using support::Fork;
using support::Scratch;

shf::Options Small() {
  shf::Options options;
  options.shards = 4;
  options.max_bytes = 8 << 20;
  return options;
}

shf::Map Anonymous() {
  shf::Result<shf::Map> made = shf::Map::CreateAnonymous(Small());
  EXPECT_TRUE(made.ok()) << made.text();
  return std::move(made).value();
}

// Sends a descriptor over a socket.
bool Send(int socket, int descriptor) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return sendmsg(socket, &message, 0) == 1;
}

// Waits for a descriptor; -1: none came.
int Receive(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  int descriptor = -1;
  if (header != nullptr) std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
  return descriptor;
}

TEST(Anonymous, ChildrenAndTheirParentWriteToOneMap) {
  const support::Watchdog watchdog;
  const shf::Map map = Anonymous();
  constexpr uint64_t kKeys = 2000;
  const auto work = [&](uint64_t writer) {
    for (uint64_t i = 0; i < kKeys; ++i) {
      SHF_REQUIRE(
          map.Put(support::Bytes(writer << 32 | i), support::ProvenValue(i, writer, 20)).ok());
    }
    return true;
  };
  std::vector<pid_t> children;
  for (uint64_t writer = 1; writer < 4; ++writer) {
    children.push_back(Fork([&, writer] { return work(writer); }));
  }
  EXPECT_TRUE(work(0));
  EXPECT_TRUE(support::JoinAll(children));
  EXPECT_EQ(*map.Size(), 4 * kKeys);
  std::string value;
  for (uint64_t writer = 0; writer < 4; ++writer) {
    for (uint64_t i = 0; i < kKeys; ++i) {
      ASSERT_TRUE(map.Get(support::Bytes(writer << 32 | i), &value).ok());
      ASSERT_TRUE(support::IsProven(i, value));
    }
  }
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Anonymous, AChildKilledWhileItPutsCostsTheOthersNothing) {
  const support::Watchdog watchdog;
  shf::Options options = Small();
  options.shards = 1;
  const shf::Map map = std::move(shf::Map::CreateAnonymous(options)).value();
  for (int round = 0; round < 30; ++round) {
    const pid_t child = Fork([&] {
      for (uint64_t i = 0;; ++i) {
        SHF_REQUIRE(
            map.Put(support::Bytes(i % 500), support::ProvenValue(i % 500, i, i % 300)).ok());
      }
    });
    usleep(1000 + 217 * round);
    kill(child, SIGKILL);
    EXPECT_FALSE(support::Join(child));
    EXPECT_TRUE(map.Put("ours", std::to_string(round)).ok());
    EXPECT_TRUE(support::Join(Fork([&] { return map.Put("theirs", "sibling").ok(); })));
  }
  std::string value;
  for (uint64_t i = 0; i < 500; ++i) {
    const shf::Result<void> got = map.Get(support::Bytes(i), &value);
    ASSERT_TRUE(got.ok() || got.absent()) << got.text();
    ASSERT_TRUE(got.absent() || support::IsProven(i, value));
  }
  EXPECT_TRUE(map.Verify()->empty());
}

TEST(Anonymous, AnUnrelatedProcessGetsTheMapByADescriptor) {
  const support::Watchdog watchdog;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  // Forked before there is a map.
  const pid_t child = Fork([&] {
    const int descriptor = Receive(ends[1]);
    SHF_REQUIRE(descriptor >= 0);
    const shf::Result<shf::Map> map = shf::Map::OpenDescriptor(descriptor);
    SHF_REQUIRE(map.ok() && !map->read_only());
    SHF_REQUIRE(fcntl(descriptor, F_GETFD) >= 0);  // still the caller's
    close(descriptor);
    std::string value;
    SHF_REQUIRE(map->Get("question", &value).ok() && value == "what?");
    for (uint64_t i = 0; i < 3000; ++i) SHF_REQUIRE(map->Put(support::Bytes(i), "12345678").ok());
    return map->Put("answer", "that").ok();
  });
  const shf::Map map = Anonymous();
  ASSERT_TRUE(map.Put("question", "what?").ok());
  const shf::Result<int> descriptor = map.Descriptor();
  ASSERT_TRUE(descriptor.ok()) << descriptor.text();
  EXPECT_EQ(fcntl(*descriptor, F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(Send(ends[0], *descriptor));
  close(*descriptor);
  EXPECT_TRUE(support::Join(child));
  std::string value;
  EXPECT_TRUE(map.Get("answer", &value).ok());
  EXPECT_EQ(value, "that");
  EXPECT_EQ(*map.Size(), 3002u);
  close(ends[0]);
  close(ends[1]);
}

TEST(Anonymous, TheMapOutlivesItsMakerAndNotTheLastWhoHasIt) {
  const support::Watchdog watchdog;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const pid_t maker = Fork([&] {
    const shf::Map map = Anonymous();
    SHF_REQUIRE(map.Put("key", "from the dead").ok());
    return Send(ends[1], *map.Descriptor());
  });
  EXPECT_TRUE(support::Join(maker));
  const int descriptor = Receive(ends[0]);
  ASSERT_GE(descriptor, 0);
  shf::Map map = std::move(shf::Map::OpenDescriptor(descriptor)).value();
  std::string value;
  EXPECT_TRUE(map.Get("key", &value).ok());
  EXPECT_EQ(value, "from the dead");
  struct stat found {};
  ASSERT_EQ(fstat(descriptor, &found), 0);
  EXPECT_EQ(found.st_nlink, 0u);
  close(descriptor);
  map.Detach();
  const std::string command = "ls -lL /proc/" + std::to_string(getpid()) + "/fd -i | grep -q '^ *" +
                              std::to_string(found.st_ino) + " '";
  EXPECT_NE(std::system(command.c_str()), 0) << "this process has it still";
  close(ends[0]);
  close(ends[1]);
}

TEST(Anonymous, ItsLengthIsSealed) {
  const shf::Map map = Anonymous();
  const int descriptor = *map.Descriptor();
  struct stat found {};
  ASSERT_EQ(fstat(descriptor, &found), 0);
  for (const off_t bytes : {off_t{0}, found.st_size - 1, found.st_size + 1}) {
    EXPECT_EQ(ftruncate(descriptor, bytes), -1);
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_EQ(fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE), -1);
  for (uint64_t i = 0; i < 5000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  close(descriptor);
}

TEST(Anonymous, AFullMapIsAnErrorAndStaysUsable) {
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 256 << 10;
  const shf::Map map = std::move(shf::Map::CreateAnonymous(options)).value();
  shf::Result<shf::Placed> put = map.Put("first", std::string(1000, 'x'));
  for (uint64_t i = 0; put.ok(); ++i) put = map.Put(support::Bytes(i), std::string(1000, 'x'));
  EXPECT_EQ(put.status(), Status::kNoSpace) << put.text();
  EXPECT_TRUE(*map.Contains("first"));
  EXPECT_TRUE(*map.Delete("first"));
  EXPECT_TRUE(map.Put("first", "again").ok());
}

TEST(Anonymous, OptionsThatMeanNothingForItAreRefused) {
  const auto refused = [](const shf::Options& options, const char* named) {
    const shf::Result<shf::Map> made = shf::Map::CreateAnonymous(options);
    EXPECT_EQ(made.status(), Status::kInvalidArgument);
    EXPECT_NE(made.text().find(std::string("option ") + named), std::string::npos) << made.text();
  };
  shf::Options options = Small();
  options.mode = 0644;
  refused(options, "mode");
  options = Small();
  options.group = getegid();
  refused(options, "group");
  options = Small();
  options.durable = true;
  refused(options, "durable");
  options = Small();
  options.temporary = true;
  refused(options, "temporary");
}

TEST(Anonymous, ADaemonThatClosedWhatItInheritedIsToldSo) {
  const support::Watchdog watchdog;
  const shf::Map map = Anonymous();
  ASSERT_TRUE(map.Put("key", "value").ok());
  EXPECT_TRUE(support::Join(Fork([&] {
    for (int fd = 3; fd < 1024; ++fd) close(fd);
    std::string value;
    SHF_REQUIRE(map.Get("key", &value).ok() && value == "value");
    SHF_REQUIRE(map.Put("key", "daemon").status() == Status::kSystem);
    SHF_REQUIRE(map.Descriptor().status() == Status::kSystem);
    return true;
  })));
  EXPECT_TRUE(map.Put("key", "ours").ok());
}

TEST(Descriptor, OfANamedMapOpensItWithTheAccessThatItHas) {
  const Scratch scratch;
  const shf::Map map = scratch.Create(Small());
  ASSERT_TRUE(map.Put("key", "value").ok());
  const int writable = *map.Descriptor();
  const int readable = *scratch.OpenReadOnly().Descriptor();
  const shf::Map writer = std::move(shf::Map::OpenDescriptor(writable)).value();
  EXPECT_TRUE(writer.Put("key", "other").ok());
  const shf::Map reader = std::move(shf::Map::OpenDescriptor(writable, Access::kReadOnly)).value();
  EXPECT_TRUE(reader.read_only());
  const shf::Map only = std::move(shf::Map::OpenDescriptor(readable)).value();
  EXPECT_TRUE(only.read_only());
  std::string value;
  EXPECT_TRUE(only.Get("key", &value).ok());
  EXPECT_EQ(value, "other");
  EXPECT_EQ(only.Put("key", "x").status(), Status::kReadOnly);
  close(writable);
  close(readable);
}

TEST(Descriptor, OfWhatIsNoMapIsRefused) {
  EXPECT_EQ(shf::Map::OpenDescriptor(-1).status(), Status::kInvalidArgument);
  EXPECT_EQ(shf::Map::OpenDescriptor(1023).status(), Status::kSystem);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(shf::Map::OpenDescriptor(ends[0]).status(), Status::kIncompatible);
  EXPECT_EQ(shf::Map::OpenDescriptor(ends[1]).status(), Status::kPermissionDenied);
  close(ends[0]);
  close(ends[1]);
  const int memory = memfd_create("garbage", MFD_CLOEXEC);
  EXPECT_EQ(shf::Map::OpenDescriptor(memory).status(), Status::kIncompatible);
  ASSERT_EQ(ftruncate(memory, 1 << 20), 0);
  const shf::Result<shf::Map> refused = shf::Map::OpenDescriptor(memory);
  EXPECT_EQ(refused.status(), Status::kIncompatible);
  EXPECT_NE(refused.text().find("magic"), std::string::npos) << refused.text();
  close(memory);
  EXPECT_EQ(shf::Map().Descriptor().status(), Status::kNotAttached);
}

}  // namespace
