# Finds cargo and lets it build a Rust package as one step of a CMake build.
#
# Sets SHF_CARGO, SHF_RUSTC, SHF_RUSTC_VERSION, SHF_RUSTC_COMMIT, SHF_RUST_TRIPLE (of what is built)
# and SHF_RUST_SYSTEM_LIBRARIES (what a program with Rust in it links besides), or ends the
# configuration with a message that says what to install.
#
# Cargo decides what is stale, but it is only asked when a Rust source, a manifest, the lock file,
# the compiler or its flags changed. Sources come from the .d file that cargo writes; manifests are
# named here, because that file omits them.

set(SHF_RUST_PLACES "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
find_program(SHF_CARGO cargo PATHS ${SHF_RUST_PLACES} DOC "The cargo that builds the engine")
get_filename_component(SHF_CARGO_FOLDER "${SHF_CARGO}" DIRECTORY)
find_program(SHF_RUSTC rustc HINTS "${SHF_CARGO_FOLDER}" PATHS ${SHF_RUST_PLACES}
             DOC "The compiler that SHF_CARGO uses")
# A toolchain file for cross compilation sets this; see aarch64-linux-gnu.cmake.
set(SHF_RUST_TARGET "" CACHE STRING "Triple that Rust is compiled for; empty: this machine's")
mark_as_advanced(SHF_CARGO SHF_RUSTC SHF_RUST_TARGET)

# The oldest compiler that will do is written once, in the workspace's manifest.
file(STRINGS "${PROJECT_SOURCE_DIR}/Cargo.toml" SHF_RUSTC_OLDEST REGEX "^rust-version *= *\"")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" SHF_RUSTC_OLDEST "${SHF_RUSTC_OLDEST}")

function(shf_check_rustc)
  set(advice "Install the current Rust with rustup (https://rustup.rs), or update it with \
`rustup update stable`. To use one that is not in PATH, set SHF_CARGO and SHF_RUSTC.")
  if(NOT SHF_CARGO OR NOT SHF_RUSTC)
    message(FATAL_ERROR "SharedHashFile needs cargo and rustc ${SHF_RUSTC_OLDEST} or later, and \
found none. ${advice}")
  endif()
  execute_process(COMMAND "${SHF_RUSTC}" -vV WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                  OUTPUT_VARIABLE description ERROR_VARIABLE description RESULT_VARIABLE status)
  if(NOT status EQUAL 0 OR NOT description MATCHES "release: ([0-9.]+)")
    message(FATAL_ERROR "SharedHashFile needs rustc ${SHF_RUSTC_OLDEST} or later, but \
${SHF_RUSTC} does not tell its version:\n${description}\n${advice}")
  endif()
  set(version "${CMAKE_MATCH_1}")
  if(version VERSION_LESS SHF_RUSTC_OLDEST)
    message(FATAL_ERROR "SharedHashFile needs rustc ${SHF_RUSTC_OLDEST} or later, but \
${SHF_RUSTC} is ${version}. ${advice}")
  endif()
  string(REGEX MATCH "commit-hash: ([^\n]+)" matched "${description}")
  set(commit "${CMAKE_MATCH_1}")
  string(REGEX MATCH "host: ([^\n]+)" host "${description}")
  set(SHF_RUSTC_VERSION "${version}" PARENT_SCOPE)
  set(SHF_RUSTC_COMMIT "${commit}" PARENT_SCOPE)
  if(SHF_RUST_TARGET)
    set(SHF_RUST_TRIPLE "${SHF_RUST_TARGET}" PARENT_SCOPE)
  else()
    set(SHF_RUST_TRIPLE "${CMAKE_MATCH_1}" PARENT_SCOPE)
  endif()
endfunction()

# libc and libgcc_s are left out: every C++ link has them, and a static one has no libgcc_s.
function(shf_find_rust_system_libraries)
  execute_process(COMMAND "${SHF_RUSTC}" --print native-static-libs --crate-type staticlib
                          --target "${SHF_RUST_TRIPLE}" --crate-name shf_probe
                          -o "${CMAKE_CURRENT_BINARY_DIR}/shf_probe.a" -
                  INPUT_FILE /dev/null WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                  OUTPUT_VARIABLE answer ERROR_VARIABLE answer)
  file(REMOVE "${CMAKE_CURRENT_BINARY_DIR}/shf_probe.a")
  if(NOT answer MATCHES "native-static-libs: ([^\n]+)")
    message(FATAL_ERROR "${SHF_RUSTC} cannot build a static library:\n${answer}")
  endif()
  separate_arguments(libraries UNIX_COMMAND "${CMAKE_MATCH_1}")
  list(REMOVE_ITEM libraries -lc -lgcc_s)
  set(SHF_RUST_SYSTEM_LIBRARIES "${libraries}" PARENT_SCOPE)
endfunction()

shf_check_rustc()
shf_find_rust_system_libraries()
message(STATUS "Rust ${SHF_RUSTC_VERSION} for ${SHF_RUST_TRIPLE}: ${SHF_CARGO}")

# shf_add_rust_library(<name> PACKAGE <package> MANIFEST <Cargo.toml> [HEADERS <header>...])
#
# Makes the target <name>, which builds the static library lib<name>.a of a package, and sets
# <NAME>_ARCHIVE and <NAME>_INCLUDE_DIR, the folder of the C++ headers that cxx generates. HEADERS
# are those below that folder: a build knows only changes of files that are named as outputs.
function(shf_add_rust_library name)
  shf_add_rust_package(${name} "lib${name}.a" ${ARGN})
  string(TOUPPER "${name}" NAME)
  set(${NAME}_ARCHIVE "${output}" PARENT_SCOPE)
  set(${NAME}_INCLUDE_DIR "${include_dir}" PARENT_SCOPE)
endfunction()

# shf_add_rust_program(<name> PACKAGE <package> MANIFEST <Cargo.toml>)
#
# Makes the target <name>, which builds the program of that name, and sets <NAME>_PROGRAM.
function(shf_add_rust_program name)
  shf_add_rust_package(${name} "${name}" ${ARGN})
  string(TOUPPER "${name}" NAME)
  set(${NAME}_PROGRAM "${output}" PARENT_SCOPE)
endfunction()

# What both do, for the file <file> in cargo's folder of this profile; sets output and include_dir.
# What Sanitizers.cmake and Coverage.cmake set applies: SHF_RUST_TOOLCHAIN, SHF_RUST_ARGUMENTS,
# SHF_RUST_FLAGS, SHF_RUST_ENVIRONMENT and SHF_CXX_FLAGS; and so does what Paths.cmake sets.
function(shf_add_rust_package name file)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "PACKAGE;MANIFEST" "HEADERS")
  # Each configuration has its own target folder, since the headers lie at one place in it.
  set(build_dir "${PROJECT_BINARY_DIR}")
  if(SHF_MULTI_CONFIG)
    string(APPEND build_dir "/$<CONFIG>")
  endif()
  # Cargo would not notice that paths are replaced now, or no longer.
  set(target_dir "${build_dir}/cargo")
  if(SHF_RUSTC_WITHOUT_PATHS)
    string(APPEND target_dir -without-paths)
  endif()
  set(output_dir "${target_dir}/${SHF_RUST_TRIPLE}/$<IF:$<CONFIG:Debug>,debug,release>")
  set(output "${output_dir}/${file}")
  list(TRANSFORM arg_HEADERS PREPEND "${target_dir}/cxxbridge/")

  get_filename_component(folder "${arg_MANIFEST}" DIRECTORY)
  file(GLOB manifests "${PROJECT_SOURCE_DIR}/rust/*/Cargo.toml" "${folder}/*/Cargo.toml")
  list(APPEND manifests "${arg_MANIFEST}" "${folder}/Cargo.lock")
  # A new member of the workspace is a change of its manifest, which lists the manifests anew.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${arg_MANIFEST}")

  # build.rs compiles the glue between the languages: with our compiler and with our flags.
  list(JOIN SHF_JOINABLE_FLAGS " " joinable_flags)
  set(path_flags "")
  foreach(flag IN LISTS SHF_PATH_FLAGS)
    string(APPEND path_flags " '${flag}'")
  endforeach()
  string(CONCAT cxx_flags "${CMAKE_CXX_FLAGS} ${SHF_CXX_FLAGS}"
         "$<$<CONFIG:Debug>: ${CMAKE_CXX_FLAGS_DEBUG}>"
         "$<$<CONFIG:Release>: ${CMAKE_CXX_FLAGS_RELEASE}>"
         "$<$<CONFIG:RelWithDebInfo>: ${CMAKE_CXX_FLAGS_RELWITHDEBINFO}>"
         "$<$<CONFIG:MinSizeRel>: ${CMAKE_CXX_FLAGS_MINSIZEREL}>"
         " ${joinable_flags}$<$<NOT:$<CONFIG:Debug>>:${path_flags}>")
  # The target folder goes by this variable, since cxx-build asks it where to put the headers.
  set(environment "CARGO_TARGET_DIR=${target_dir}"
      "CXX=${CMAKE_CXX_COMPILER}" "CXXFLAGS=${cxx_flags}" CC_SHELL_ESCAPED_FLAGS=1
      ${SHF_RUST_ENVIRONMENT})
  if(SHF_RUST_FLAGS)
    list(APPEND environment "RUSTFLAGS=${SHF_RUST_FLAGS}")
  endif()
  if(SHF_RUSTC_WITHOUT_PATHS)
    list(APPEND environment
         "RUSTC=$<IF:$<CONFIG:Debug>,${SHF_RUSTC},${SHF_RUSTC_WITHOUT_PATHS}>")
  endif()
  # Programs are linked, which a build for another machine needs to be told about.
  if(SHF_RUST_TARGET)
    string(TOUPPER "CARGO_TARGET_${SHF_RUST_TARGET}_LINKER" linker)
    string(REPLACE "-" "_" linker "${linker}")
    list(APPEND environment "${linker}=${CMAKE_CXX_COMPILER}")
  endif()
  set(command "${SHF_CARGO}" ${SHF_RUST_TOOLCHAIN} build --locked ${SHF_RUST_ARGUMENTS}
      --manifest-path "${arg_MANIFEST}" --package "${arg_PACKAGE}"
      --profile "$<IF:$<CONFIG:Debug>,dev,release>"
      --target "${SHF_RUST_TRIPLE}")

  # Make does not notice that a command line changed; a file that holds it is rewritten then.
  set(settings "${build_dir}/${name}.settings")
  file(GENERATE OUTPUT "${settings}"
       CONTENT "rustc ${SHF_RUSTC_VERSION}\n$<JOIN:${environment};${command},\n>\n")

  string(REPLACE ".a.d" ".d" depfile "${file}.d")
  # Cargo leaves its output alone when only a time stamp changed; it is touched so that cargo is
  # not asked again and again.
  add_custom_command(
    OUTPUT "${output}"
    BYPRODUCTS ${arg_HEADERS}
    COMMAND "${CMAKE_COMMAND}" -E env ${environment} ${command}
    COMMAND "${CMAKE_COMMAND}" -E touch "${output}"
    DEPENDS ${manifests} "${settings}"
    DEPFILE "${output_dir}/${depfile}"
    WORKING_DIRECTORY "${folder}"
    COMMENT "Building the Rust package ${arg_PACKAGE}"
    USES_TERMINAL VERBATIM)
  add_custom_target(${name} DEPENDS "${output}")

  set(output "${output}" PARENT_SCOPE)
  set(include_dir "${target_dir}/cxxbridge" PARENT_SCOPE)
endfunction()
