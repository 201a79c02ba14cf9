# Builds ../consumer/program.cpp as a user of pkg-config would, with each moved installation, and
# runs it. SCRATCH is the folder of install.cmake, VERSION the library's, COMPILER the
# user's; OBJDUMP tells which libraries a program loads.
find_program(CXX "${COMPILER}" NO_CACHE)
find_program(PKG_CONFIG pkg-config NO_CACHE)
if(NOT CXX OR NOT PKG_CONFIG)
  message("skipped: ${COMPILER} or pkg-config is not installed")
  return()
endif()

get_filename_component(PROGRAM "${CMAKE_CURRENT_LIST_DIR}/../consumer/program.cpp" ABSOLUTE)

# Sets <result> to what pkg-config answers, as a list.
function(ask result)
  execute_process(COMMAND "${PKG_CONFIG}" ${ARGN} sharedhashfile OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(answer UNIX_COMMAND "${answer}")
  set(${result} "${answer}" PARENT_SCOPE)
endfunction()

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# Builds the program with the given arguments, runs it, and demands that it loads our shared
# library, `shared`, or that it does not, `static`.
function(build_and_run expected)
  set(binary "${SCRATCH}/program-${COMPILER}")
  run("${CXX}" -std=c++17 "${PROGRAM}" -o "${binary}" ${ARGN})
  execute_process(COMMAND "${OBJDUMP}" -p "${binary}" OUTPUT_VARIABLE headers
                  COMMAND_ERROR_IS_FATAL ANY)
  if(headers MATCHES "NEEDED +libSharedHashFile\\.so")
    set(found shared)
  else()
    set(found static)
  endif()
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "the program is ${found}, should be ${expected}")
  endif()
  run("${binary}")
endfunction()

foreach(name IN ITEMS both static)
  file(GLOB_RECURSE pc "${SCRATCH}/moved/${name}/sharedhashfile.pc")
  get_filename_component(folder "${pc}" DIRECTORY)
  set(ENV{PKG_CONFIG_LIBDIR} "${folder}")
  ask(version --modversion)
  if(NOT version STREQUAL VERSION)
    message(FATAL_ERROR "the version is `${version}`, should be ${VERSION}")
  endif()

  # As the installation would have it: with the shared library where there is one.
  ask(flags --cflags --libs)
  ask(libdir --variable=libdir)
  if(name STREQUAL both)
    set(ENV{LD_LIBRARY_PATH} "${libdir}")
    build_and_run(shared ${flags})
    unset(ENV{LD_LIBRARY_PATH})
  else()
    build_and_run(static ${flags})
  endif()

  # A program without any shared library.
  ask(flags --static --cflags --libs)
  build_and_run(static -static ${flags})

  # Our archive, and shared libraries otherwise.
  list(TRANSFORM flags REPLACE "^-lSharedHashFile$" "${libdir}/libSharedHashFile.a")
  build_and_run(static ${flags})
endforeach()
