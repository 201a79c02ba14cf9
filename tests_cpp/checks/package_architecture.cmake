# Checks that packages of a cross build get the name of the processor that they are for, and that
# other builds leave it to CPack. SOURCE is our project, SCRATCH a folder of our own; CXX,
# GENERATOR, MAKE_PROGRAM, CARGO and RUSTC are those of the build that runs this. Nothing is built,
# so this machine's tools do.
function(expect_architecture processor expected)
  set(build "${SCRATCH}/${processor}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${build}" -G "${GENERATOR}"
                          "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CXX}"
                          "-DSHF_CARGO=${CARGO}" "-DSHF_RUSTC=${RUSTC}" -DSHF_BUILD_TESTS=OFF
                          ${ARGN}
                  COMMAND_ERROR_IS_FATAL ANY)
  include("${build}/CPackConfig.cmake")
  if(NOT "${CPACK_DEBIAN_PACKAGE_ARCHITECTURE}" STREQUAL "${expected}")
    message(SEND_ERROR "packages for ${processor} are for `${CPACK_DEBIAN_PACKAGE_ARCHITECTURE}`, \
should be for `${expected}`")
  endif()
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
expect_architecture(native "")
foreach(known IN ITEMS "x86_64 amd64" "aarch64 arm64")
  separate_arguments(known)
  list(GET known 0 processor)
  expect_architecture(${known} -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=${processor})
endforeach()
file(REMOVE_RECURSE "${SCRATCH}")
