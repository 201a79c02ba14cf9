# Toolchain file: builds for 64-bit ARM on another machine, with Debian's cross compiler. The
# commands are in docs/platforms.md.
#
# Programs then run under qemu, which ctest and GoogleTest's discovery use by themselves.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

find_program(SHF_LD NAMES aarch64-linux-gnu-ld.bfd aarch64-linux-gnu-ld)
set(SHF_RUST_TARGET aarch64-unknown-linux-gnu CACHE STRING "Triple that Rust is compiled for")

find_program(SHF_QEMU qemu-aarch64)
mark_as_advanced(SHF_QEMU)
if(SHF_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${SHF_QEMU};-L;/usr/aarch64-linux-gnu")
endif()
