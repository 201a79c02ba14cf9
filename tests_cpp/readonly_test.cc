// Goal: reading needs no permission to write and changes nothing. Method: a file of mode 0400, read
// by a process that is not root, while the owner of the first handle writes.
#include <fcntl.h>
#include <grp.h>

#include <fstream>
#include <sstream>
#include <string>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

constexpr uid_t kNobody = 65534;

// Runs check in a child that root's powers do not help.
template <typename Check>
bool InUnprivilegedChild(Check check) {
  return support::InChild([&] {
    if (geteuid() == 0) {
      SHF_REQUIRE(setgroups(0, nullptr) == 0);
      SHF_REQUIRE(setgid(kNobody) == 0 && setuid(kNobody) == 0);
    }
    return check();
  });
}

// A map whose file its owner, kNobody when we are root, may only read.
shf::Map CreateUnwritable(const Scratch& scratch) {
  shf::Options options;
  options.mode = 0400;
  shf::Map map = scratch.Create(options);
  if (geteuid() == 0) {
    EXPECT_EQ(chown(scratch.path().c_str(), kNobody, kNobody), 0);
  }
  struct stat status {};
  EXPECT_EQ(stat(scratch.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0400u);
  return map;
}

TEST(ReadOnly, AFileWithoutWritePermissionIsReadAndItsWriterSeen) {
  if (!support::OthersReachShm()) GTEST_SKIP() << "others may not enter / here";
  const Scratch scratch;
  const shf::Map map = CreateUnwritable(scratch);
  for (uint64_t i = 0; i < 10000; ++i) {
    ASSERT_TRUE(map.Put(support::Bytes(i), support::ProvenValue(i, 0, i % 60)).ok());
  }
  EXPECT_TRUE(InUnprivilegedChild([&] {
    const shf::Result<shf::Map> reader = shf::Map::OpenReadOnly(scratch.folder(), scratch.name());
    if (!reader.ok()) std::fprintf(stderr, "%s\n", reader.text().c_str());
    SHF_REQUIRE(reader.ok() && reader->read_only());
    std::string value;
    for (uint64_t i = 0; i < 10000; ++i) {
      SHF_REQUIRE(reader->Get(support::Bytes(i), &value).ok());
      SHF_REQUIRE(value == support::ProvenValue(i, 0, i % 60));
    }
    SHF_REQUIRE(reader->Get("absent", &value).absent());
    SHF_REQUIRE(*reader->Size() == 10000);
    return true;
  }));
}

TEST(ReadOnly, OpeningForWritingWithoutPermissionIsDenied) {
  if (!support::OthersReachShm()) GTEST_SKIP() << "others may not enter / here";
  const Scratch scratch;
  const shf::Map map = CreateUnwritable(scratch);
  EXPECT_TRUE(InUnprivilegedChild([&] {
    const shf::Result<shf::Map> writer = shf::Map::Open(scratch.folder(), scratch.name());
    SHF_REQUIRE(writer.status() == Status::kPermissionDenied);
    SHF_REQUIRE(writer.text().find(scratch.name()) != std::string::npos);
    SharedHashFile classic;
    SHF_REQUIRE(!classic.Attach(scratch.folder().c_str(), scratch.name().c_str()));
    SHF_REQUIRE(classic.LastStatus() == Status::kPermissionDenied);
    return true;
  }));
}

TEST(ReadOnly, AGroupThatTheProcessIsNoMemberOfIsDeniedByName) {
  if (!support::OthersReachShm()) GTEST_SKIP() << "others may not enter / here";
  const Scratch scratch;
  EXPECT_TRUE(InUnprivilegedChild([&] {
    shf::Options options;
    options.group = 64242;
    const shf::Result<shf::Map> map = shf::Map::Create(scratch.folder(), scratch.name(), options);
    SHF_REQUIRE(map.status() == Status::kPermissionDenied);
    SHF_REQUIRE(map.text().find("option group") != std::string::npos);
    SHF_REQUIRE(map.text().find("64242") != std::string::npos);
    SHF_REQUIRE(access(scratch.path().c_str(), F_OK) != 0);
    return true;
  }));
}

TEST(ReadOnly, EveryWriteThroughAReadOnlyHandleIsRefused) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  ASSERT_TRUE(map.Put("key", "value").ok());
  SharedHashFile classic;
  classic.map() = scratch.OpenReadOnly();
  const shf::Map& reader = classic.map();
  EXPECT_TRUE(reader.read_only());
  EXPECT_FALSE(map.read_only());
  EXPECT_EQ(reader.Put("key", "other").status(), Status::kReadOnly);
  EXPECT_EQ(reader.Put("fresh", "other").status(), Status::kReadOnly);
  EXPECT_EQ(reader.Delete("key").status(), Status::kReadOnly);
  EXPECT_EQ(reader.Add("count", 1).status(), Status::kReadOnly);
  EXPECT_EQ(reader.Clear().status(), Status::kReadOnly);
  EXPECT_NE(reader.Put("key", "other").text(), "");
  classic.MakeHash("key", 3);
  EXPECT_EQ(classic.PutVal("other", 5), SHF_UID_NONE);
  EXPECT_EQ(classic.LastStatus(), Status::kReadOnly);
  EXPECT_FALSE(classic.DelKey());
  EXPECT_EQ(classic.LastStatus(), Status::kReadOnly);
  EXPECT_TRUE(classic.GetCopyViaKey());
  EXPECT_EQ(std::string(shf_val, shf_val_len), "value");
}

