// Goal: a full map is an error and not a crash: what was put stays readable, deletes work, and
// writes go on. Method: a tmpfs of 16 MiB, and ext4 and xfs on small loop devices, in a mount
// namespace of a child, and maps with a maximum.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::ProvenValue;
using support::Scratch;

constexpr size_t kValueBytes = 1000;

// Puts numbered keys until one fails; the number of keys, or 0 when the failure is another one.
uint64_t Fill(const shf::Map& map) {
  for (uint64_t i = 0;; ++i) {
    const shf::Result<shf::Placed> put = map.Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes));
    if (put.ok()) continue;
    if (put.status() == Status::kNoSpace && !put.text().empty()) return i;
    std::fprintf(stderr, "put %llu: %s\n", static_cast<unsigned long long>(i), put.text().c_str());
    return 0;
  }
}

bool AllReadable(const shf::Map& map, uint64_t from, uint64_t to) {
  std::string value;
  for (uint64_t i = from; i < to; ++i) {
    SHF_REQUIRE(map.Get(support::Bytes(i), &value).ok());
    SHF_REQUIRE(value == ProvenValue(i, 0, kValueBytes));
  }
  return true;
}

// Full, half deleted, and in use again. The map's owner may do something with it once it is full.
template <typename WhenFull>
bool SurvivesBeingFull(const shf::Map& map, uint64_t keys_min, WhenFull when_full) {
  const uint64_t keys = Fill(map);
  std::printf("full after %llu keys\n", static_cast<unsigned long long>(keys));
  SHF_REQUIRE(keys >= keys_min);
  SHF_REQUIRE(AllReadable(map, 0, keys));
  SHF_REQUIRE(*map.Size() == keys);
  SHF_REQUIRE(when_full());
  SHF_REQUIRE(map.Put("large", std::string(1 << 20, 'x')).status() != Status::kOk);
  for (uint64_t i = 0; i < keys / 2; ++i) SHF_REQUIRE(*map.Delete(support::Bytes(i)));
  SHF_REQUIRE(AllReadable(map, keys / 2, keys));
  uint64_t again = 0;
  for (uint64_t i = 0; i < keys / 4; ++i) {
    if (map.Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).ok()) ++again;
  }
  std::printf("%llu of %llu put again\n", static_cast<unsigned long long>(again),
              static_cast<unsigned long long>(keys / 4));
  SHF_REQUIRE(again == keys / 4);
  SHF_REQUIRE(AllReadable(map, 0, keys / 4));
  SHF_REQUIRE(AllReadable(map, keys / 2, keys));
  return map.GetStats()->repairs == 0;
}

bool SurvivesBeingFull(const shf::Map& map, uint64_t keys_min) {
  return SurvivesBeingFull(map, keys_min, [] { return true; });
}

uint64_t FreeBytes(const std::string& folder) {
  struct statfs found {};
  return statfs(folder.c_str(), &found) == 0 ? found.f_bavail * uint64_t(found.f_bsize) : 0;
}

// Whether everything in the folder reached the disk. Then all pages are clean again, and the next
// store to each asks the file system once more.
bool Synced(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good = syncfs(fd) == 0;
  close(fd);
  return good;
}

// Writes a file until nothing fits any more.
void FillWithAFile(const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  const std::string block(4096, 'x');
  while (write(file, block.data(), block.size()) > 0) {
  }
  (void)fsync(file);
  while (write(file, block.data(), 1) > 0) {
  }
  close(file);
}

// Goal: on a disk as on a tmpfs, and as full of keys: a page that was made real stays so, also
// after it was written to the disk, and no page that was not is taken along with it. Method: maps
// one after another, each synced when it is full; the file is hardly longer than what it counts.
bool DiskSurvivesBeingFull(const std::string& folder) {
  for (const uint32_t shards : {16u, 256u, 1u}) {
    shf::Options options;
    options.shards = shards;
    options.max_bytes = 1 << 30;
    const shf::Result<shf::Map> map = shf::Map::Create(folder, "map", options);
    SHF_REQUIRE(map.ok());
    const auto when_full = [&] {
      SHF_REQUIRE(Synced(folder));
      struct stat status {};
      SHF_REQUIRE(stat((folder + "/map.shf").c_str(), &status) == 0);
      const uint64_t real_bytes = static_cast<uint64_t>(status.st_blocks) * 512;
      return real_bytes <= map->GetStats()->committed_bytes + (1 << 20);
    };
    SHF_REQUIRE(SurvivesBeingFull(*map, FreeBytes(folder) / 1024 * 8 / 10, when_full));
    SHF_REQUIRE(shf::Map::Remove(folder, "map").ok());
  }
  return true;
}

