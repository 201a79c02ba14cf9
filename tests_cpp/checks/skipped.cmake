# Checks that the checks that need tools which not every machine has are skipped where these are
# missing, and only then: SCRATCH is a folder of our own for the tools that there are.

# Runs a check with the tools of the folder only and demands that it ends well, and with a line that
# says why it is skipped.
function(expect_skipped script reason)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E env "PATH=${SCRATCH}" "${CMAKE_COMMAND}" ${ARGN}
                          "-DSCRATCH=${SCRATCH}/none" -DVERSION=0.0.0
                          -P "${CMAKE_CURRENT_LIST_DIR}/${script}.cmake"
                  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  if(NOT status EQUAL 0 OR NOT output MATCHES "^skipped: ${reason}\n$")
    message(SEND_ERROR "${script} without tools: status ${status}\n${output}")
  endif()
endfunction()

function(provide)
  foreach(tool IN LISTS ARGN)
    file(WRITE "${SCRATCH}/${tool}" "#!/bin/sh\nexit 1\n")
    file(CHMOD "${SCRATCH}/${tool}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  endforeach()
endfunction()

file(REMOVE_RECURSE "${SCRATCH}")
file(MAKE_DIRECTORY "${SCRATCH}")
expect_skipped(find_package "g\\+\\+ is not installed" -DCOMPILER=g++)
expect_skipped(pkg_config "g\\+\\+ or pkg-config is not installed" -DCOMPILER=g++)
expect_skipped(debian_packages "dpkg-deb is not installed")
expect_skipped(debian_dependencies "dpkg-deb is not installed")
provide(g++ dpkg-deb)
expect_skipped(pkg_config "g\\+\\+ or pkg-config is not installed" -DCOMPILER=g++)
expect_skipped(find_package "`unshare --net` is missing.*" -DCOMPILER=g++ -DOFFLINE=ON)
expect_skipped(debian_dependencies "dpkg-shlibdeps is not installed")
provide(unshare dpkg-shlibdeps)
expect_skipped(find_package "`unshare --net` is missing.*" -DCOMPILER=g++ -DOFFLINE=ON)
expect_skipped(debian_dependencies "file is not installed")

# As CTest reports it: a check that says so at its end is skipped, one that fails has failed.
file(WRITE "${SCRATCH}/CTestTestfile.cmake"
  "function(try name command)\n"
  "  add_test(\${name} sh -c \"\${command}\")\n"
  "  set_tests_properties(\${name} PROPERTIES SKIP_REGULAR_EXPRESSION [[${SKIP}]])\n"
  "endfunction()\n"
  "try(skips [[echo 'skipped: a reason']])\n"
  "try(fails [[echo 'skipped: a reason'; echo failed; exit 1]])\n"
  "try(passes [[echo 'skipped: a part'; echo but passed]])\n")
execute_process(COMMAND "${CMAKE_CTEST_COMMAND}" --test-dir "${SCRATCH}"
                OUTPUT_VARIABLE output ERROR_VARIABLE output)
foreach(outcome IN ITEMS "skips .*\\*\\*\\*Skipped" "fails .*\\*\\*\\*Failed" "passes .* Passed")
  if(NOT output MATCHES ": ${outcome}")
    message(SEND_ERROR "CTest does not report `${outcome}`:\n${output}")
  endif()
endforeach()
