# Checks that LICENSE-THIRD-PARTY names the Rust packages of the library, no others, with their
# licences, and the parts of Rust's standard library that LIBRARY has symbols of. SOURCE is our
# project, CARGO and RUSTC make the library for TRIPLE, NM lists its symbols.
file(READ "${SOURCE}/LICENSE-THIRD-PARTY" text)
string(REGEX MATCH "\nRust packages\n(.*)\nRust's standard library\n(.*)\nMIT\n" matched "${text}")
set(packages "${CMAKE_MATCH_1}")
set(standard "${CMAKE_MATCH_2}")

function(ask result)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${SOURCE}" OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${result} "${answer}" PARENT_SCOPE)
endfunction()

# Entries are indented by two, what is said of them by four.
ask(tree "${CARGO}" tree --locked --package shf-bridge --target "${TRIPLE}"
    --edges normal,no-proc-macro --prefix none --no-dedupe --format "{p}|{l}")
string(REPLACE "\n" ";" tree "${tree}")
list(FILTER tree EXCLUDE REGEX "^shf-")
list(TRANSFORM tree REPLACE "^([^ ]+) [^|]*[|]" "  \\1  ")
list(REMOVE_DUPLICATES tree)
list(SORT tree)
string(REGEX MATCHALL "\n  [a-z][^\n]+" named "${packages}")
list(TRANSFORM named REPLACE "^\n" "")
list(SORT named)
if(NOT tree OR NOT named STREQUAL tree)
  message(SEND_ERROR "LICENSE-THIRD-PARTY has ${named}\nshould be               ${tree}")
endif()

ask(folder "${RUSTC}" --print target-libdir --target "${TRIPLE}")
ask(symbols "${NM}" "${LIBRARY}")
string(REGEX MATCHALL "\n  [a-z][^\n]+" named "${standard}")
file(GLOB crates RELATIVE "${folder}" "${folder}/lib*.rlib")
set(found 0)
foreach(crate IN LISTS crates)
  string(REGEX REPLACE "^lib(.*)-[0-9a-f]+\\.rlib$" "\\1" crate "${crate}")
  string(LENGTH "${crate}" length)
  if(symbols MATCHES "[A-Z_]${length}${crate}[0-9]")
    math(EXPR found "${found} + 1")
    if(NOT named MATCHES "[ ,]${crate}[ ,]")
      message(SEND_ERROR "LICENSE-THIRD-PARTY lacks ${crate} of Rust's standard library")
    endif()
  endif()
endforeach()
if(found LESS 3)
  message(SEND_ERROR "${LIBRARY} has nothing of Rust's standard library in ${folder}")
endif()