// Goal: what somebody else takes is not there for growth, and nothing else. Method: a file takes
// the rest of the disk; then, several times, a fifth of the keys is deleted and half of them put
// again.
bool DiskFilledByOthersIsNoSignal(const std::string& folder) {
  constexpr uint64_t kKeys = 20000;
  shf::Options options;
  options.shards = 16;
  options.max_bytes = 1 << 30;
  shf::Result<shf::Map> map = shf::Map::Create(folder, "map", options);
  SHF_REQUIRE(map.ok());
  for (uint64_t i = 0; i < kKeys; ++i) {
    SHF_REQUIRE(map->Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).ok());
  }
  FillWithAFile(folder + "/other");
  const auto key = [](uint64_t round, uint64_t i) { return support::Bytes(10 * i + round); };
  for (uint64_t round = 0; round < 10; round += 2) {
    SHF_REQUIRE(Synced(folder));
    for (uint64_t i = 0; i < kKeys / 10; ++i) {
      SHF_REQUIRE(*map->Delete(key(round, i)) && *map->Delete(key(round + 1, i)));
    }
    SHF_REQUIRE(Synced(folder));
    for (uint64_t i = 0; i < kKeys / 10; ++i) {
      SHF_REQUIRE(map->Put(key(round, i), ProvenValue(10 * i + round, 0, kValueBytes)).ok());
    }
  }
  uint64_t more = kKeys;
  Status last = Status::kOk;
  while (last == Status::kOk) {
    last = map->Put(support::Bytes(more), ProvenValue(more, 0, kValueBytes)).status();
    if (last == Status::kOk) ++more;
  }
  SHF_REQUIRE(last == Status::kNoSpace);
  std::printf("%llu more keys\n", static_cast<unsigned long long>(more - kKeys));
  SHF_REQUIRE(Synced(folder));
  const shf::Result<shf::Map> opened_when_full = shf::Map::Open(folder, "map");
  SHF_REQUIRE(opened_when_full.ok() && *opened_when_full->Delete(key(0, 0)));
  SHF_REQUIRE(opened_when_full->Put(key(0, 0), ProvenValue(0, 0, kValueBytes)).ok());
  for (uint64_t i = 0; i < kKeys; i += 2) SHF_REQUIRE(AllReadable(*map, i, i + 1));
  return AllReadable(*map, kKeys, more);
}

