# Builds a copy of what a consumer needs, installs it in three ways, makes Debian packages, and
# removes sources and build, so that nothing of them can be used by accident.
#
# SOURCE is our project, SCRATCH a folder of our own; CXX, GENERATOR, MAKE_PROGRAM, CARGO and RUSTC
# are those of the build that runs this. It leaves behind:
#   moved/both      static and shared library, installed elsewhere and then moved here
#   moved/static    the static library only, likewise
#   moved/part      the same, but installed as a part of the project ../installed_parent
#   packages/both, packages/static
set(LIBRARY "${SCRATCH}/sharedhashfile")
set(BUILD "${SCRATCH}/build")
set(PARENT "${SCRATCH}/parent")
file(REMOVE_RECURSE "${SCRATCH}")
file(MAKE_DIRECTORY "${SCRATCH}/moved")
file(COPY "${SOURCE}/CMakeLists.txt" "${SOURCE}/Cargo.toml" "${SOURCE}/Cargo.lock"
          "${SOURCE}/cmake" "${SOURCE}/cpp" "${SOURCE}/include" "${SOURCE}/rust"
          "${SOURCE}/tests_rust" "${SOURCE}/LICENSE-MIT" "${SOURCE}/LICENSE-APACHE"
          "${SOURCE}/LICENSE-THIRD-PARTY"
     DESTINATION "${LIBRARY}")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(configure source build)
  run("${CMAKE_COMMAND}" -S "${source}" -B "${build}" -G "${GENERATOR}"
      "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CXX}"
      -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr
      "-DSHF_CARGO=${CARGO}" "-DSHF_RUSTC=${RUSTC}" ${ARGN})
endfunction()

function(install build name)
  run("${CMAKE_COMMAND}" --install "${build}" --config Release --prefix "${SCRATCH}/before/${name}")
  file(RENAME "${SCRATCH}/before/${name}" "${SCRATCH}/moved/${name}")
endfunction()

# How fast the library is does not matter here, how fast it is built does.
set(ENV{CARGO_PROFILE_RELEASE_OPT_LEVEL} 0)
set(ENV{CARGO_PROFILE_RELEASE_LTO} off)
set(ENV{CARGO_PROFILE_RELEASE_CODEGEN_UNITS} 16)
foreach(name IN ITEMS both static)
  string(COMPARE EQUAL ${name} both shared)
  configure("${LIBRARY}" "${BUILD}" -DSHF_BUILD_TESTS=OFF -DSHF_SHARED=${shared})
  run("${CMAKE_COMMAND}" --build "${BUILD}" --config Release)
  install("${BUILD}" ${name})
  run("${CMAKE_CPACK_COMMAND}" --config "${BUILD}/CPackConfig.cmake" -C Release
      -B "${SCRATCH}/packages/${name}")
endforeach()

# A project that has us as a part installs nothing of us, unless it says so. An installation only
# copies what was built, so the library need not be built again.
get_filename_component(project "${CMAKE_CURRENT_LIST_DIR}/../installed_parent" ABSOLUTE)
configure("${project}" "${PARENT}" "-DSHF_SOURCE=${LIBRARY}")
run("${CMAKE_COMMAND}" --install "${PARENT}" --config Release --prefix "${SCRATCH}/before/nothing")
file(GLOB_RECURSE strangers "${SCRATCH}/before/nothing/*")
if(strangers)
  message(FATAL_ERROR "installed without being asked: ${strangers}")
endif()
configure("${project}" "${PARENT}" -DSHF_INSTALL=ON)
file(GLOB archive RELATIVE "${BUILD}"
     "${BUILD}/libSharedHashFile.a" "${BUILD}/Release/libSharedHashFile.a")
configure_file("${BUILD}/${archive}" "${PARENT}/sharedhashfile/${archive}" COPYONLY)
install("${PARENT}" part)

file(REMOVE_RECURSE "${LIBRARY}" "${BUILD}" "${PARENT}" "${SCRATCH}/before")
