# Checks what the Debian package of the shared library depends on, and what it tells packages that
# depend on it. SCRATCH is the folder of install.cmake, VERSION the library's.
foreach(tool IN ITEMS dpkg-deb dpkg-shlibdeps file)
  find_program(TOOL ${tool} NO_CACHE)
  if(NOT TOOL)
    message("skipped: ${tool} is not installed")
    return()
  endif()
  unset(TOOL)
endforeach()
string(REGEX MATCH "^[0-9]+\\.[0-9]+" series "${VERSION}")
set(runtime "libsharedhashfile${series}")
file(GLOB package "${SCRATCH}/packages/both/${runtime}_${VERSION}_*.deb")

# Demands that dpkg-deb answers what matches.
function(expect regex)
  execute_process(COMMAND dpkg-deb ${ARGN} OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(NOT answer MATCHES "${regex}")
    message(SEND_ERROR "dpkg-deb ${ARGN}: `${answer}`, should match `${regex}`")
  endif()
endfunction()

expect("^libc6 .*libstdc\\+\\+6 " --field "${package}" Depends)
expect("^libSharedHashFile ${series} ${runtime} \\(>= ${VERSION}\\)$" --info "${package}" shlibs)