// A file that takes all that is left of a file system, to the last page, and gives pages back.
class Filler {
 public:
  explicit Filler(std::string folder)
      : folder_(std::move(folder)),
        file_(open((folder_ + "/filler").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {}
  ~Filler() { close(file_); }
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;

  void Fill() {
    const std::string page(4096, 'x');
    while (pwrite(file_, page.data(), page.size(), length_) == 4096) length_ += 4096;
  }
  // A disk gives blocks to somebody else only when it is written that they are free.
  bool GiveBack(off_t pages) {
    length_ = std::max<off_t>(length_ - pages * 4096, 0);
    return ftruncate(file_, length_) == 0 && Synced(folder_);
  }

 private:
  std::string folder_;
  int file_;
  off_t length_ = 0;
};

// Goal: every growth of every kind (a shard's first, records, large values, descriptors, tables)
// that finds no page, or too few, is kNoSpace and changes nothing, and succeeds with enough.
// Method: a file takes every free page before each put, and gives them back few at a time while it
// fails.
bool EveryGrowthRunsOutFirst(const std::string& folder) {
  constexpr uint64_t kKeys = 2500;
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 1 << 30;
  const shf::Result<shf::Map> map = shf::Map::Create(folder, "map", options);
  SHF_REQUIRE(map.ok());
  Filler filler(folder);
  const auto value = [](uint64_t i) {
    const size_t large = i == kKeys / 2 ? 3 << 20 : 20000;
    return ProvenValue(i, 0, i % 100 == 50 ? large : i % 60);
  };
  uint64_t growths = 0;
  uint64_t refusals = 0;
  for (uint64_t i = 0; i < kKeys; ++i) {
    filler.Fill();
    const std::string key = support::Bytes(i);
    const off_t pages = value(i).size() > 1 << 20 ? 100 : 1;
    uint64_t tries = 0;
    for (;; ++tries) {
      const shf::Result<shf::Placed> put = map->Put(key, value(i));
      if (put.ok()) break;
      SHF_REQUIRE(put.status() == Status::kNoSpace && tries < 100);
      SHF_REQUIRE(!*map->Contains(key) && *map->Size() == i);
      SHF_REQUIRE(filler.GiveBack(pages));
    }
    growths += tries != 0 ? 1 : 0;
    refusals += tries;
  }
  std::printf("%llu growths after %llu refusals, %llu splits\n",
              static_cast<unsigned long long>(growths), static_cast<unsigned long long>(refusals),
              static_cast<unsigned long long>(map->GetStats()->splits));
  SHF_REQUIRE(growths > 50 && refusals > growths && map->GetStats()->splits > 2);
  std::string found;
  for (uint64_t i = 0; i < kKeys; ++i) {
    SHF_REQUIRE(map->Get(support::Bytes(i), &found).ok() && found == value(i));
  }
  return map->Verify()->empty() && map->GetStats()->repairs == 0;
}

TEST(Full, EveryGrowthOnATmpfsFullToTheLastPageIsNoSpace) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", EveryGrowthRunsOutFirst);
}

TEST(Full, AMapWithoutAMaximumFillsASmallTmpfsAndSurvives) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", [](const std::string& folder) {
    shf::Result<shf::Map> map = shf::Map::Create(folder, "map");
    SHF_REQUIRE(map.ok());
    return SurvivesBeingFull(*map, 6000);
  });
}

// Goal: the first growth of a shard fails cleanly wherever it runs out. Method: a map is made on a
// tmpfs, a file takes all but a few pages of it, and then keys are put.
TEST(Full, TheFirstKeyOfAShardFindsAnyNumberOfFreePages) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=1m", [](const std::string& folder) {
    for (int free_pages = 0; free_pages < 12; ++free_pages) {
      shf::Options options;
      options.shards = 1;
      options.max_bytes = 64 << 20;
      shf::Result<shf::Map> map = shf::Map::Create(folder, "map", options);
      SHF_REQUIRE(map.ok());
      const std::string filler = folder + "/filler";
      const int fd = open(filler.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      SHF_REQUIRE(fd >= 0);
      const std::string page(4096, 'x');
      off_t length = 0;
      while (write(fd, page.data(), page.size()) == static_cast<ssize_t>(page.size())) {
        length += 4096;
      }
      SHF_REQUIRE(ftruncate(fd, length - free_pages * 4096) == 0);
      const Status first = map->Put("key", "value").status();
      SHF_REQUIRE(first == (free_pages < 4 ? Status::kNoSpace : Status::kOk));
      SHF_REQUIRE(*map->Contains("key") == (first == Status::kOk));
      SHF_REQUIRE(unlink(filler.c_str()) == 0 && close(fd) == 0);
      SHF_REQUIRE(map->Put("key", "value").ok());
      SHF_REQUIRE(shf::Map::Remove(folder, "map").ok());
    }
    return true;
  });
}

constexpr const char* kExt4 = "mkfs.ext4 -q -F -b 4096";
constexpr const char* kXfs = "mkfs.xfs -q -f";
// Smaller ones mkfs.xfs does not make.
constexpr uint64_t kXfsBytes = 320 << 20;

