# The benchmarks work: short runs, with their JSON, and refusals with the usage.
include("${PROJECT_SOURCE_DIR}/cmake/RustTests.cmake")
add_test(NAME bench.short-runs-measure-all-phases
  COMMAND "${CMAKE_COMMAND}" "-DBENCH=$<TARGET_FILE:shf_bench>"
          "-DFILE=${CMAKE_CURRENT_BINARY_DIR}/short.json" "-DVERSION=${PROJECT_VERSION}"
          "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}"
          -P "${CMAKE_CURRENT_SOURCE_DIR}/check_run.cmake")
add_test(NAME bench.wrong-options-get-the-usage
  COMMAND "${CMAKE_COMMAND}" "-DBENCH=$<TARGET_FILE:shf_bench>"
          "-DPEERS=$<TARGET_FILE:shf_bench_peers>"
          "-DFILE=${CMAKE_CURRENT_BINARY_DIR}/refused.json"
          -P "${CMAKE_CURRENT_SOURCE_DIR}/check_usage.cmake")
add_test(NAME bench.peers-run
  COMMAND "${CMAKE_COMMAND}" "-DPEERS=$<TARGET_FILE:shf_bench_peers>"
          "-DFILE=${CMAKE_CURRENT_BINARY_DIR}/peers.json"
          -P "${CMAKE_CURRENT_SOURCE_DIR}/check_peers.cmake")
# It begins before the many short ones, so that it does not end alone.
set_tests_properties(bench.peers-run PROPERTIES COST 50)

# The Rust programs: each store does what is measured, and known figures make a known page.
# Compiled in less than half the time without optimisation; it runs for seconds.
shf_add_cargo_test(bench.rust SECONDS 40 COMMAND test --locked --config profile.dev.opt-level=0
  --manifest-path "${CMAKE_CURRENT_SOURCE_DIR}/Cargo.toml"
  --package shf-bench-random --package shf-bench-maps --package shf-bench-report)
