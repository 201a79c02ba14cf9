# Instruments all our code, C++ and Rust, for AddressSanitizer or ThreadSanitizer.
#
# SHF_SANITIZER is empty, `address` or `thread`; the presets asan and tsan set it. Rust's half needs
# the nightly toolchain, and ThreadSanitizer a standard library that is instrumented as well, so
# rust-src. Both use the runtime of the C++ compiler (-Zexternal-clangrt): a program has one.
# Copies are made portable, because a sanitizer does not see what inline assembly touches.
set(SHF_SANITIZER "" CACHE STRING "Instrument for a sanitizer: address, thread, or empty")
set_property(CACHE SHF_SANITIZER PROPERTY STRINGS "" address thread)
if(NOT SHF_SANITIZER)
  return()
endif()
if(NOT SHF_SANITIZER MATCHES "^(address|thread)$")
  message(FATAL_ERROR "SHF_SANITIZER is `${SHF_SANITIZER}`; it must be address, thread or empty.")
endif()

set(SHF_CXX_FLAGS "-fsanitize=${SHF_SANITIZER} -fno-omit-frame-pointer")
add_compile_options(-fsanitize=${SHF_SANITIZER} -fno-omit-frame-pointer)
add_link_options(-fsanitize=${SHF_SANITIZER})

set(SHF_RUST_TOOLCHAIN +nightly)
set(SHF_RUST_FLAGS "-Zsanitizer=${SHF_SANITIZER} -Zexternal-clangrt --cfg shf_portable_copy")
if(SHF_SANITIZER STREQUAL "thread")
  set(SHF_RUST_ARGUMENTS -Zbuild-std)
  # The runtimes of gcc 12 and clang 14 have no __tsan_memcpy; they intercept memcpy instead.
  string(APPEND SHF_RUST_FLAGS " -Cllvm-args=-tsan-instrument-memintrinsics=0")
endif()

# The standard library is built once for all packages when their profiles agree, and in a fraction
# of the time without link-time and most other optimisation.
set(SHF_RUST_ENVIRONMENT CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only)

function(shf_check_nightly)
  set(ENV{RUSTUP_AUTO_INSTALL} 0)
  execute_process(COMMAND "${SHF_RUSTC}" +nightly --print sysroot OUTPUT_VARIABLE sysroot
                  ERROR_VARIABLE complaint RESULT_VARIABLE status
                  OUTPUT_STRIP_TRAILING_WHITESPACE WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "SHF_SANITIZER=${SHF_SANITIZER} needs the nightly toolchain of Rust: \
rustup toolchain install nightly --component rust-src\n${complaint}")
  endif()
  if(SHF_SANITIZER STREQUAL "thread"
     AND NOT EXISTS "${sysroot}/lib/rustlib/src/rust/library/Cargo.lock")
    message(FATAL_ERROR "SHF_SANITIZER=thread needs the sources of Rust's standard library: \
rustup component add rust-src --toolchain nightly")
  endif()
endfunction()
shf_check_nightly()
