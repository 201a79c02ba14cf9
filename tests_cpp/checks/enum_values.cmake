# Demands of make-docs.cmake in SOURCE that it names each value of an enum that is not documented:
# the last one too, which needs no comma, and one with digits. The header for that is in SCRATCH.
cmake_policy(VERSION 3.25)

# All but `bare` are documented; an empty one is none.
function(make_docs bare)
  set(text "enum class Kind {\n")
  foreach(value IN ITEMS "kFirst = 0," "kSecond," "kUtf8 = 2," "kLast")
    if(value STREQUAL bare)
      string(APPEND text "  ${value}\n")
    else()
      string(APPEND text "  ${value}  ///< text\n")
    endif()
  endforeach()
  file(WRITE "${SCRATCH}/include/kind.hpp" "${text}};\n")
  # What would read the whole project is replaced by a program that does nothing.
  execute_process(
    COMMAND "${CMAKE_COMMAND}" "-DSOURCE=${SCRATCH}" "-DOUTPUT=${SCRATCH}/docs" -DDOXYGEN=true
            -DLANGUAGE=cpp -P "${SOURCE}/cmake/make-docs.cmake"
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE complaint)
  if(bare STREQUAL "" AND NOT status EQUAL 0)
    message(FATAL_ERROR "everything is documented, but: ${complaint}")
  endif()
  string(REGEX REPLACE "[ \n]+" " " complaint "${complaint}")  # CMake breaks lines
  string(FIND "${complaint}" "not documented: ${bare}" at)
  if(NOT bare STREQUAL "" AND (status EQUAL 0 OR at EQUAL -1))
    message(FATAL_ERROR "${bare} is not documented, and make-docs says: ${complaint}")
  endif()
endfunction()

foreach(bare IN ITEMS "" "kFirst = 0," "kSecond," "kUtf8 = 2," "kLast")
  make_docs("${bare}")
endforeach()
