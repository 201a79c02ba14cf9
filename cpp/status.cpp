// The names of the status codes, and the texts that need no memory.
#include "shf/result.hpp"

namespace shf {

const char* StatusName(Status status) noexcept {
  switch (status) {
    case Status::kOk:
      return "Ok";
    case Status::kAbsent:
      return "Absent";
    case Status::kInvalidArgument:
      return "InvalidArgument";
    case Status::kInvalidName:
      return "InvalidName";
    case Status::kNotFound:
      return "NotFound";
    case Status::kAlreadyExists:
      return "AlreadyExists";
    case Status::kPermissionDenied:
      return "PermissionDenied";
    case Status::kUnsupportedFileSystem:
      return "UnsupportedFileSystem";
    case Status::kNoSpace:
      return "NoSpace";
    case Status::kIncompatible:
      return "Incompatible";
    case Status::kCorrupt:
      return "Corrupt";
    case Status::kBusy:
      return "Busy";
    case Status::kWrongType:
      return "WrongType";
    case Status::kReadOnly:
      return "ReadOnly";
    case Status::kTooLarge:
      return "TooLarge";
    case Status::kBufferTooSmall:
      return "BufferTooSmall";
    case Status::kOutOfMemory:
      return "OutOfMemory";
    case Status::kTooManyProcesses:
      return "TooManyProcesses";
    case Status::kHashCollisions:
      return "HashCollisions";
    case Status::kSystem:
      return "System";
    case Status::kNotAttached:
      return "NotAttached";
    case Status::kInternal:
      return "Internal";
    case Status::kOverflow:
      return "Overflow";
    case Status::kNotDurable:
      return "NotDurable";
    case Status::kNeedsRecovery:
      return "NeedsRecovery";
    case Status::kConditionNotMet:
      return "ConditionNotMet";
    case Status::kAlreadyLed:
      return "AlreadyLed";
    case Status::kWrongLength:
      return "WrongLength";
  }
  return "Unknown";
}

const std::string& ResultBase::text() const noexcept {
  // Within the small string optimization: nothing is allocated.
  static const std::string none;
  static const std::string short_buffer("short buffer");
  if (error_) return error_->text;
  return status_ == Status::kBufferTooSmall ? short_buffer : none;
}

}  // namespace shf
