# Checks which files are installed, that none of them, libraries included, names a folder of this
# machine, and the name by which programs remember the shared library. SCRATCH is the folder of
# install.cmake, VERSION the library's; OBJDUMP tells that name. CARGO_HOME and SYSROOT are folders
# of Rust that must not be named, just as SCRATCH.
string(REGEX MATCH "^[0-9]+\\.[0-9]+" series "${VERSION}")
set(config cmake/SharedHashFile/SharedHashFile)
set(expected_static
    include/SharedHashFile.hpp include/shf/access.hpp include/shf/age.hpp include/shf/condition.hpp
    include/shf/entries.hpp include/shf/fixed.hpp include/shf/frozen.hpp include/shf/group.hpp
    include/shf/listed.hpp include/shf/map.hpp include/shf/memory.hpp include/shf/process.hpp include/shf/result.hpp
    include/shf/stats.hpp
    include/shf/value.hpp
    LIB/libSharedHashFile.a LIB/${config}Config.cmake LIB/${config}ConfigVersion.cmake
    LIB/${config}Targets-release.cmake LIB/${config}Targets.cmake LIB/pkgconfig/sharedhashfile.pc
    share/doc/SharedHashFile/LICENSE-APACHE share/doc/SharedHashFile/LICENSE-MIT
    share/doc/SharedHashFile/LICENSE-THIRD-PARTY)
set(expected_both ${expected_static} LIB/libSharedHashFile.so LIB/libSharedHashFile.so.${series}
    LIB/libSharedHashFile.so.${VERSION})
set(expected_part ${expected_static} parent/parent.cmake)

# Demands that a file names no folder of this machine.
function(expect_no_path file)
  foreach(folder IN ITEMS "${SCRATCH}" "${CARGO_HOME}" "${SYSROOT}")
    execute_process(COMMAND grep --text --count --fixed-strings -e "${folder}" "${file}"
                    OUTPUT_VARIABLE lines RESULT_VARIABLE status)
    if(NOT status EQUAL 1)
      message(SEND_ERROR "${file} names ${folder} in ${lines} lines")
    endif()
  endforeach()
endfunction()

foreach(name IN ITEMS both static part)
  set(prefix "${SCRATCH}/moved/${name}")
  file(GLOB_RECURSE files RELATIVE "${prefix}" "${prefix}/*")
  foreach(file IN LISTS files)
    expect_no_path("${prefix}/${file}")
    if(file MATCHES "^include/")
      file(READ "${prefix}/${file}" text)
      if(text MATCHES "#include \"(rust/|shf/internal/)")
        message(SEND_ERROR "${name}/${file} includes what is not installed")
      endif()
    endif()
  endforeach()
  # The folder of libraries is Debian's or that of other systems.
  list(TRANSFORM files REPLACE "^lib(64|/[a-z0-9_]+-linux-gnu)?/" "LIB/")
  list(SORT files)
  list(SORT expected_${name})
  if(NOT files STREQUAL expected_${name})
    message(SEND_ERROR "${name} has   ${files}\nshould be ${expected_${name}}")
  endif()
endforeach()

file(GLOB_RECURSE library "${SCRATCH}/moved/both/libSharedHashFile.so")
execute_process(COMMAND "${OBJDUMP}" -p "${library}" OUTPUT_VARIABLE headers
                COMMAND_ERROR_IS_FATAL ANY)
if(NOT headers MATCHES "SONAME +libSharedHashFile\\.so\\.${series}\n")
  message(SEND_ERROR "the shared library does not call itself libSharedHashFile.so.${series}:\n\
${headers}")
endif()
