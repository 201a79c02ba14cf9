// What a thread remembers between its calls of the classic interface: key, value, last outcome.
#ifndef SHF_THREAD_STATE_HPP_
#define SHF_THREAD_STATE_HPP_

#include <cstddef>
#include <string_view>

#include "shf/result.hpp"

namespace shf {
namespace classic {

// Bytes that grow, followed by a 0 byte. Has no destructor, so that a thread can use it as long as
// it lives, even from destructors that run at its very end; see ThreadState::Current.
class Buffer {
 public:
  // Makes room for that many bytes; what was there is lost. False: out of memory, nothing changed.
  bool Reserve(size_t bytes) noexcept;
  // Copies the bytes. False: out of memory, nothing changed.
  bool Assign(std::string_view bytes) noexcept;
  // Frees the memory.
  void Release() noexcept;

  // Null before the first Reserve.
  char* data() const noexcept { return data_; }
  size_t capacity() const noexcept { return capacity_; }

 private:
  char* data_ = nullptr;
  size_t capacity_ = 0;
};

// How the thread's key came about.
enum class KeyState { kNone, kGood, kNullPointer, kOutOfMemory };

struct ThreadState {
  Buffer key;
  size_t key_bytes;
  KeyState key_state;
  Buffer value;
  Status status;
  Buffer text;

  // The calling thread's; its memory is freed when the thread ends.
  static ThreadState& Current() noexcept;

  // Remembers the outcome of a call; the text is for every status but kOk.
  void Note(Status outcome, std::string_view why) noexcept;
};

}  // namespace classic
}  // namespace shf

#endif  // SHF_THREAD_STATE_HPP_
