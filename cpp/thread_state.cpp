// The memory behind a thread's calls of the classic interface.
#include "thread_state.hpp"

#include <cstdlib>
#include <cstring>

#include "SharedHashFile.hpp"

__thread char* shf_val = nullptr;
__thread uint32_t shf_val_len = 0;

namespace shf {
namespace classic {
namespace {

// Constant initialization: no guard, no hidden call.
thread_local ThreadState state{};

// Frees the thread's memory when it ends. A destructor that runs later and calls the library finds
// empty buffers, which grow again.
struct Cleaner {
  bool armed = false;
  ~Cleaner() {
    shf_val = nullptr;
    shf_val_len = 0;
    state.key_state = KeyState::kNone;
    state.key.Release();
    state.value.Release();
    state.text.Release();
  }
};

thread_local Cleaner cleaner;

}  // namespace

bool Buffer::Reserve(size_t bytes) noexcept {
  if (bytes < capacity_) return true;
  const size_t room = bytes + 1;
  char* fresh = static_cast<char*>(std::malloc(room));
  if (fresh == nullptr) return false;
  std::free(data_);
  data_ = fresh;
  capacity_ = room;
  return true;
}

bool Buffer::Assign(std::string_view bytes) noexcept {
  if (!Reserve(bytes.size())) return false;
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
  data_[bytes.size()] = '\0';
  return true;
}

void Buffer::Release() noexcept {
  std::free(data_);
  *this = Buffer();
}

ThreadState& ThreadState::Current() noexcept {
  cleaner.armed = true;
  return state;
}

void ThreadState::Note(Status outcome, std::string_view why) noexcept {
  status = outcome;
  if (outcome == Status::kOk) return;
  if (!text.Assign(why)) text.Release();
}

}  // namespace classic
}  // namespace shf
