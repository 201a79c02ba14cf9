# Builds and runs the project in ../installed_consumer with each moved installation.
#
# SCRATCH is the folder of install.cmake, VERSION the library's; COMPILER, GENERATOR and
# MAKE_PROGRAM are the consumer's choices. With OFFLINE there is no network.
find_program(CXX "${COMPILER}" NO_CACHE)
if(NOT CXX)
  message("skipped: ${COMPILER} is not installed")
  return()
endif()
get_filename_component(compiler "${COMPILER}" NAME)
set(folder "consumer-${compiler}")
if(OFFLINE)
  include("${CMAKE_CURRENT_LIST_DIR}/offline.cmake")
  if(NOT OFFLINE_COMMAND)
    message("skipped: `unshare --net` is missing or not allowed here")
    return()
  endif()
  string(APPEND folder -offline)
endif()
function(run)
  execute_process(COMMAND ${OFFLINE_COMMAND} ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

get_filename_component(CONSUMER "${CMAKE_CURRENT_LIST_DIR}/../installed_consumer" ABSOLUTE)

# Before version 1 only another patch level, and not a later one, will do.
string(REGEX MATCH "^([0-9]+)\\.([0-9]+)\\.([0-9]+)$" matched "${VERSION}")
set(series "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
math(EXPR major "${CMAKE_MATCH_1} + 1")
math(EXPR minor "${CMAKE_MATCH_2} + 1")
math(EXPR patch "${CMAKE_MATCH_3} + 1")
set(refused "${series}.${patch} ${CMAKE_MATCH_1}.${minor} ${major}.0")
if(CMAKE_MATCH_2 GREATER 0)
  string(APPEND refused " ${CMAKE_MATCH_1}.0")
endif()

foreach(name IN ITEMS both static part)
  string(COMPARE EQUAL ${name} both shared)
  set(prefix "${SCRATCH}/moved/${name}")
  set(build "${SCRATCH}/${folder}-${name}")
  set(parent "")
  if(name STREQUAL part)
    set(parent "${prefix}/parent/parent.cmake")
  endif()
  file(REMOVE_RECURSE "${build}")
  run("${CMAKE_COMMAND}" -S "${CONSUMER}" -B "${build}" -G "${GENERATOR}"
      "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CXX}"
      -DCMAKE_BUILD_TYPE=Release "-DCMAKE_PREFIX_PATH=${prefix}"
      "-DSHF_VERSION=${series}" "-DSHF_REFUSED=${refused}" -DSHF_SHARED=${shared}
      "-DSHF_PARENT=${parent}")
  file(STRINGS "${build}/CMakeCache.txt" found REGEX "^SharedHashFile_DIR:")
  string(FIND "${found}" "=${prefix}/" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "another installation than ${prefix} was found: ${found}")
  endif()
  run("${CMAKE_COMMAND}" --build "${build}" --config Release)
  run("${CMAKE_CTEST_COMMAND}" --test-dir "${build}" -C Release --output-on-failure)
endforeach()
