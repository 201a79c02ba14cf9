// Goal: what was acknowledged before Sync() survives a crash of the machine, and a durable map
// knows values that a stranger changed. Method: files as a crash may leave them, each page from
// before or after, under another name: with another inode, a file looks as after a reboot.
#include <fcntl.h>

#include <map>
#include <string>
#include <utility>

#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

constexpr size_t kPageBytes = 4096;
constexpr uint64_t kKeys = 300;

// The pages of a file that are no holes, by number, and its length.
struct Pages {
  off_t bytes = 0;
  std::map<off_t, std::string> pages;
};

Pages ReadPages(const std::string& path) {
  Pages found;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_NE(fd, -1);
  found.bytes = lseek(fd, 0, SEEK_END);
  off_t at = 0;
  while ((at = lseek(fd, at, SEEK_DATA)) != -1) {
    const off_t end = lseek(fd, at, SEEK_HOLE);
    for (; at < end; at += kPageBytes) {
      std::string page(kPageBytes, '\0');
      EXPECT_EQ(pread(fd, page.data(), kPageBytes, at), static_cast<ssize_t>(kPageBytes));
      found.pages[at / static_cast<off_t>(kPageBytes)] = std::move(page);
    }
  }
  close(fd);
  return found;
}

void WritePages(const std::string& path, const Pages& pages) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ASSERT_NE(fd, -1);
  ASSERT_EQ(ftruncate(fd, pages.bytes), 0);
  for (const auto& [number, page] : pages.pages) {
    const off_t at = number * static_cast<off_t>(kPageBytes);
    ASSERT_EQ(pwrite(fd, page.data(), kPageBytes, at), static_cast<ssize_t>(kPageBytes));
  }
  close(fd);
}

// Each page as it was before or after.
Pages Mixed(const Pages& before, const Pages& after, support::Random& random) {
  Pages mixed{before.bytes, before.pages};
  for (const auto& [number, page] : after.pages) {
    if (random.Below(2) == 0) mixed.pages[number] = page;
  }
  return mixed;
}

shf::Options Durable(bool durable = true) {
  shf::Options options;
  options.shards = 2;
  options.max_bytes = 4 << 20;
  options.durable = durable;
  return options;
}

size_t ValueBytes(uint64_t key, uint64_t salt) {
  return (key * 131 + salt * 517) % 20000 / (key % 9 + 1);
}

void PutAll(const shf::Map& map, uint64_t salt, uint64_t first, uint64_t step) {
  for (uint64_t key = first; key < kKeys; key += step) {
    const std::string value = support::ProvenValue(key, salt, ValueBytes(key, salt));
    ASSERT_TRUE(map.Put(support::Bytes(key), value).ok());
  }
}

bool IsSound(const shf::Map& map) {
  const shf::Result<std::vector<shf::Violation>> violations = map.Verify();
  EXPECT_TRUE(violations.ok()) << violations.text();
  for (const shf::Violation& violation : *violations) std::puts(violation.what.c_str());
  return violations->empty();
}

// The salt of a key's value, -1 when it is not there, -2 when it is none of ours.
int64_t Salt(const shf::Map& map, uint64_t key) {
  std::string value;
  const shf::Result<void> got = map.Get(support::Bytes(key), &value);
  if (got.absent()) return -1;
  if (!got.ok() || !support::IsProven(key, value)) return -2;
  uint64_t salt = 0;
  std::memcpy(&salt, value.data() + sizeof key, sizeof salt);
  return static_cast<int64_t>(salt);
}

TEST(Durable, WhatWasSyncedSurvivesWhateverPagesGotToTheDisk) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  const shf::Map map = scratch.Create(Durable());
  PutAll(map, 1, 0, 1);
  ASSERT_TRUE(map.Delete(support::Bytes(0)).ok());
  ASSERT_TRUE(map.Sync().ok());
  const Pages before = ReadPages(scratch.path());
  // Of what follows, nothing need survive.
  PutAll(map, 2, 1, 3);
  for (uint64_t key = 2; key < kKeys; key += 3) ASSERT_TRUE(map.Delete(support::Bytes(key)).ok());
  PutAll(map, 3, 1, 6);
  const Pages after = ReadPages(scratch.path());
  support::Random random(support::Seed());
  for (int round = 0; round < 100; ++round) {
    const Scratch crashed;
    WritePages(crashed.path(), Mixed(before, after, random));
    const shf::Map found = crashed.Open();
    ASSERT_TRUE(found.Recovered().ok());
    ASSERT_TRUE(IsSound(found)) << "round " << round;
    EXPECT_EQ(Salt(found, 0), -1);
    for (uint64_t key = 1; key < kKeys; ++key) {
      const int64_t salt = Salt(found, key);
      const bool replaced = key % 3 == 1 && (salt == 2 || (key % 6 == 1 && salt == 3));
      const bool deleted = key % 3 == 2 && salt == -1;
      ASSERT_TRUE(salt == 1 || replaced || deleted)
          << "round " << round << ", key " << key << ": " << salt;
    }
  }
}

