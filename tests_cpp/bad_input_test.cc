// Goal: bad input is a clear error through both classes, and nothing is lost. Method: every kind of
// it, one test each; a status is checked as well as what the text says.
#include <fcntl.h>
#include <grp.h>

#include <algorithm>
#include <string>
#include <vector>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using shf::Status;
using support::Scratch;

// Opens in every way that there is, through both classes, and expects that status of each, and the
// words in the text.
void ExpectRefused(const std::string& folder, const std::string& name, Status status,
                   const std::string& words) {
  const shf::Result<shf::Map> opened[] = {
      shf::Map::Open(folder, name), shf::Map::OpenReadOnly(folder, name),
      shf::Map::OpenOrCreate(folder, name), shf::Map::Create(folder, name)};
  for (const shf::Result<shf::Map>& map : opened) {
    // Create looks no further than that the file is there.
    if (&map == &opened[3] && map.status() == Status::kAlreadyExists) continue;
    EXPECT_EQ(map.status(), status) << shf::StatusName(map.status()) << ": " << map.text();
    EXPECT_NE(map.text().find(words), std::string::npos) << map.text();
    EXPECT_FALSE((*map).attached());
  }
  SharedHashFile classic;
  EXPECT_FALSE(classic.Attach(folder.c_str(), name.c_str()));
  EXPECT_EQ(classic.LastStatus(), status) << classic.LastError();
  EXPECT_NE(std::string(classic.LastError()).find(words), std::string::npos);
  EXPECT_FALSE(classic.AttachExisting(folder.c_str(), name.c_str()));
  EXPECT_EQ(classic.LastStatus(), status) << classic.LastError();
  EXPECT_FALSE(classic.map().attached());
}

TEST(BadInput, ANameThatIsNotAPlainFileNameIsRefused) {
  for (const char* name : {"", "..", "../x", "a/b", "/etc/x", "a/../b", "x/"}) {
    SCOPED_TRACE(name);
    ExpectRefused("/dev/shm", name, Status::kInvalidName, "name");
    EXPECT_EQ(shf::Map::Remove("/dev/shm", name).status(), Status::kInvalidName);
  }
  ExpectRefused("/dev/shm", std::string(300, 'x'), Status::kInvalidName, "name");
  for (const std::string_view name : {std::string_view("a\0b", 3), std::string_view("\xff\xfe")}) {
    EXPECT_EQ(shf::Map::Create("/dev/shm", name).status(), Status::kInvalidName);
  }
}

TEST(BadInput, AMissingMapOrFolderIsNotFound) {
  const Scratch scratch;
  EXPECT_EQ(shf::Map::Open("/dev/shm", scratch.name()).status(), Status::kNotFound);
  EXPECT_EQ(shf::Map::OpenReadOnly("/dev/shm", scratch.name()).status(), Status::kNotFound);
  EXPECT_EQ(shf::Map::Remove("/dev/shm", scratch.name()).status(), Status::kNotFound);
  ExpectRefused("/dev/shm/no such folder", scratch.name(), Status::kNotFound, "no such folder");
  EXPECT_FALSE(shf::Map::Create("", scratch.name()).ok());
  EXPECT_FALSE(shf::Map::Create(std::string_view("/dev/shm\0x", 10), scratch.name()).ok());
}

