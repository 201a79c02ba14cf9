# Builds the project in ../consumer as a user would, runs its programs, and checks that a build
# after nothing changed does nothing, and one after a manifest or a Rust source changed does not.
#
# SOURCE is our project, SCRATCH a folder of our own; CXX, GENERATOR, BUILD_TYPE and CXX_FLAGS are
# the consumer's choices. The library is built from a copy of what a consumer needs, so that this
# also shows that tests, examples and benchmarks are not needed, and may change time stamps.
get_filename_component(CONSUMER "${CMAKE_CURRENT_LIST_DIR}/../consumer" ABSOLUTE)
set(LIBRARY "${SCRATCH}/sharedhashfile")
set(BUILD "${SCRATCH}/build")
file(REMOVE_RECURSE "${SCRATCH}")
file(COPY "${SOURCE}/CMakeLists.txt" "${SOURCE}/Cargo.toml" "${SOURCE}/Cargo.lock"
          "${SOURCE}/cmake" "${SOURCE}/cpp" "${SOURCE}/include" "${SOURCE}/rust"
          "${SOURCE}/tests_rust"
     DESTINATION "${LIBRARY}")

# In a fraction of the time. How fast the library is, is not looked at here.
set(ENV{CARGO_PROFILE_RELEASE_LTO} off)
set(ENV{CARGO_PROFILE_RELEASE_CODEGEN_UNITS} 16)
set(ENV{CARGO_PROFILE_RELEASE_OPT_LEVEL} 0)
set(ENV{CARGO_PROFILE_RELEASE_DEBUG} 0)
set(ENV{CARGO_PROFILE_DEV_OPT_LEVEL} 0)
set(ENV{CARGO_PROFILE_DEV_DEBUG} 0)

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# The time stamps of everything that a build makes.
function(list_products result)
  file(GLOB_RECURSE products "${BUILD}/*.a" "${BUILD}/*.o" "${BUILD}/*.so" "${BUILD}/program")
  set(stamps "")
  foreach(product IN LISTS products)
    file(TIMESTAMP "${product}" stamp "%s.%f")
    list(APPEND stamps "${product} ${stamp}")
  endforeach()
  set(${result} "${stamps}" PARENT_SCOPE)
endfunction()

# Builds again and demands that this changes products, or does not.
function(rebuild after expected)
  list_products(before)
  run("${CMAKE_COMMAND}" --build "${BUILD}")
  list_products(now)
  if(before STREQUAL now)
    set(found nothing)
  else()
    set(found something)
  endif()
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "building after ${after} makes ${found}, should make ${expected}")
  endif()
endfunction()

run("${CMAKE_COMMAND}" -S "${CONSUMER}" -B "${BUILD}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}"
    "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" "-DSHF_SOURCE=${LIBRARY}")
file(STRINGS "${BUILD}/CMakeCache.txt" strangers REGEX "GTest|googletest|GOOGLETEST")
if(strangers OR EXISTS "${BUILD}/_deps")
  message(FATAL_ERROR "a consumer gets GoogleTest: ${strangers}")
endif()
run("${CMAKE_COMMAND}" --build "${BUILD}")
run("${CMAKE_CTEST_COMMAND}" --test-dir "${BUILD}" --output-on-failure)

rebuild("no change" nothing)
foreach(file IN ITEMS Cargo.lock rust/base/Cargo.toml rust/bridge/src/lib.rs)
  file(TOUCH "${LIBRARY}/${file}")
  rebuild("a change of ${file}" something)
  rebuild("no change" nothing)
endforeach()
file(REMOVE_RECURSE "${SCRATCH}")
