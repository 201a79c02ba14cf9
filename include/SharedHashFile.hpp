/// @file
/// The interface of the original SharedHashFile, for programs that were written for it.
///
///     SharedHashFile shf;
///     if (!shf.Attach("/dev/shm", "hits")) { puts(shf.LastError()); return 1; }
///     shf.MakeHash("key", 3);
///     shf.PutVal("value", 5);
///     if (shf.GetCopyViaKey()) printf("%.*s\n", static_cast<int>(shf_val_len), shf_val);
///
/// The key of MakeHash() and the value of GetCopyViaKey() belong to the calling thread, not to the
/// object: each thread works with a key and a value of its own, on any number of objects.
///
/// Threads: one object may be used by any number of threads at once; one of them may attach and
/// detach it meanwhile, see shf::Map. Moving and destroying it may not overlap with other use of
/// it. Processes: any number may attach the same map; an object inherited through fork() works.
/// Errors: nothing here throws, prints or ends the process. A call that fails says so in what it
/// returns; LastStatus() and LastError() tell why.
/// New programs may prefer shf::Map (shf/map.hpp), which map() gives access to.
#ifndef SHAREDHASHFILE_HPP_
#define SHAREDHASHFILE_HPP_

#include <cstdint>

#include "shf/map.hpp"

/// The token of PutVal() that no key has.
#define SHF_UID_NONE 4294967295U

/// What the calling thread's last successful GetCopyViaKey(), GetCopyViaUid() or GetKeyViaUid()
/// found: shf_val_len bytes and a 0 byte after them. The memory belongs to the thread and is good
/// until the next of these. (__thread and not thread_local: no hidden call on each use, and the C
/// half of a program can declare them too.)
extern __thread char* shf_val;
/// Bytes of shf_val; 0 after one of these that found nothing.
extern __thread uint32_t shf_val_len;

/// A handle of a map with the method names of the original. What the errors mean, and who waits for
/// whom, is as for shf::Map.
class SharedHashFile {
 public:
  /// Not attached to anything.
  SharedHashFile() noexcept = default;
  /// Takes over the map of another object, which is detached afterwards.
  SharedHashFile(SharedHashFile&&) noexcept = default;
  /// Detaches, then takes over the map of another object.
  SharedHashFile& operator=(SharedHashFile&&) noexcept = default;
  /// Detaches. The map lives on in its file.
  ~SharedHashFile() = default;

  /// Attaches the map `<path>/<name>.shf`, such as "/dev/shm" and "hits". False: there is none, or
  /// another error; what was attached before stays so.
  bool AttachExisting(const char* path, const char* name);
  /// The same, but creates the map when there is none, with default options.
  bool Attach(const char* path, const char* name);
  /// Lets go of the map, once the calls of other threads have ended; every call but Attach() and
  /// AttachExisting() fails from here on.
  void Detach() noexcept;

  /// Copies the key that the calling thread's next calls are about, on whatever object. Any bytes.
  void MakeHash(const char* key, uint32_t key_len);

  /// True: shf_val and shf_val_len are a copy of the key's value. False: the key is not there, or
  /// an error; shf_val_len is 0.
  bool GetCopyViaKey();
  /// Inserts the key or replaces its value. Returns a token that names the key, SHF_UID_NONE on
  /// failure.
  uint32_t PutVal(const char* val, uint32_t val_len);
  /// True: the key was there. False: it was not, or an error.
  bool DelKey();

  /// As GetCopyViaKey(), of the key that a token of PutVal() names, in this process or any other.
  /// False also where 32 bits do not name one key: two keys of the map have the same token (of a
  /// million keys, about a hundred pairs), or the map has hundreds of millions of keys. A token may
  /// come to name another key once its own is deleted; shf::Uid does not.
  bool GetCopyViaUid(uint32_t uid);
  /// The same of the key itself, which is then in shf_val and shf_val_len.
  bool GetKeyViaUid(uint32_t uid);
  /// Replaces the value of the key that a token names. False: as GetCopyViaUid().
  bool PutValViaUid(uint32_t uid, const char* val, uint32_t val_len);
  /// Deletes the key that a token names. False: as GetCopyViaUid().
  bool DelKeyViaUid(uint32_t uid);

  /// With false, for a thread that writes alone: shf::Map::SetLockable(). False: an error.
  bool SetIsLockable(bool lockable);

  /// Bytes of deleted and replaced records whose memory has not been used again; 0 after an error.
  uint64_t DebugGetBytesMarkedAsDeleted();
  /// Accepted for compatibility: there are no messages to have fewer of.
  void DebugVerbosityLess() noexcept {}
  /// Accepted for compatibility: there are no messages to have more of.
  void DebugVerbosityMore() noexcept {}

  /// How the calling thread's last call ended, on whatever object; kAbsent for a missing key.
  shf::Status LastStatus() const noexcept;
  /// The same for people; "" after success. Good until the thread's next call.
  const char* LastError() const noexcept;

  /// The attached map, for everything that this interface has no name for. Lives as long as this
  /// object.
  shf::Map& map() noexcept { return map_; }
  /// The same, not to be attached or detached.
  const shf::Map& map() const noexcept { return map_; }

 private:
  shf::Map map_;
};

#endif  // SHAREDHASHFILE_HPP_
