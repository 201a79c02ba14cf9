// LMDB: a B+ tree in a file, one writer at a time, readers that see a snapshot.
#include "../peers.hpp"

#ifdef SHF_BENCH_LMDB
#include <lmdb.h>

#include <cstring>

#include "../temporary_folder.hpp"
#endif

namespace bench {

#ifdef SHF_BENCH_LMDB
namespace {

MDB_val View(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

class LmdbSession : public Session {
 public:
  ~LmdbSession() override {
    if (reader_ != nullptr) mdb_txn_abort(reader_);
    if (env_ != nullptr) mdb_env_close(env_);
  }
  bool Open(const std::string& path, uint64_t map_bytes) {
    // What the kernel has is enough: our map does not outlive the machine's memory either.
    const unsigned flags = MDB_NOSYNC | MDB_NOMETASYNC | MDB_WRITEMAP | MDB_NOSUBDIR;
    return Good(mdb_env_create(&env_)) && Good(mdb_env_set_mapsize(env_, map_bytes)) &&
           Good(mdb_env_open(env_, path.c_str(), flags, 0600)) && OpenTable();
  }

  bool Put(const Key& key, std::string_view value) override { return PutMany(&key, &value, 1); }
  bool PutMany(const Key* keys, const std::string_view* values, size_t count) override {
    return Write(count, [&](MDB_txn* txn, size_t n) {
      MDB_val key = View(keys[n].view());
      MDB_val value = View(values[n]);
      return mdb_put(txn, table_, &key, &value, 0);
    });
  }
  bool Delete(const Key& key) override { return DeleteMany(&key, 1); }
  bool DeleteMany(const Key* keys, size_t count) override {
    return Write(count, [&](MDB_txn* txn, size_t n) {
      MDB_val key = View(keys[n].view());
      return mdb_del(txn, table_, &key, nullptr);
    });
  }
  bool Get(const Key& key, char* buffer, size_t* bytes) override {
    if (!Good(mdb_txn_renew(reader_))) return false;
    MDB_val key_view = View(key.view());
    MDB_val value;
    const int found = mdb_get(reader_, table_, &key_view, &value);
    if (found == 0) {
      *bytes = value.mv_size;
      std::memcpy(buffer, value.mv_data, value.mv_size);
    }
    mdb_txn_reset(reader_);
    return found == MDB_NOTFOUND ? false : Good(found);
  }
  uint64_t UsedBytes() {
    MDB_envinfo info;
    MDB_stat stat;
    if (!Good(mdb_env_info(env_, &info)) || !Good(mdb_env_stat(env_, &stat))) return 0;
    return (info.me_last_pgno + 1) * static_cast<uint64_t>(stat.ms_psize);
  }

 private:
  bool OpenTable() {
    MDB_txn* txn = nullptr;
    if (!Good(mdb_txn_begin(env_, nullptr, 0, &txn))) return false;
    if (!Good(mdb_dbi_open(txn, nullptr, 0, &table_))) return mdb_txn_abort(txn), false;
    if (!Good(mdb_txn_commit(txn)) || !Good(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_))) {
      return false;
    }
    mdb_txn_reset(reader_);
    return true;
  }
  // Does `count` things in one transaction.
  template <typename Body>
  bool Write(size_t count, Body body) {
    MDB_txn* txn = nullptr;
    if (!Good(mdb_txn_begin(env_, nullptr, 0, &txn))) return false;
    for (size_t n = 0; n < count; ++n) {
      if (Good(body(txn, n))) continue;
      mdb_txn_abort(txn);
      return false;
    }
    return Good(mdb_txn_commit(txn));
  }
  bool Good(int result) { return result == 0 || Fail(mdb_strerror(result)); }

  MDB_env* env_ = nullptr;
  MDB_txn* reader_ = nullptr;  // used over and over
  MDB_dbi table_ = 0;
};

class LmdbStore : public Store {
 public:
  LmdbStore(const Workload& work, const std::string& folder)
      : path_(folder + "/lmdb"),
        map_bytes_((work.payload_bytes() * 16 + (uint64_t{1} << 30)) & ~uint64_t{4095}) {}

  // An environment must not be carried over a fork: this one is closed at once.
  bool Create() override { return Open() != nullptr; }
  std::unique_ptr<Session> Open() override {
    auto session = std::make_unique<LmdbSession>();
    if (session->Open(path_, map_bytes_)) return session;
    Fail(session->error());
    return nullptr;
  }
  Memory Measure(Session* session) override {
    Memory memory;
    memory.bytes = static_cast<LmdbSession*>(session)->UsedBytes();
    memory.also = "the file system counts " + std::to_string(FileBytes(path_)) +
                  " bytes, LMDB has used pages of " + std::to_string(memory.bytes);
    return memory;
  }

 private:
  const std::string path_;
  const uint64_t map_bytes_;  // of address space; the file is sparse
};

}  // namespace
#endif

Peer LmdbPeer() {
  const std::string common =
      "MDB_NOSYNC, MDB_NOMETASYNC and MDB_WRITEMAP. A process has one read transaction, which each "
      "get renews and resets, and copies the value. Memory is the pages that LMDB has used so far.";
  Way many;
  many.name = "LMDB, 1000 puts a transaction";
  many.configuration = common + " Puts are collected, and 1000 written in one transaction.";
  many.put_batch = 1000;
  many.four_processes = true;
  Way one;
  one.name = "LMDB, one put a transaction";
  one.configuration = common +
                      " Each put is a transaction. The table is loaded by 1000; the puts that are "
                      "timed are the last 200,000 keys, or a tenth of them.";
  one.operations_max = 200'000;
  one.latency = true;
  Peer peer;
  peer.ways = {many, one};
#ifdef SHF_BENCH_LMDB
  peer.version = std::to_string(MDB_VERSION_MAJOR) + "." + std::to_string(MDB_VERSION_MINOR) + "." +
                 std::to_string(MDB_VERSION_PATCH);
  peer.make = [](const Workload& work, const std::string& folder) {
    return std::make_unique<LmdbStore>(work, folder);
  };
#else
  peer.missing = "it was built without the package liblmdb-dev";
#endif
  return peer;
}

}  // namespace bench