TEST(Durable, ACopyIsRecoveredByWhoeverOpensItForWriting) {
  const Scratch scratch;
  const shf::Map map = scratch.Create(Durable());
  EXPECT_TRUE(map.Recovered().absent());
  PutAll(map, 1, 0, 1);
  ASSERT_TRUE(map.Sync().ok());
  const Scratch copy;
  WritePages(copy.path(), ReadPages(scratch.path()));
  const shf::Result<shf::Map> reader = shf::Map::OpenReadOnly(copy.folder(), copy.name());
  EXPECT_EQ(reader.status(), Status::kNeedsRecovery);
  EXPECT_NE(reader.text().find(copy.name()), std::string::npos) << reader.text();
  {
    const shf::Map recovered = copy.Open();
    const shf::Result<shf::Repaired> what = recovered.Recovered();
    ASSERT_TRUE(what.ok()) << what.text();
    EXPECT_EQ(what->keys, kKeys);
    EXPECT_EQ(what->shards, 2u);
    EXPECT_TRUE(what->lost.empty());
  }
  EXPECT_TRUE(copy.Open().Recovered().absent());
  const shf::Map again = copy.OpenReadOnly();
  EXPECT_EQ(*again.Size(), kKeys);
  for (uint64_t key = 0; key < kKeys; ++key) EXPECT_EQ(Salt(again, key), 1);
}

TEST(Durable, OnlyADurableMapSyncsAndOnlyForWhoMayWrite) {
  const Scratch plain;
  EXPECT_EQ(plain.Create(Durable(false)).Sync().status(), Status::kNotDurable);
  EXPECT_EQ(plain.OpenReadOnly().Sync().status(), Status::kReadOnly);
  const Scratch on_tmpfs;
  EXPECT_EQ(on_tmpfs.Create().Sync().status(), Status::kNotDurable);
  const Scratch scratch;
  const shf::Map map = scratch.Create(Durable());
  EXPECT_TRUE(map.Sync().ok());
  EXPECT_TRUE(map.Sync().ok());
  EXPECT_EQ(scratch.OpenReadOnly().Sync().status(), Status::kReadOnly);
  EXPECT_EQ(shf::Map().Sync().status(), Status::kNotAttached);
  EXPECT_EQ(shf::Map().Recovered().status(), Status::kNotAttached);
}

TEST(Durable, OnADiskItIsTheDefault) {
  SHF_EXPECT_ON_LOOP_DEVICE("mkfs.ext4 -q", 64 << 20, [](const std::string& folder) {
    shf::Options options;
    options.max_bytes = 8 << 20;
    const shf::Result<shf::Map> map = shf::Map::Create(folder, "disk", options);
    SHF_REQUIRE(map.ok());
    SHF_REQUIRE(map->Put("key", "value").ok());
    SHF_REQUIRE(map->Sync().ok());
    options.durable = false;
    const shf::Result<shf::Map> other = shf::Map::Create(folder, "not", options);
    SHF_REQUIRE(other.ok());
    SHF_REQUIRE(other->Sync().status() == Status::kNotDurable);
    return true;
  });
}

TEST(Durable, AValueThatAStrangerChangedIsNamedAndDroppedAlone) {
  const Scratch scratch;
  const shf::Map map = scratch.Create(Durable());
  PutAll(map, 1, 0, 1);
  const std::string marked = "a value that is looked for";
  ASSERT_TRUE(map.Put("marked", marked).ok());
  ASSERT_TRUE(map.Sync().ok());
  ASSERT_TRUE(IsSound(map));
  off_t found = -1;
  for (const auto& [number, page] : ReadPages(scratch.path()).pages) {
    const size_t at = page.find(marked);
    if (at != std::string::npos)
      found = number * static_cast<off_t>(kPageBytes) + static_cast<off_t>(at);
  }
  ASSERT_NE(found, -1);
  const int fd = open(scratch.path().c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_EQ(pwrite(fd, "A", 1, found), 1);
  close(fd);
  const shf::Result<std::vector<shf::Violation>> violations = map.Verify();
  ASSERT_TRUE(violations.ok());
  ASSERT_EQ(violations->size(), 1u);
  EXPECT_GE(violations->front().slot, 0);
  const shf::Result<shf::Repaired> repaired = map.Repair();
  ASSERT_TRUE(repaired.ok()) << repaired.text();
  EXPECT_EQ(repaired->shards, 1u);
  EXPECT_FALSE(repaired->lost.empty());
  EXPECT_TRUE(IsSound(map));
  EXPECT_FALSE(*map.Contains("marked"));
  for (uint64_t key = 0; key < kKeys; ++key) EXPECT_EQ(Salt(map, key), 1);
}

}  // namespace
