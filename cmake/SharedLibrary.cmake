# Makes a shared library of the object that a static library consists of.
#
# SHF_SHARED asks for it; it is built beside the static library, not instead of it, since both come
# from one object at the cost of one more link. BUILD_SHARED_LIBS has no say: a project that has us
# as a part sets it for libraries of its own, and SharedHashFile::SharedHashFile must stay what it
# is. So a program names the one it wants, and may even have one of each in its parts.
#
# The object shows the public symbols only, so no version script repeats them.
option(SHF_SHARED "Build SharedHashFile::Shared, a shared library, too" OFF)

# shf_add_shared_library(<name> OF <static library>)
#
# Before version 1 each minor version may break programs, so the name that programs remember
# (SONAME) has it too.
function(shf_add_shared_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OF" "")
  add_library(${name} SHARED "${${arg_OF}_OBJECT}")
  # Makefiles would otherwise make the object twice, at the same time.
  add_dependencies(${name} ${arg_OF})
  set_target_properties(${name} PROPERTIES
    OUTPUT_NAME ${arg_OF} EXPORT_NAME Shared LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  # Where the C++ library is linked statically, its symbols stay inside; and libraries that today's
  # libc has in itself are not named as needed.
  target_link_options(${name} PRIVATE LINKER:--exclude-libs,ALL LINKER:--as-needed)
  target_link_libraries(${name} PRIVATE ${SHF_RUST_SYSTEM_LIBRARIES})
endfunction()