TEST(Full, Ext4SurvivesBeingFull) {
  for (const uint64_t bytes : {64 << 20, 256 << 20}) {
    SHF_EXPECT_ON_LOOP_DEVICE(kExt4, bytes, DiskSurvivesBeingFull);
  }
}

TEST(Full, EveryGrowthOnAnExt4FullToTheLastBlockIsNoSpace) {
  SHF_EXPECT_ON_LOOP_DEVICE(kExt4, 32 << 20, EveryGrowthRunsOutFirst);
}

TEST(Full, XfsSurvivesBeingFull) {
  SHF_EXPECT_ON_LOOP_DEVICE(kXfs, kXfsBytes, DiskSurvivesBeingFull);
}

TEST(Full, Ext4FilledByOthersIsNoSpaceAndNoSignal) {
  for (const uint64_t bytes : {64 << 20, 256 << 20}) {
    SHF_EXPECT_ON_LOOP_DEVICE(kExt4, bytes, DiskFilledByOthersIsNoSignal);
  }
}

TEST(Full, XfsFilledByOthersIsNoSpaceAndNoSignal) {
  SHF_EXPECT_ON_LOOP_DEVICE(kXfs, kXfsBytes, DiskFilledByOthersIsNoSignal);
}

TEST(Full, AMaximumLargerThanTheFileSystemMakesNoDifference) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", [](const std::string& folder) {
    shf::Options options;
    options.max_bytes = 256 << 20;
    options.shards = 16;
    shf::Result<shf::Map> map = shf::Map::Create(folder, "map", options);
    SHF_REQUIRE(map.ok());
    return SurvivesBeingFull(*map, 10000);
  });
}

TEST(Full, TheClassicClassSaysNoSpaceAndGoesOn) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", [](const std::string& folder) {
    SharedHashFile shf;
    SHF_REQUIRE(shf.Attach(folder.c_str(), "map"));
    const std::string value(kValueBytes, 'v');
    uint32_t keys = 0;
    for (;; ++keys) {
      shf.MakeHash(reinterpret_cast<const char*>(&keys), sizeof keys);
      if (shf.PutVal(value.data(), kValueBytes) == SHF_UID_NONE) break;
    }
    SHF_REQUIRE(shf.LastStatus() == Status::kNoSpace && *shf.LastError() != '\0');
    for (uint32_t i = 0; i < keys; ++i) {
      shf.MakeHash(reinterpret_cast<const char*>(&i), sizeof i);
      SHF_REQUIRE(shf.GetCopyViaKey() && value == std::string(shf_val, shf_val_len));
    }
    for (uint32_t i = 0; i < keys; i += 2) {
      shf.MakeHash(reinterpret_cast<const char*>(&i), sizeof i);
      SHF_REQUIRE(shf.DelKey());
    }
    for (uint32_t i = 0; i < keys; i += 8) {
      shf.MakeHash(reinterpret_cast<const char*>(&i), sizeof i);
      SHF_REQUIRE(shf.PutVal(value.data(), kValueBytes) != SHF_UID_NONE);
    }
    return keys >= 6000;
  });
}

TEST(Full, SpaceTakenBySomebodyElsesFileIsNoSpaceAndNoSignal) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", [](const std::string& folder) {
    shf::Result<shf::Map> map = shf::Map::Create(folder, "map");
    SHF_REQUIRE(map.ok());
    for (uint64_t i = 0; i < 1000; ++i) {
      SHF_REQUIRE(map->Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).ok());
    }
    const std::string other = folder + "/other";
    const int file = open(other.c_str(), O_CREAT | O_WRONLY, 0600);
    const std::string block(4096, 'x');
    while (write(file, block.data(), block.size()) > 0) {
    }
    close(file);
    const uint64_t before = *map->Size();
    bool full = false;
    for (uint64_t i = 1000; i < 20000 && !full; ++i) {
      full =
          map->Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).status() == Status::kNoSpace;
    }
    SHF_REQUIRE(full && *map->Size() >= before);
    SHF_REQUIRE(AllReadable(*map, 0, 1000));
    SHF_REQUIRE(*map->Delete(support::Bytes(1)));
    unlink(other.c_str());
    for (uint64_t i = 2000; i < 6000; ++i) {
      SHF_REQUIRE(map->Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).ok());
    }
    return true;
  });
}

