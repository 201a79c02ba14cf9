# Included by checks that run consumers: run(<command>...) runs a command without network, or, where
# this machine does not allow that, as it is, which is said once.
set(OFFLINE "")
find_program(UNSHARE unshare NO_CACHE)
foreach(user IN ITEMS "" "--user;--map-root-user")
  if(UNSHARE AND NOT OFFLINE)
    execute_process(COMMAND "${UNSHARE}" ${user} --net true RESULT_VARIABLE status
                    OUTPUT_QUIET ERROR_QUIET)
    if(status EQUAL 0)
      set(OFFLINE "${UNSHARE}" ${user} --net)
    endif()
  endif()
endforeach()
if(NOT OFFLINE)
  message("the network is not cut off: `unshare --net` is missing or not allowed here")
endif()

function(run)
  execute_process(COMMAND ${OFFLINE} ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()
