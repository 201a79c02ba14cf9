# The benchmarks work: a short run, with its JSON, and refusals with the usage.
add_test(NAME bench.a-short-run-measures-all-phases
  COMMAND shf_bench --keys 20000 --processes 3 --skew 0.9 --value-bytes-max 200
          --json "${CMAKE_CURRENT_BINARY_DIR}/short.json")
set_tests_properties(bench.a-short-run-measures-all-phases PROPERTIES
  PASS_REGULAR_EXPRESSION "GET *20000 .*\n.*memory [0-9.]+ MiB.*\n.* retries of gets")
add_test(NAME bench.its-figures-are-written-as-json
  COMMAND "${CMAKE_COMMAND}" "-DFILE=${CMAKE_CURRENT_BINARY_DIR}/short.json"
          -P "${CMAKE_CURRENT_SOURCE_DIR}/check_json.cmake")
set_tests_properties(bench.its-figures-are-written-as-json PROPERTIES
  DEPENDS bench.a-short-run-measures-all-phases)
add_test(NAME bench.a-wrong-option-gets-the-usage COMMAND shf_bench --processes 0)
set_tests_properties(bench.a-wrong-option-gets-the-usage PROPERTIES
  PASS_REGULAR_EXPRESSION "--processes.*\n.*\n*.*Usage:")
add_test(NAME bench.peers-run COMMAND shf_bench_peers --keys 2000 --runs 1 --processes 2)
