// Goal: programs written for the original SharedHashFile find what they expect. Method: the 22
// checks of the original's C++ test, one after the other, then what this interface adds to it.
#include <set>
#include <string>
#include <thread>
#include <type_traits>

#include "SharedHashFile.hpp"
#include "support.hpp"

namespace {

using support::Scratch;

constexpr uint32_t kKeys = 250000 / support::kSlowdown;

void MakeHashOf(SharedHashFile* shf, const uint32_t& number) {
  shf->MakeHash(reinterpret_cast<const char*>(&number), sizeof number);
}

std::string Found() { return std::string(shf_val, shf_val_len); }

// The checks 1 to 16: one key.
void CheckOneKey(SharedHashFile* shf, const Scratch& scratch) {
  ASSERT_NE(shf, nullptr) << "new SharedHashFile returned object";
  const char* folder = scratch.folder().c_str();
  const char* name = scratch.name().c_str();
  ASSERT_FALSE(shf->AttachExisting(folder, name)) << "fails for non-existing file";
  ASSERT_TRUE(shf->Attach(folder, name)) << "works for non-existing file: " << shf->LastError();
  shf->MakeHash("key", 3);
  ASSERT_FALSE(shf->GetCopyViaKey()) << "could not find unput key";
  ASSERT_FALSE(shf->DelKey()) << "could not find unput key";
  ASSERT_NE(shf->PutVal("val", 3), SHF_UID_NONE) << "put key";
  ASSERT_TRUE(shf->GetCopyViaKey()) << "could find put key";
  ASSERT_EQ(shf_val_len, 3u);
  ASSERT_EQ(0, memcmp(shf_val, "val", 3));
  ASSERT_TRUE(shf->DelKey()) << "could find put key";
  ASSERT_FALSE(shf->GetCopyViaKey()) << "could not find del key";
  ASSERT_FALSE(shf->DelKey()) << "could not find del key";
  ASSERT_NE(shf->PutVal("val2", 4), SHF_UID_NONE) << "reput key";
  ASSERT_TRUE(shf->GetCopyViaKey()) << "could find reput key";
  ASSERT_EQ(shf_val_len, 4u);
  ASSERT_EQ(0, memcmp(shf_val, "val2", 4));
}

// The checks 17 to 22: many keys.
void CheckManyKeys(SharedHashFile* shf) {
  shf->DebugVerbosityLess();
  uint32_t put = 0;
  for (uint32_t i = 0; i < kKeys; ++i) {
    MakeHashOf(shf, i);
    if (shf->PutVal(reinterpret_cast<const char*>(&i), sizeof i) != SHF_UID_NONE) ++put;
  }
  ASSERT_EQ(put, kKeys) << "put expected number of keys: " << shf->LastError();
  uint32_t ghosts = 0;
  for (uint32_t i = kKeys; i < 2 * kKeys; ++i) {
    MakeHashOf(shf, i);
    if (shf->GetCopyViaKey()) ++ghosts;
  }
  ASSERT_EQ(ghosts, 0u) << "got expected number of non-existing keys";
  uint32_t got = 0;
  for (uint32_t i = 0; i < kKeys; ++i) {
    MakeHashOf(shf, i);
    if (shf->GetCopyViaKey() && shf_val_len == 4 && memcmp(shf_val, &i, 4) == 0) ++got;
  }
  ASSERT_EQ(got, kKeys) << "got expected number of existing keys";
  ASSERT_EQ(0u, shf->DebugGetBytesMarkedAsDeleted()) << "graceful growth cleans up after itself";
  uint32_t deleted = 0;
  for (uint32_t i = 0; i < kKeys; ++i) {
    MakeHashOf(shf, i);
    if (shf->DelKey()) ++deleted;
  }
  ASSERT_EQ(deleted, kKeys) << "del expected number of existing keys";
  ASSERT_NE(0u, shf->DebugGetBytesMarkedAsDeleted()) << "del does not clean up after itself";
  shf->DebugVerbosityMore();
}

TEST(Classic, TheOriginalsTwentyTwoChecksHold) {
  const Scratch scratch;
  auto* shf = new SharedHashFile;
  CheckOneKey(shf, scratch);
  if (!HasFatalFailure()) CheckManyKeys(shf);
  delete shf;
}

TEST(Classic, TheInterfaceHasTheOriginalsTypes) {
  static_assert(std::is_same_v<decltype(shf_val), char*>);
  static_assert(std::is_same_v<decltype(shf_val_len), uint32_t>);
  static_assert(SHF_UID_NONE == 4294967295U);
  using Shf = SharedHashFile;
  bool (Shf::*attach)(const char*, const char*) = &Shf::Attach;
  bool (Shf::*attach_existing)(const char*, const char*) = &Shf::AttachExisting;
  void (Shf::*make_hash)(const char*, uint32_t) = &Shf::MakeHash;
  bool (Shf::*get)() = &Shf::GetCopyViaKey;
  uint32_t (Shf::*put)(const char*, uint32_t) = &Shf::PutVal;
  bool (Shf::*del)() = &Shf::DelKey;
  uint64_t (Shf::*dead)() = &Shf::DebugGetBytesMarkedAsDeleted;
  EXPECT_TRUE(attach && attach_existing && make_hash && get && put && del && dead);
}

TEST(Classic, AKeyIsRememberedByTheThreadAndNotByTheObject) {
  const Scratch one;
  const Scratch two;
  SharedHashFile first;
  SharedHashFile second;
  ASSERT_TRUE(first.Attach(one.folder().c_str(), one.name().c_str()));
  ASSERT_TRUE(second.Attach(two.folder().c_str(), two.name().c_str()));
  first.MakeHash("shared", 6);
  EXPECT_NE(first.PutVal("1", 1), SHF_UID_NONE);
  EXPECT_NE(second.PutVal("2", 1), SHF_UID_NONE);
  std::thread([&] {
    EXPECT_FALSE(first.GetCopyViaKey());
    EXPECT_EQ(first.LastStatus(), shf::Status::kInvalidArgument) << first.LastError();
    first.MakeHash("other", 5);
    EXPECT_NE(first.PutVal("3", 1), SHF_UID_NONE);
  }).join();
  EXPECT_TRUE(first.GetCopyViaKey());
  EXPECT_EQ(Found(), "1");
  EXPECT_TRUE(second.GetCopyViaKey());
  EXPECT_EQ(Found(), "2");
}

TEST(Classic, MakeHashCopiesTheKey) {
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  char key[] = "abc";
  shf.MakeHash(key, 3);
  memset(key, 'x', sizeof key);
  EXPECT_NE(shf.PutVal("v", 1), SHF_UID_NONE);
  shf.MakeHash("abc", 3);
  EXPECT_TRUE(shf.GetCopyViaKey());
}

TEST(Classic, EachThreadKeepsAValueOfItsOwn) {
  const support::Watchdog watchdog;
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&shf, t] {
      for (uint32_t i = 0; i < 5000; ++i) {
        const uint32_t number = i * 4 + t;
        MakeHashOf(&shf, number);
        const std::string value(number % 300, static_cast<char>('a' + t));
        ASSERT_NE(shf.PutVal(value.data(), static_cast<uint32_t>(value.size())), SHF_UID_NONE);
        ASSERT_TRUE(shf.GetCopyViaKey());
        ASSERT_EQ(Found(), value);
        ASSERT_EQ(shf_val[shf_val_len], '\0');
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Classic, ValuesAndKeysAreAnyBytesOfAnyLength) {
  const Scratch scratch;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  const std::string long_value(1000000, '\0');
  shf.MakeHash("a\0b", 3);
  EXPECT_NE(shf.PutVal(long_value.data(), 1000000), SHF_UID_NONE) << shf.LastError();
  shf.MakeHash("", 0);
  EXPECT_NE(shf.PutVal("", 0), SHF_UID_NONE) << shf.LastError();
  EXPECT_TRUE(shf.GetCopyViaKey());
  EXPECT_EQ(shf_val_len, 0u);
  shf.MakeHash("a\0b", 3);
  EXPECT_TRUE(shf.GetCopyViaKey());
  EXPECT_TRUE(Found() == long_value);
  shf.MakeHash("a\0c", 3);
  EXPECT_FALSE(shf.GetCopyViaKey());
  EXPECT_EQ(shf_val_len, 0u);
}

TEST(Classic, TheModernMapIsReachableFromTheClassicObject) {
  const Scratch scratch;
  SharedHashFile shf;
  EXPECT_FALSE(shf.map().attached());
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  ASSERT_TRUE(shf.map().Put("key", "from map").ok());
  shf.MakeHash("key", 3);
  ASSERT_TRUE(shf.GetCopyViaKey());
  EXPECT_EQ(Found(), "from map");
  const shf::Result<int64_t> sum = shf.map().Add("count", 5);
  EXPECT_EQ(*sum, 5);
}

TEST(Classic, TheReasonOfAFailureIsAStatusAndAText) {
  const Scratch scratch;
  SharedHashFile shf;
  EXPECT_FALSE(shf.AttachExisting(scratch.folder().c_str(), scratch.name().c_str()));
  EXPECT_EQ(shf.LastStatus(), shf::Status::kNotFound);
  EXPECT_NE(std::string(shf.LastError()).find(scratch.name()), std::string::npos);
  ASSERT_TRUE(shf.Attach(scratch.folder().c_str(), scratch.name().c_str()));
  EXPECT_STREQ(shf.LastError(), "");
  shf.MakeHash("key", 3);
  EXPECT_FALSE(shf.GetCopyViaKey());
  EXPECT_EQ(shf.LastStatus(), shf::Status::kAbsent);
  EXPECT_STRNE(shf.LastError(), "");
  EXPECT_NE(shf.PutVal("v", 1), SHF_UID_NONE);
  EXPECT_EQ(shf.LastStatus(), shf::Status::kOk);
  EXPECT_STREQ(shf.LastError(), "");
}

TEST(Classic, AttachAgainChangesMapsOnlyWhenItSucceeds) {
  const Scratch one;
  const Scratch two;
  SharedHashFile shf;
  ASSERT_TRUE(shf.Attach(one.folder().c_str(), one.name().c_str()));
  shf.MakeHash("key", 3);
  ASSERT_NE(shf.PutVal("1", 1), SHF_UID_NONE);
  EXPECT_FALSE(shf.AttachExisting(two.folder().c_str(), two.name().c_str()));
  EXPECT_TRUE(shf.GetCopyViaKey());
  EXPECT_TRUE(shf.Attach(two.folder().c_str(), two.name().c_str()));
  EXPECT_FALSE(shf.GetCopyViaKey());
  SharedHashFile moved = std::move(shf);
  EXPECT_NE(moved.PutVal("2", 1), SHF_UID_NONE);
}

}  // namespace
