# Instruments the Rust half for a report of the lines that run. The preset coverage sets
# SHF_COVERAGE.
#
# The counters lie in a file that is mapped while the program runs, so a process that is killed has
# counted until then; LLVM_PROFILE_FILE must name that file, with %c.
option(SHF_COVERAGE "Let the Rust half count which of its lines run" OFF)
mark_as_advanced(SHF_COVERAGE)
if(SHF_COVERAGE)
  set(SHF_RUST_FLAGS "-Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation")
  set(SHF_RUST_ENVIRONMENT CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16)
  # Nothing refers to the part that maps the file; rustc asks for it where it links a program.
  set(SHF_JOIN_FLAGS -u __llvm_profile_runtime)
endif()
