# The target `docs`: the reference of the C++ interface (doxygen) and of the Rust crates (rustdoc),
# in docs/cpp and docs/rust/doc of the build folder. It fails on a public name without a
# description, and on a broken link. What is missing on this machine is skipped, and it says so.
#
# The script below does the work, here and for the tests check.api-reference-*.
find_program(SHF_DOXYGEN doxygen DOC "Makes the reference of the C++ interface")
mark_as_advanced(SHF_DOXYGEN)
foreach(language IN ITEMS cpp rust)
  set(SHF_DOCS_COMMAND_${language} "${CMAKE_COMMAND}" "-DLANGUAGE=${language}"
    "-DSOURCE=${PROJECT_SOURCE_DIR}" "-DOUTPUT=${PROJECT_BINARY_DIR}/docs"
    "-DDOXYGEN=${SHF_DOXYGEN}" "-DCARGO=${SHF_CARGO}"
    -P "${PROJECT_SOURCE_DIR}/cmake/make-docs.cmake")
endforeach()
add_custom_target(docs
  COMMAND ${SHF_DOCS_COMMAND_cpp}
  COMMAND ${SHF_DOCS_COMMAND_rust}
  USES_TERMINAL VERBATIM)
