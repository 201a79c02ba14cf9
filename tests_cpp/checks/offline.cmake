# Sets OFFLINE_COMMAND to what a command is put behind to run without network; empty where this
# machine does not allow that.
set(OFFLINE_COMMAND "")
find_program(UNSHARE unshare NO_CACHE)
foreach(user IN ITEMS "" "--user;--map-root-user")
  if(UNSHARE AND NOT OFFLINE_COMMAND)
    execute_process(COMMAND "${UNSHARE}" ${user} --net true RESULT_VARIABLE status
                    OUTPUT_QUIET ERROR_QUIET)
    if(status EQUAL 0)
      set(OFFLINE_COMMAND "${UNSHARE}" ${user} --net)
    endif()
  endif()
endforeach()
