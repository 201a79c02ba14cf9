/// @file
/// What a map is opened for, where a call can do either.
#ifndef SHF_ACCESS_HPP_
#define SHF_ACCESS_HPP_

namespace shf {

/// What Map::OpenDescriptor() opens a map for.
enum class Access {
  kReadWrite,  ///< reading and writing
  kReadOnly,   ///< reading; takes no process slot
};

}  // namespace shf

#endif  // SHF_ACCESS_HPP_