TEST(Full, AFileSystemTooSmallForAnEmptyMapIsNoSpace) {
  SHF_EXPECT_ON_MOUNT("tmpfs", "size=16m", [](const std::string& folder) {
    const int file = open((folder + "/other").c_str(), O_CREAT | O_WRONLY, 0600);
    const std::string block(4096, 'x');
    while (write(file, block.data(), block.size()) > 0) {
    }
    close(file);
    const shf::Result<shf::Map> map = shf::Map::Create(folder, "map");
    std::printf("%s: %s\n", shf::StatusName(map.status()), map.text().c_str());
    SHF_REQUIRE(map.status() == Status::kNoSpace);
    SHF_REQUIRE(access((folder + "/map.shf").c_str(), F_OK) != 0);
    return true;
  });
}

TEST(Full, AMapAtItsMaximumBehavesLikeAFullFileSystem) {
  for (const uint32_t shards : {1u, 16u}) {
    SCOPED_TRACE(shards);
    const Scratch scratch;
    shf::Options options;
    options.shards = shards;
    options.max_bytes = 8 << 20;
    const shf::Map map = scratch.Create(options);
    EXPECT_TRUE(SurvivesBeingFull(map, 5000));
    EXPECT_LE(map.GetStats()->committed_bytes, options.max_bytes);
    struct stat status {};
    ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
    EXPECT_LE(static_cast<uint64_t>(status.st_blocks) * 512, options.max_bytes + (256 << 10));
  }
}

TEST(Full, AFileSizeLimitOfTheProcessIsAnErrorAndNoSignal) {
  const Scratch scratch;
  const Scratch late;
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(map.Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes)).ok());
  }
  EXPECT_TRUE(support::InChild([&] {
    const rlimit limit{1 << 20, 1 << 20};
    SHF_REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    const shf::Result<shf::Map> fresh = shf::Map::Create(late.folder(), late.name());
    SHF_REQUIRE(!fresh.ok() && !fresh.text().empty());
    shf::Result<shf::Placed> put{shf::Placed()};
    for (uint64_t i = 1000; i < 100000 && put.ok(); ++i) {
      put = map.Put(support::Bytes(i), ProvenValue(i, 0, kValueBytes));
    }
    SHF_REQUIRE(put.status() == Status::kNoSpace && !put.text().empty());
    return AllReadable(map, 0, 1000);
  }));
  EXPECT_TRUE(map.Put("after", "the child").ok());
}

TEST(Full, AnAddressSpaceLimitOfTheProcessIsAnErrorAndNoSignal) {
  const Scratch scratch;
  const Scratch small;
  ASSERT_TRUE(scratch.Create().Put("key", "value").ok());
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer's own memory takes no limit";
#endif
  EXPECT_TRUE(support::InChild([&] {
    long pages = 0;
    FILE* statm = fopen("/proc/self/statm", "r");
    SHF_REQUIRE(statm != nullptr && fscanf(statm, "%ld", &pages) == 1 && fclose(statm) == 0);
    const rlim_t bytes = static_cast<rlim_t>(pages) * 4096 + (64 << 20);
    const rlimit limit{bytes, bytes};
    SHF_REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    for (const auto& opened : {shf::Map::Open(scratch.folder(), scratch.name()),
                               shf::Map::OpenReadOnly(scratch.folder(), scratch.name())}) {
      SHF_REQUIRE(opened.status() == Status::kOutOfMemory);
      SHF_REQUIRE(opened.text().find("address space") != std::string::npos);
    }
    shf::Options options;
    options.shards = 1;
    options.max_bytes = 1 << 20;
    const shf::Result<shf::Map> fits = shf::Map::Create(small.folder(), small.name(), options);
    return fits.ok() && fits->Put("key", "value").ok();
  }));
  EXPECT_TRUE(*scratch.Open().Contains("key"));
}

}  // namespace