TEST(ReadOnly, ReadingChangesNoByteOfTheFile) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 1 << 20;
  {
    const shf::Map map = scratch.Create(options);
    for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
  }
  const auto contents = [&] {
    std::ostringstream bytes;
    bytes << std::ifstream(scratch.path(), std::ios::binary).rdbuf();
    return bytes.str();
  };
  const std::string before = contents();
  struct stat status_before {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status_before), 0);
  {
    const shf::Map reader = scratch.OpenReadOnly();
    std::string value;
    for (uint64_t i = 0; i < 2000; ++i) {
      ASSERT_EQ(reader.Get(support::Bytes(i), &value).ok(), i < 1000);
      ASSERT_EQ(*reader.Contains(support::Bytes(i)), i < 1000);
    }
    uint64_t count = 0;
    const auto visit = [](void* context, std::string_view, std::string_view) {
      ++*static_cast<uint64_t*>(context);
      return true;
    };
    ASSERT_TRUE(reader.ForEach(visit, &count).ok());
    EXPECT_GE(count, 1000u);
    EXPECT_EQ(reader.GetStats()->keys, 1000u);
  }
  struct stat status_after {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status_after), 0);
  EXPECT_EQ(status_before.st_blocks, status_after.st_blocks);
  EXPECT_TRUE(before == contents());
}

TEST(ReadOnly, AReaderFollowsAWriterThatSplitsAndReusesMemory) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(map.Put(support::Bytes(i), support::ProvenValue(i, 0, 30)).ok());
  }
  const pid_t writer = support::Fork([&] {
    const shf::Map own = scratch.Open();
    for (uint64_t round = 0; round < 300; ++round) {
      for (uint64_t i = 0; i < 100; ++i) {
        SHF_REQUIRE(
            own.Put(support::Bytes(i), support::ProvenValue(i, round, (round + i) % 200)).ok());
        SHF_REQUIRE(own.Put("filler " + std::to_string(round * 100 + i), "x").ok());
      }
    }
    return true;
  });
  const shf::Map reader = scratch.OpenReadOnly();
  std::string value;
  while (*reader.Size() < 100 + 300 * 100) {
    for (uint64_t i = 0; i < 100; ++i) {
      const shf::Result<void> got = reader.Get(support::Bytes(i), &value);
      if (got.status() == Status::kBusy) continue;
      ASSERT_TRUE(got.ok()) << i << " " << got.text();
      ASSERT_TRUE(support::IsProven(i, value));
    }
    // A writer that failed would be waited for in vain.
    siginfo_t ended{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(writer), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    if (ended.si_pid == writer) break;
  }
  EXPECT_TRUE(support::Join(writer));
  EXPECT_EQ(*reader.Size(), 100u + 300 * 100);
}

}  // namespace
