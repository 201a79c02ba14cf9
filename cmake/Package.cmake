# Says how `cpack` makes Debian packages of what is installed: libsharedhashfile-dev and, where the
# shared library is built (SHF_SHARED), libsharedhashfile<SONAME>.
#
# A build that is to be packaged is configured with the prefix /usr, which puts libraries where
# Debian has them; the preset `deb` does that.
set(CPACK_GENERATOR DEB)
# The project has no address that answers yet: who gives packages to others puts in their own. Nor
# has it a page; CPack takes the field Homepage from project(HOMEPAGE_URL).
set(CPACK_PACKAGE_CONTACT "The SharedHashFile developers <developers@sharedhashfile.invalid>"
    CACHE STRING "Who maintains the packages: name <address>")
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# CPack asks the machine that it runs on, unless told.
if(CMAKE_CROSSCOMPILING AND NOT CPACK_DEBIAN_PACKAGE_ARCHITECTURE)
  set(architectures "x86_64=amd64" "aarch64=arm64" "ppc64le=ppc64el" "riscv64=riscv64")
  list(FILTER architectures INCLUDE REGEX "^${CMAKE_SYSTEM_PROCESSOR}=")
  if(architectures)
    string(REGEX REPLACE ".*=" "" CPACK_DEBIAN_PACKAGE_ARCHITECTURE "${architectures}")
  else()
    message(WARNING "Debian packages of this build would be called this machine's: say what \
${CMAKE_SYSTEM_PROCESSOR} is to Debian with CPACK_DEBIAN_PACKAGE_ARCHITECTURE")
  endif()
endif()

# What each package must have, licences included, at a place of its own.
file(READ LICENSE-MIT SHF_LICENSE_MIT)
file(READ LICENSE-THIRD-PARTY SHF_LICENSE_THIRD_PARTY)
configure_file(cmake/debian-copyright.in debian-copyright @ONLY)
function(shf_package component name section description)
  string(TOUPPER "${component}" COMPONENT)
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${component} PARENT_SCOPE)
  set(CPACK_DEBIAN_${COMPONENT}_PACKAGE_NAME "${name}" PARENT_SCOPE)
  set(CPACK_DEBIAN_${COMPONENT}_PACKAGE_SECTION "${section}" PARENT_SCOPE)
  # The first line, which says what the project is, comes from the project.
  set(CPACK_DEBIAN_${COMPONENT}_DESCRIPTION "${description}" PARENT_SCOPE)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/debian-copyright" RENAME copyright
          DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/${name}" COMPONENT ${component}
          EXCLUDE_FROM_ALL)
endfunction()

set(CPACK_COMPONENTS_ALL "")
shf_package(SharedHashFile_Development libsharedhashfile-dev libdevel
  "This package has what is needed to build programs with it.")
if(SHF_SHARED)
  set(SHF_RUNTIME "libsharedhashfile${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}")
  shf_package(SharedHashFile_Runtime ${SHF_RUNTIME} libs
    "This package has the shared library, for programs that were built with it.")
  set(CPACK_DEBIAN_SHAREDHASHFILE_DEVELOPMENT_PACKAGE_DEPENDS
      "${SHF_RUNTIME} (= ${PROJECT_VERSION})")
  # Both tools are needed to find out what the library depends on; without the second CPack ends.
  find_program(SHF_SHLIBDEPS dpkg-shlibdeps DOC "Finds the dependencies of a Debian package")
  find_program(SHF_FILE file DOC "Finds the shared libraries in a Debian package")
  mark_as_advanced(SHF_SHLIBDEPS SHF_FILE)
  if(CMAKE_CROSSCOMPILING)
    # dpkg-shlibdeps knows the packages of this machine only, and CPack ends when it fails.
    message(WARNING "Debian packages of this build name no dependencies: it is a cross build")
  elseif(SHF_SHLIBDEPS AND SHF_FILE)
    set(CPACK_DEBIAN_SHAREDHASHFILE_RUNTIME_PACKAGE_SHLIBDEPS ON)
    set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
    set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
  else()
    message(WARNING "Debian packages of this build name no dependencies: install dpkg-dev and file")
  endif()
endif()

include(CPack)
