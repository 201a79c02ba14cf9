# Checks that LIBRARY defines global symbols of the namespace shf, of the class SharedHashFile and
# of the found value only. NM lists them; OPTIONS is --dynamic for a shared library. Instead of
# LIBRARY, a NAME with wildcards may be given that one file at or below FOLDER has.
if(FOLDER)
  file(GLOB_RECURSE LIBRARY "${FOLDER}/${NAME}")
  list(LENGTH LIBRARY found)
  if(NOT found EQUAL 1)
    message(FATAL_ERROR "${found} files below ${FOLDER} are called ${NAME}, should be one: "
            "${LIBRARY}")
  endif()
endif()
execute_process(COMMAND "${NM}" ${OPTIONS} --extern-only --defined-only --format=posix ${LIBRARY}
                OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\n[^ \n]+ [A-Za-z] " symbols "\n${listing}")
set(ours "^(_ZN(K|R|KR|O)?3shf|_ZT[VIS]N3shf|_ZNK?14SharedHashFile|shf_val |shf_val_len )")
set(internal "^_ZNK?3shf(6bridge|7classic)")
foreach(symbol IN LISTS symbols)
  string(STRIP "${symbol} " symbol)
  if(NOT "${symbol} " MATCHES "${ours}" OR "${symbol}" MATCHES "${internal}")
    message(SEND_ERROR "not part of the interface, but global: ${symbol}")
  endif()
endforeach()

# An empty archive, or one of another compiler's mangling, must not pass.
foreach(needed IN ITEMS _ZN14SharedHashFile _ZN3shf3Map "shf_val " "shf_val_len ")
  if(NOT listing MATCHES "\n${needed}")
    message(SEND_ERROR "no global symbol begins with ${needed}")
  endif()
endforeach()
