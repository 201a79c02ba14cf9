# Runs the tests of the Rust half as entries of ctest.
#
# shf_add_cargo_test(<name> [LABEL <label>] [TOOLCHAIN <+name>] [RUSTFLAGS <flags>]
#                    [NEEDS <explanation>] SECONDS <n> COMMAND <subcommand> <argument>...)
#
# Entries with the same flags share a target folder; cargo locks it, so they run one by one. With
# NEEDS the entry is skipped and prints the explanation. SECONDS is about how long it takes: ctest
# starts the longest first, so that they run beside the others.
function(shf_add_cargo_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TOOLCHAIN;RUSTFLAGS;NEEDS;SECONDS" "COMMAND")
  if(arg_NEEDS)
    add_test(NAME "${name}" COMMAND "${CMAKE_COMMAND}" -E echo "skipped: ${arg_NEEDS}")
    set_tests_properties("${name}" PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
    return()
  endif()
  set(target_dir "${PROJECT_BINARY_DIR}/cargo-test")
  if(arg_LABEL)
    string(APPEND target_dir "-${arg_LABEL}")
  endif()
  set(environment "CARGO_TARGET_DIR=${target_dir}" "CXX=${CMAKE_CXX_COMPILER}" RUST_BACKTRACE=1
      CARGO_INCREMENTAL=0)
  if(arg_RUSTFLAGS)
    list(APPEND environment "RUSTFLAGS=${arg_RUSTFLAGS}")
  endif()
  # Compiled in three quarters of the time. Panics say their place all the same; who wants lines in
  # the backtrace as well runs cargo by hand.
  list(APPEND environment CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_CODEGEN_UNITS=4)
  if(arg_LABEL STREQUAL "loom")
    # What it explores is the same, and the engine is compiled in a fraction of the time.
    list(APPEND environment CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
         CARGO_PROFILE_RELEASE_DEBUG=0)
  endif()
  if(arg_LABEL STREQUAL "miri")
    # Ages are measured with the wall clock, which is outside of what Miri isolates.
    list(APPEND environment "MIRIFLAGS=-Zmiri-disable-isolation")
  endif()
  # Counting is slow.
  set(timeout "$<IF:$<BOOL:${SHF_COVERAGE}>,3600,1800>")
  add_test(NAME "${name}" COMMAND "${SHF_CARGO}" ${arg_TOOLCHAIN} ${arg_COMMAND}
           WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties("${name}" PROPERTIES
    ENVIRONMENT "${environment}" LABELS "rust;${arg_LABEL}"
    RESOURCE_LOCK "${target_dir}" COST "${arg_SECONDS}" TIMEOUT "${timeout}")
endfunction()

function(shf_find_miri)
  set(ENV{RUSTUP_AUTO_INSTALL} 0)
  execute_process(COMMAND "${SHF_CARGO}" +nightly miri --version RESULT_VARIABLE status
                  OUTPUT_QUIET ERROR_QUIET WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  if(status EQUAL 0)
    set(SHF_MIRI_MISSING "" PARENT_SCOPE)
  else()
    set(SHF_MIRI_MISSING "Miri is not installed (rustup toolchain install nightly \
--component miri rust-src)" PARENT_SCOPE)
  endif()
endfunction()
