# Runs PEERS for a moment with all sections. Demands that nothing failed, that the file FILE has
# figures of every section, and that each peer has some in the core or is skipped with a reason.
cmake_policy(VERSION 3.25)

set(peers
  "SharedHashFile" "SharedHashFile, many by 32" "SharedHashFile from Rust"
  "LMDB, 1000 puts a transaction" "LMDB, one put a transaction" "Boost.Interprocess"
  "Redis, pipelined by 100" "Redis, single" "TBB concurrent_hash_map" "sharded std::unordered_map"
  "dashmap" "papaya")
set(sections core limit latency memory attach lock counters operations hits wider growth)

file(REMOVE "${FILE}")
execute_process(
  COMMAND "${PEERS}" --keys 2000 --operations 2000 --runs 1 --all --json "${FILE}"
  OUTPUT_VARIABLE output COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
message("${output}")
file(READ "${FILE}" json)

string(JSON format GET "${json}" format)
if(NOT format EQUAL 1)
  message(FATAL_ERROR "the file has format ${format}")
endif()

# Many a string(JSON) call on the whole file would take long: names are looked for as text.
string(JSON rows GET "${json}" rows)
string(JSON skipped GET "${json}" skipped)
foreach(section IN LISTS sections)
  if(NOT rows MATCHES "\"section\" : \"${section}\"")
    message(FATAL_ERROR "the section ${section} has no row")
  endif()
endforeach()
foreach(peer IN LISTS peers)
  string(FIND "${rows}" "\"peer\" : \"${peer}\"" measured)
  string(FIND "${skipped}" "\"name\" : \"${peer}\"" left_out)
  if(measured EQUAL -1 AND left_out EQUAL -1)
    message(FATAL_ERROR "${peer}: neither measured nor skipped")
  endif()
endforeach()
string(JSON first GET "${rows}" 0)
foreach(field IN ITEMS peer section workload keys value_bytes processes unit values)
  string(JSON value ERROR_VARIABLE missing GET "${first}" ${field})
  if(missing)
    message(FATAL_ERROR "a row without ${field}: ${first}")
  endif()
endforeach()
