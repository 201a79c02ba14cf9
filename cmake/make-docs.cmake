# Makes the API reference of LANGUAGE, cpp or rust, into OUTPUT: SOURCE is this project, DOXYGEN and
# CARGO are the tools. See Docs.cmake.
cmake_policy(VERSION 3.25)

function(make_cpp)
  # doxygen 1.9.4 does not ask for descriptions of the values of an enum class.
  file(GLOB headers "${SOURCE}/include/*.hpp" "${SOURCE}/include/shf/*.hpp")
  foreach(header IN LISTS headers)
    file(STRINGS "${header}" values REGEX "^ +k[A-Z][A-Za-z0-9]*( = [0-9]+)?,?( |$)")
    list(FILTER values EXCLUDE REGEX "///<")
    if(values)
      message(FATAL_ERROR "${header}: not documented: ${values}")
    endif()
  endforeach()
  if(NOT DOXYGEN)
    message("skipped: doxygen is not installed (Debian: apt-get install doxygen)")
    return()
  endif()
  file(REMOVE_RECURSE "${OUTPUT}/cpp")
  file(MAKE_DIRECTORY "${OUTPUT}/cpp")
  set(ENV{SHF_DOCS_DIR} "${OUTPUT}/cpp")
  execute_process(COMMAND "${DOXYGEN}" Doxyfile WORKING_DIRECTORY "${SOURCE}"
                  COMMAND_ERROR_IS_FATAL ANY)
  message(STATUS "C++: ${OUTPUT}/cpp/html/index.html")
endfunction()

function(make_rust)
  set(ENV{CARGO_TARGET_DIR} "${OUTPUT}/rust")
  set(ENV{RUSTDOCFLAGS} "-D warnings")
  execute_process(COMMAND "${CARGO}" doc --locked --no-deps --lib -p shf-base -p shf-engine
                  WORKING_DIRECTORY "${SOURCE}" COMMAND_ERROR_IS_FATAL ANY)
  message(STATUS "Rust: ${OUTPUT}/rust/doc/shf_engine/index.html")
endfunction()

cmake_language(CALL "make_${LANGUAGE}")
