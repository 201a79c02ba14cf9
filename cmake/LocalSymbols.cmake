# Joins C++ objects and a Rust static library into one library that shows its own interface only.
#
# Two Rust static libraries in one program define rust_eh_personality and more twice, so ours are
# made local: `ld -r` joins everything that the C++ objects need into one object, and objcopy turns
# each symbol that is not listed into a local one. `--force-group-allocation` dissolves COMDAT
# groups first: the linker identifies a group by name even when its symbols are local, and would
# drop our copy of an inline function in favour of a stranger's while we still refer to ours.
# The bitcode that objects of Rust carry goes: joined it is garbage, and an `ar` that has LLVM's
# plugin dies of it. Sections keep their names, so that --gc-sections still removes what a program
# does not use.

get_filename_component(SHF_BINUTILS "${CMAKE_OBJCOPY}" DIRECTORY)
# gold and lld lack --force-group-allocation in the versions that distributions ship.
find_program(SHF_LD NAMES ld.bfd ld HINTS "${SHF_BINUTILS}" DOC "GNU ld, which joins the objects")
mark_as_advanced(SHF_LD)
if(NOT SHF_LD OR NOT CMAKE_OBJCOPY)
  message(FATAL_ERROR "SharedHashFile needs GNU ld and objcopy; install the package binutils.")
endif()

# What C++ code must be compiled with to be joined: code for link-time optimisation is no machine
# code yet, and objcopy cannot make a symbol of gcc's kind GNU_UNIQUE local.
set(SHF_JOINABLE_FLAGS -fno-lto)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND SHF_JOINABLE_FLAGS -fno-gnu-unique)
endif()

# shf_add_static_library(<name> OBJECTS <object library> RUST <rust library> SYMBOLS <file>)
#
# Makes the static library <name> and sets <name>_OBJECT, the one object that it consists of.
# SYMBOLS holds one wildcard a line; what matches stays global, except for what matches a line with
# a leading exclamation mark. What Coverage.cmake sets applies: SHF_JOIN_FLAGS.
function(shf_add_static_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "OBJECTS;RUST;SYMBOLS" "")
  string(TOUPPER "${arg_RUST}" RUST)
  set(archive "${${RUST}_ARCHIVE}")
  set(object "${CMAKE_CURRENT_BINARY_DIR}")
  if(SHF_MULTI_CONFIG)
    string(APPEND object "/$<CONFIG>")
  endif()
  string(APPEND object "/${name}.o")

  target_compile_options(${arg_OBJECTS} PRIVATE ${SHF_JOINABLE_FLAGS})
  add_custom_command(
    OUTPUT "${object}"
    COMMAND "${SHF_LD}" -r --force-group-allocation ${SHF_JOIN_FLAGS} -o "${object}.joined"
            "$<TARGET_OBJECTS:${arg_OBJECTS}>" "${archive}"
    COMMAND "${CMAKE_OBJCOPY}" --wildcard "--keep-global-symbols=${arg_SYMBOLS}"
            --remove-section=.llvmbc --remove-section=.llvmcmd
            "${object}.joined" "${object}"
    COMMAND "${CMAKE_COMMAND}" -E rm "${object}.joined"
    DEPENDS "$<TARGET_OBJECTS:${arg_OBJECTS}>" "${archive}" "${arg_SYMBOLS}"
    COMMENT "Making the symbols of ${name} local"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_library(${name} STATIC "${object}")
  add_dependencies(${name} ${arg_RUST} ${arg_OBJECTS})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(${name} INTERFACE ${SHF_RUST_SYSTEM_LIBRARIES})
  set(${name}_OBJECT "${object}" PARENT_SCOPE)
endfunction()
