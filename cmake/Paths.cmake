# Keeps the folders of this machine out of libraries that are to be installed: in the texts of
# panics and in debug information names stand in their place.
#
#   <source>/rust/engine/src/map.rs          ./rust/engine/src/map.rs
#   <build>/cargo-without-paths/...          build/cargo-without-paths/...
#   <cargo home>/registry/src/.../lib.rs     cargo/registry/src/.../lib.rs
#   Rust's own sources, where installed      /rustc/<commit>/library/..., as without them
#
# A project that has us as a part installs nothing of us and keeps the paths, so that its debugger
# finds our sources; so do the configuration Debug, sanitizers and coverage. With an installed
# library gdb finds them when it is started in our source folder, or told `directory <source>`.
#
# Sets SHF_PATH_FLAGS, flags for C++, and SHF_RUSTC_WITHOUT_PATHS, a compiler to give to cargo; both
# are empty where paths are kept. Flags of cargo would not do: RUSTFLAGS replaces those of the
# user's configuration files, and those replace ours.
#
# SHF_CARGO_HOME and SHF_RUST_SYSROOT are the folders of cargo and of the toolchain.
set(SHF_CARGO_HOME "$ENV{HOME}/.cargo")
if(NOT "$ENV{CARGO_HOME}" STREQUAL "")
  set(SHF_CARGO_HOME "$ENV{CARGO_HOME}")
endif()
execute_process(COMMAND "${SHF_RUSTC}" --print sysroot WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                OUTPUT_VARIABLE SHF_RUST_SYSROOT OUTPUT_STRIP_TRAILING_WHITESPACE
                COMMAND_ERROR_IS_FATAL ANY)

set(SHF_PATH_FLAGS "")
set(SHF_RUSTC_WITHOUT_PATHS "")
if(NOT SHF_INSTALL OR SHF_SANITIZER OR SHF_COVERAGE)
  return()
endif()

set(SHF_RUSTC_FLAGS "")
foreach(prefix IN ITEMS
    "${SHF_RUST_SYSROOT}/lib/rustlib/src/rust=/rustc/${SHF_RUSTC_COMMIT}"
    "${SHF_CARGO_HOME}=cargo" "${PROJECT_SOURCE_DIR}=." "${PROJECT_BINARY_DIR}=build")
  string(APPEND SHF_RUSTC_FLAGS "  --remap-path-prefix='${prefix}' \\\n")
  list(APPEND SHF_PATH_FLAGS "-ffile-prefix-map=${prefix}")
endforeach()
set(SHF_RUSTC_WITHOUT_PATHS "${PROJECT_BINARY_DIR}/rustc.sh")
configure_file(cmake/rustc.sh.in "${SHF_RUSTC_WITHOUT_PATHS}" @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
