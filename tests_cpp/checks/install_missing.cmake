# Checks what cmake/install-missing.sh does about missing Debian packages that are needed, and about
# optional ones, with and without the right to install. SOURCE is our project, SCRATCH a folder of
# our own, where stand-ins for apt-get and others note how they are called.
if(NOT EXISTS /usr/include/gtest/gtest.h)
  message("skipped: libgtest-dev, which the script wants, is not installed")
  return()
endif()
file(REMOVE_RECURSE "${SCRATCH}")
set(LOG "${SCRATCH}/calls")

# Writes a shell script that is found instead of a program.
function(write_program name script)
  file(WRITE "${SCRATCH}/${name}" "#!/bin/sh\n${script}\n")
  file(CHMOD "${SCRATCH}/${name}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# Runs the script with ARGUMENTS and demands its SUCCESS, that it SAYS and CALLS apt-get with what
# matches.
function(expect name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SUCCESS;SAYS;CALLS" "ARGUMENTS")
  file(WRITE "${LOG}" "")
  execute_process(COMMAND "${CMAKE_COMMAND}" -E env "PATH=${SCRATCH}:$ENV{PATH}"
                          "${SOURCE}/cmake/install-missing.sh" ${arg_ARGUMENTS}
                  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  set(success OFF)
  if(status EQUAL 0)
    set(success ON)
  endif()
  file(READ "${LOG}" calls)
  if(NOT success STREQUAL arg_SUCCESS OR NOT output MATCHES "${arg_SAYS}"
     OR NOT calls MATCHES "${arg_CALLS}")
    message(SEND_ERROR "${name}: status ${status}, calls `${calls}`, says\n${output}")
  endif()
endfunction()

write_program(dpkg-query "test \"$4\" = present && echo 'install ok installed'")
write_program(ninja "")
write_program(c++ "")
write_program(sudo "exit 1")
write_program(apt-get "echo \"$@\" >> '${LOG}'")

write_program(id "echo 1000")
expect("needed, not allowed" SUCCESS OFF ARGUMENTS lacking present
  SAYS "needs root.*: lacking\n$" CALLS "^$")
expect("optional, not allowed" SUCCESS ON ARGUMENTS present --optional lacking present
  SAYS "needs root.*left out: lacking\n$" CALLS "^$")
expect("both, not allowed" SUCCESS OFF ARGUMENTS lacking --optional other
  SAYS "needs root.*: lacking\n$" CALLS "^$")
expect("nothing lacks" SUCCESS ON ARGUMENTS present --optional present SAYS "^$" CALLS "^$")

write_program(id "echo 0")
expect("both, allowed" SUCCESS ON ARGUMENTS lacking --optional other
  SAYS "installing lacking\ninstalling other\n$"
  CALLS "install [^\n]*lacking\n.*install [^\n]*other\n$")

write_program(apt-get "exit 100")
expect("needed, fails" SUCCESS OFF ARGUMENTS lacking SAYS "apt-get failed.*: lacking\n$")
expect("optional, fails" SUCCESS ON ARGUMENTS --optional lacking
  SAYS "apt-get failed.*left out: lacking\n$")