TEST(BadInput, AnUnreadablePathIsDenied) {
  char folder[] = "/dev/shm/shf-test-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const Scratch scratch(folder);
  ASSERT_TRUE(scratch.Create().Put("key", "value").ok());
  ASSERT_EQ(chmod(folder, 0), 0);
  EXPECT_TRUE(support::InChild([&] {
    if (geteuid() == 0) {
      SHF_REQUIRE(setgroups(0, nullptr) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    }
    ExpectRefused(folder, scratch.name(), Status::kPermissionDenied, folder);
    return !testing::Test::HasFailure();
  }));
  ASSERT_EQ(chmod(folder, 0700), 0);
  unlink(scratch.path().c_str());
  EXPECT_EQ(rmdir(folder), 0);
}

TEST(BadInput, AnUnsupportedFileSystemIsNamed) {
  for (const std::string folder : {"/proc", "/sys"}) {
    const shf::Result<shf::Map> opened[] = {shf::Map::Create(folder, "map"),
                                            shf::Map::OpenOrCreate(folder, "map")};
    for (const shf::Result<shf::Map>& map : opened) {
      EXPECT_EQ(map.status(), Status::kUnsupportedFileSystem) << map.text();
      EXPECT_NE(map.text().find(folder), std::string::npos) << map.text();
      EXPECT_NE(map.text().find("allow_any_file_system"), std::string::npos) << map.text();
    }
    EXPECT_EQ(shf::Map::Open(folder, "map").status(), Status::kNotFound);
    SharedHashFile classic;
    EXPECT_FALSE(classic.Attach(folder.c_str(), "map"));
    EXPECT_EQ(classic.LastStatus(), Status::kUnsupportedFileSystem) << classic.LastError();
  }
}

TEST(BadInput, AMapCopiedToAnUnsupportedFileSystemIsRefusedThere) {
  SHF_EXPECT_ON_MOUNT("ramfs", "", [](const std::string& folder) {
    const Scratch scratch;
    shf::Options options;
    options.shards = 1;
    options.max_bytes = 1 << 20;
    SHF_REQUIRE(scratch.Create(options).Put("key", "value").ok());
    const Scratch copy(folder);
    const std::string command = "cp --sparse=always " + scratch.path() + " " + copy.path();
    SHF_REQUIRE(std::system(command.c_str()) == 0);
    ExpectRefused(folder, copy.name(), Status::kUnsupportedFileSystem, folder);
    return !testing::Test::HasFailure();
  });
}

// A file of the map's name with these bytes at that place.
void Overwrite(const Scratch& scratch, off_t offset, const std::string& bytes) {
  const int file = open(scratch.path().c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(file, 0);
  EXPECT_EQ(pwrite(file, bytes.data(), bytes.size(), offset), static_cast<ssize_t>(bytes.size()));
  close(file);
}

std::string FirstBytes(const Scratch& scratch, size_t count) {
  std::string bytes(count, '\0');
  const int file = open(scratch.path().c_str(), O_RDONLY);
  EXPECT_EQ(pread(file, bytes.data(), count, 0), static_cast<ssize_t>(count));
  close(file);
  return bytes;
}

void CreateFilled(const Scratch& scratch) {
  const shf::Map map = scratch.Create();
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(map.Put(support::Bytes(i), "value").ok());
}

TEST(BadInput, AForeignFileIsRefusedAndLeftAlone) {
  const Scratch scratch;
  std::string text = "This is somebody's letter. ";
  while (text.size() < 200000) text += text;
  Overwrite(scratch, 0, text);
  ExpectRefused(scratch.folder(), scratch.name(), Status::kIncompatible, "magic");
  EXPECT_TRUE(FirstBytes(scratch, text.size()) == text);
}

TEST(BadInput, AnEmptyOrShortFileIsRefused) {
  const Scratch scratch;
  CreateFilled(scratch);
  struct stat status {};
  ASSERT_EQ(stat(scratch.path().c_str(), &status), 0);
  for (const off_t length :
       {status.st_size - 1, status.st_size / 2, off_t{4096}, off_t{100}, off_t{8}, off_t{0}}) {
    SCOPED_TRACE(length);
    ASSERT_EQ(truncate(scratch.path().c_str(), length), 0);
    ExpectRefused(scratch.folder(), scratch.name(), Status::kIncompatible, scratch.name());
  }
}

// Goal: what would have to grow says both lengths and leaves the file as short as it is; what need
// not, goes on. Method: the last page is cut off, a hole as long as the last shard is empty.
TEST(BadInput, AFileCutShortWhileItIsMappedDoesNotGrow) {
  const Scratch scratch;
  SharedHashFile classic;
  int file = -1;
  off_t length = 0;
  do {
    (void)shf::Map::Remove(scratch.folder(), scratch.name());
    ASSERT_TRUE(classic.Attach(scratch.folder().c_str(), scratch.name().c_str()));
    ASSERT_TRUE(classic.map().Put("key", "value").ok());
    if (file != -1) close(file);
    file = open(scratch.path().c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(file, 0);
    length = lseek(file, 0, SEEK_END);
  } while (lseek(file, length - 4096, SEEK_DATA) != -1);
  const off_t cut = length - 4096;
  ASSERT_EQ(ftruncate(file, cut), 0);
  const shf::Map& map = classic.map();
  const std::string large(1 << 20, 'x');
  const shf::Result<shf::Placed> put = map.Put("key", large);
  EXPECT_EQ(put.status(), Status::kIncompatible) << shf::StatusName(put.status());
  EXPECT_NE(put.text().find(std::to_string(length)), std::string::npos) << put.text();
  EXPECT_NE(put.text().find(std::to_string(cut)), std::string::npos) << put.text();
  classic.MakeHash("key", 3);
  EXPECT_EQ(classic.PutVal(large.data(), 1 << 20), SHF_UID_NONE);
  EXPECT_EQ(classic.LastStatus(), Status::kIncompatible) << classic.LastError();
  struct stat found {};
  ASSERT_EQ(fstat(file, &found), 0);
  EXPECT_EQ(found.st_size, cut);
  EXPECT_EQ(static_cast<uint64_t>(found.st_blocks) * 512, map.GetStats()->committed_bytes);
  EXPECT_TRUE(classic.GetCopyViaKey());
  EXPECT_TRUE(map.Put("key", "other").ok());
  ASSERT_EQ(ftruncate(file, length), 0);
  EXPECT_TRUE(map.Put("key", large).ok());
  EXPECT_TRUE(map.Verify()->empty());
  close(file);
}

TEST(BadInput, AFileOfAnotherVersionSaysWhich) {
  const Scratch scratch;
  CreateFilled(scratch);
  Overwrite(scratch, 16, support::Bytes(4711));
  ExpectRefused(scratch.folder(), scratch.name(), Status::kIncompatible, "version");
  ExpectRefused(scratch.folder(), scratch.name(), Status::kIncompatible, "4711");
}

TEST(BadInput, AFileOfAnotherByteOrderSaysSo) {
  const Scratch scratch;
  CreateFilled(scratch);
  std::string mark = FirstBytes(scratch, 16).substr(8);
  std::reverse(mark.begin(), mark.end());
  Overwrite(scratch, 8, mark);
  ExpectRefused(scratch.folder(), scratch.name(), Status::kIncompatible, "byte order");
}

TEST(BadInput, AChangedHeaderIsRefusedWhateverByteIsHit) {
  const Scratch scratch;
  CreateFilled(scratch);
  const std::string header = FirstBytes(scratch, 128);
  for (size_t at = 0; at < header.size(); ++at) {
    SCOPED_TRACE(at);
    Overwrite(scratch, static_cast<off_t>(at),
              std::string(1, static_cast<char>(header[at] ^ 0x5a)));
    EXPECT_EQ(shf::Map::Open(scratch.folder(), scratch.name()).status(), Status::kIncompatible);
    Overwrite(scratch, static_cast<off_t>(at), header.substr(at, 1));
  }
  EXPECT_EQ(*scratch.Open().Size(), 1000u) << "the header put back, the map is as it was";
}

TEST(BadInput, AFolderInPlaceOfTheFileIsRefused) {
  const Scratch scratch;
  ASSERT_EQ(mkdir(scratch.path().c_str(), 0700), 0);
  const shf::Result<shf::Map> map = shf::Map::Open(scratch.folder(), scratch.name());
  EXPECT_FALSE(map.ok());
  EXPECT_NE(map.text().find(scratch.name()), std::string::npos) << map.text();
  EXPECT_EQ(rmdir(scratch.path().c_str()), 0);
}

TEST(BadInput, ASymbolicLinkIsNotFollowedNotEvenToAMap) {
  const Scratch scratch;
  CreateFilled(scratch);
  const Scratch link;
  ASSERT_EQ(symlink(scratch.path().c_str(), link.path().c_str()), 0);
  ExpectRefused(link.folder(), link.name(), Status::kIncompatible, "a link");
  EXPECT_EQ(*scratch.Open().Size(), 1000u);
}

TEST(BadInput, AMissingOrReadOnlyDevShmIsNamed) {
  const Scratch scratch;
  CreateFilled(scratch);
  const auto nothing = [](const std::string&) { return true; };
  const support::Mounted missing = support::WithMount(nothing, [&](const std::string&) {
    SHF_REQUIRE(mount("tmpfs", "/dev", "tmpfs", 0, nullptr) == 0);
    ExpectRefused("/dev/shm", scratch.name(), Status::kNotFound, "/dev/shm");
    return !testing::Test::HasFailure();
  });
  if (missing == support::Mounted::kSkipped) GTEST_SKIP() << "mounting needs root";
  EXPECT_EQ(static_cast<int>(missing), static_cast<int>(support::Mounted::kGood));
  const support::Mounted read_only = support::WithMount(nothing, [&](const std::string&) {
    const char* folder = "/dev/shm";
    SHF_REQUIRE(mount(folder, folder, nullptr, MS_BIND, nullptr) == 0);
    SHF_REQUIRE(mount(folder, folder, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0);
    const shf::Result<shf::Map> absent = shf::Map::OpenOrCreate(folder, scratch.name() + "-absent");
    SHF_REQUIRE(absent.status() == Status::kPermissionDenied);
    SHF_REQUIRE(absent.text().find(folder) != std::string::npos);
    const shf::Result<shf::Map> writer = shf::Map::Open(folder, scratch.name());
    SHF_REQUIRE(writer.status() == Status::kPermissionDenied);
    return *scratch.OpenReadOnly().Size() == 1000;
  });
  EXPECT_EQ(static_cast<int>(read_only), static_cast<int>(support::Mounted::kGood));
}

TEST(BadInput, AKeyOrValueOverTheLimitNamesTheOption) {
  const Scratch scratch;
  shf::Options options;
  options.shards = 1;
  options.max_bytes = 1 << 20;
  const shf::Map map = scratch.Create(options);
  ASSERT_TRUE(map.Put("key", "value").ok());
  const std::string big(400 << 20, 'x');
  for (const shf::Result<shf::Placed>& put : {map.Put("big", big), map.Put(big, "value")}) {
    EXPECT_EQ(put.status(), Status::kTooLarge) << shf::StatusName(put.status());
    EXPECT_NE(put.text().find("option max_bytes"), std::string::npos) << put.text();
  }
  EXPECT_FALSE(*map.Contains(big));
  EXPECT_FALSE(*map.Delete(big));
  EXPECT_FALSE(map.Add(big, 1).ok());
  SharedHashFile classic;
  ASSERT_TRUE(classic.AttachExisting(scratch.folder().c_str(), scratch.name().c_str()));
  classic.MakeHash("big", 3);
  EXPECT_EQ(classic.PutVal(big.data(), static_cast<uint32_t>(big.size())), SHF_UID_NONE);
  EXPECT_EQ(classic.LastStatus(), Status::kTooLarge) << classic.LastError();
  EXPECT_NE(std::string(classic.LastError()).find("option"), std::string::npos);
  EXPECT_EQ(map.Put({big.data(), SIZE_MAX / 2 + 2}, "v").status(), Status::kTooLarge);
  EXPECT_EQ(*map.Size(), 1u);
}

TEST(BadInput, ANullPointerWithALengthSaysSo) {
  const Scratch scratch;
  const shf::Map map = scratch.Create();
  const std::string_view null(static_cast<const char*>(nullptr), 5);
  char buffer[8];
  std::string value;
  const std::string texts[] = {map.Put(null, "value").text(),
                               map.Put("key", null).text(),
                               map.Get(null, &value).text(),
                               map.Get(null, buffer, 8).text(),
                               map.Contains(null).text(),
                               map.Delete(null).text(),
                               map.Add(null, 1).text(),
                               shf::Map::Create(null, "name").text(),
                               shf::Map::Create("/dev/shm", null).text(),
                               shf::Map::Remove(null, "name").text()};
  for (const std::string& text : texts) {
    EXPECT_NE(text.find("null pointer with length 5"), std::string::npos) << text;
  }
  EXPECT_EQ(map.Put(null, "value").status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Get("key", nullptr, 5).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.Get("key", static_cast<std::string*>(nullptr)).status(), Status::kInvalidArgument);
  EXPECT_EQ(map.ForEach(nullptr, nullptr).status(), Status::kInvalidArgument);
  EXPECT_EQ(*map.Size(), 0u);
}

TEST(BadInput, ANullPointerThroughTheClassicClassSaysSo) {
  const Scratch scratch;
  SharedHashFile shf;
  EXPECT_FALSE(shf.Attach(nullptr, "name"));
  EXPECT_EQ(shf.LastStatus(), Status::kInvalidArgument);
  EXPECT_FALSE(shf.AttachExisting("/dev/shm", nullptr));
  EXPECT_EQ(shf.LastStatus(), Status::kInvalidArgument);
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  shf.MakeHash(nullptr, 5);
  EXPECT_EQ(shf.LastStatus(), Status::kInvalidArgument);
  EXPECT_EQ(shf.PutVal("v", 1), SHF_UID_NONE);
  EXPECT_STREQ(shf.LastError(), "key: null pointer with length 5");
  EXPECT_FALSE(shf.GetCopyViaKey());
  EXPECT_FALSE(shf.DelKey());
  shf.MakeHash("key", 3);
  EXPECT_EQ(shf.PutVal(nullptr, 5), SHF_UID_NONE);
  EXPECT_STREQ(shf.LastError(), "value: null pointer with length 5");
  EXPECT_EQ(*shf.map().Size(), 0u);
}

void ExpectNotAttached(SharedHashFile* shf) {
  const shf::Map& map = shf->map();
  std::string value;
  char buffer[8];
  const auto visit = [](void*, std::string_view, std::string_view) { return true; };
  EXPECT_FALSE(map.attached());
  EXPECT_FALSE(map.read_only());
  EXPECT_EQ(map.Put("key", "value").status(), Status::kNotAttached);
  EXPECT_NE(map.Put("key", "value").text(), "");
  EXPECT_EQ(map.Get("key", &value).status(), Status::kNotAttached);
  EXPECT_EQ(map.Get("key", buffer, sizeof buffer).status(), Status::kNotAttached);
  EXPECT_EQ(map.GetByUid(shf::Uid(1), buffer, sizeof buffer).status(), Status::kNotAttached);
  EXPECT_EQ(map.Contains("key").status(), Status::kNotAttached);
  EXPECT_EQ(map.Delete("key").status(), Status::kNotAttached);
  EXPECT_EQ(map.Add("key", 1).status(), Status::kNotAttached);
  EXPECT_EQ(map.Size().status(), Status::kNotAttached);
  EXPECT_EQ(map.Clear().status(), Status::kNotAttached);
  EXPECT_EQ(map.ForEach(visit, nullptr).status(), Status::kNotAttached);
  EXPECT_EQ(map.GetStats().status(), Status::kNotAttached);
  shf->MakeHash("key", 3);
  EXPECT_FALSE(shf->GetCopyViaKey());
  EXPECT_EQ(shf->LastStatus(), Status::kNotAttached);
  EXPECT_STREQ(shf->LastError(), "not attached to a map");
  EXPECT_EQ(shf->PutVal("value", 5), SHF_UID_NONE);
  EXPECT_EQ(shf->LastStatus(), Status::kNotAttached);
  EXPECT_FALSE(shf->DelKey());
  EXPECT_EQ(shf->LastStatus(), Status::kNotAttached);
  EXPECT_EQ(shf->DebugGetBytesMarkedAsDeleted(), 0u);
  EXPECT_EQ(shf->LastStatus(), Status::kNotAttached);
}

TEST(BadInput, UseBeforeAttachAndAfterDetachIsAnError) {
  const Scratch scratch;
  SharedHashFile shf;
  ExpectNotAttached(&shf);
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  shf.MakeHash("key", 3);
  ASSERT_NE(shf.PutVal("value", 5), SHF_UID_NONE);
  shf.Detach();
  ExpectNotAttached(&shf);
  shf.Detach();
  ASSERT_TRUE(shf.AttachExisting(scratch.folder().c_str(), scratch.name().c_str()));
  EXPECT_TRUE(shf.GetCopyViaKey());
}

struct Caller {
  SharedHashFile* shf;
  uint64_t calls = 0;
};

TEST(BadInput, ACallbackMayUseTheMapThroughBothClasses) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  for (uint64_t i = 0; i < 500; ++i) ASSERT_TRUE(shf.map().Put(support::Bytes(i), "v").ok());
  const auto visit = [](void* context, std::string_view key, std::string_view) {
    auto* caller = static_cast<Caller*>(context);
    const shf::Map& map = caller->shf->map();
    if (++caller->calls > 5000 || key.size() != 8) return true;
    EXPECT_TRUE(map.Put(key, "replaced by a longer value").ok());
    EXPECT_TRUE(map.Add("calls", 1).ok());
    caller->shf->MakeHash(key.data(), 8);
    EXPECT_TRUE(caller->shf->GetCopyViaKey());
    EXPECT_TRUE(caller->shf->DelKey());
    Caller inner{caller->shf};
    const auto count = [](void* inside, std::string_view, std::string_view) {
      return ++static_cast<Caller*>(inside)->calls < 3;
    };
    EXPECT_TRUE(map.ForEach(count, &inner).ok());
    return true;
  };
  Caller caller{&shf};
  const shf::Result<void> walked = shf.map().ForEach(visit, &caller);
  EXPECT_TRUE(walked.ok()) << walked.text();
  EXPECT_EQ(*shf.map().Add("calls", 0), 500);
  EXPECT_EQ(*shf.map().Size(), 1u);
}

TEST(BadInput, ACallbackMayDetachTheMapThatIsWalked) {
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  for (uint64_t i = 0; i < 500; ++i) ASSERT_TRUE(shf.map().Put(support::Bytes(i), "v").ok());
  Caller caller{&shf};
  const auto visit = [](void* context, std::string_view, std::string_view) {
    auto* inside = static_cast<Caller*>(context);
    ++inside->calls;
    inside->shf->Detach();
    EXPECT_EQ(inside->shf->map().Put("key", "value").status(), Status::kNotAttached);
    return true;
  };
  EXPECT_TRUE(shf.map().ForEach(visit, &caller).ok());
  EXPECT_EQ(caller.calls, 500u);
  EXPECT_FALSE(shf.map().attached());
}

}  // namespace
