// What the stores have in common that live in the private memory of one process: its threads share
// the table as it is, and its size is what the process has grown by.
//
// A Table has Put, Get and Delete as Session has them; any number of threads may call them.
#ifndef SHF_BENCH_PEERS_STORES_PRIVATE_STORE_HPP_
#define SHF_BENCH_PEERS_STORES_PRIVATE_STORE_HPP_

#include <memory>
#include <string>

#include "../private_bytes.hpp"
#include "../store.hpp"

namespace bench {

template <typename Table>
class PrivateStore : public Store {
 public:
  bool Create() override { return true; }
  std::unique_ptr<Session> Open() override { return std::make_unique<Caller>(&table_); }
  Memory Measure(Session*) override {
    Memory memory;
    memory.bytes = PrivateBytes() - bytes_before_;
    return memory;
  }

 private:
  class Caller : public Session {
   public:
    explicit Caller(Table* table) : table_(table) {}
    bool Put(const Key& key, std::string_view value) override { return table_->Put(key, value); }
    bool Get(const Key& key, char* buffer, size_t* bytes) override {
      return table_->Get(key, buffer, bytes);
    }
    bool Delete(const Key& key) override { return table_->Delete(key); }

   private:
    Table* const table_;
  };

  // The process that has the empty table forks the one that fills it, which has the same pages.
  const uint64_t bytes_before_ = PrivateBytes();
  Table table_;
};

}  // namespace bench

#endif  // SHF_BENCH_PEERS_STORES_PRIVATE_STORE_HPP_
