# Demands of BENCH that wrong options are named, with the usage, and that nothing is run.
function(refuse option)
  execute_process(COMMAND "${BENCH}" ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output
                  ERROR_VARIABLE complaint)
  if(NOT status EQUAL 2 OR NOT output STREQUAL "")
    message(FATAL_ERROR "${ARGV}: ends with ${status} and prints: ${output}")
  endif()
  if(NOT complaint MATCHES "${option}.*Usage:")
    message(FATAL_ERROR "${ARGV}: is told: ${complaint}")
  endif()
endfunction()

refuse(--processes 0)
refuse(--keys many)
refuse(--kyes 5)
refuse(--value-bytes-max 50)
refuse(--folder /there/is/none)
refuse(--json /there/is/none.json)
