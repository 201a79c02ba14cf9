# Says what `cmake --install` installs: the headers, the libraries, what find_package() and
# pkg-config read, and the licences.
#
# Nothing of it holds an absolute path (Paths.cmake has the exceptions for debuggers), so an
# installed tree may be moved. Components bear our name, so that a project that has us as a part can
# leave them out of packages of its own.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# include/shf/internal is for the bridge; no public header needs it.
install(DIRECTORY include/ DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT SharedHashFile_Development FILES_MATCHING PATTERN "*.hpp"
        PATTERN internal EXCLUDE)
install(TARGETS ${SHF_LIBRARIES} EXPORT SharedHashFile
        ARCHIVE COMPONENT SharedHashFile_Development
        LIBRARY COMPONENT SharedHashFile_Runtime NAMELINK_COMPONENT SharedHashFile_Development
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
# `cmake --install --strip` and packages leave debug information out; CMake itself does that to
# shared libraries only. Its share of the archive is four fifths.
install(CODE "
  if(CMAKE_INSTALL_DO_STRIP)
    set(archive \"${CMAKE_INSTALL_LIBDIR}/$<TARGET_FILE_NAME:SharedHashFile>\")
    cmake_path(ABSOLUTE_PATH archive BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\")
    execute_process(COMMAND \"${CMAKE_OBJCOPY}\" --strip-debug \"\$ENV{DESTDIR}\${archive}\"
                    COMMAND_ERROR_IS_FATAL ANY)
  endif()" COMPONENT SharedHashFile_Development)
install(FILES LICENSE-APACHE LICENSE-MIT LICENSE-THIRD-PARTY
        DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/SharedHashFile" COMPONENT SharedHashFile_Licences)

# For find_package(). Before version 1 each minor version may break programs.
set(SHF_CONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/SharedHashFile")
configure_package_config_file(cmake/SharedHashFileConfig.cmake.in SharedHashFileConfig.cmake
  INSTALL_DESTINATION "${SHF_CONFIG_DIR}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(SharedHashFileConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/SharedHashFileConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/SharedHashFileConfigVersion.cmake"
        DESTINATION "${SHF_CONFIG_DIR}" COMPONENT SharedHashFile_Development)
install(EXPORT SharedHashFile NAMESPACE SharedHashFile:: FILE SharedHashFileTargets.cmake
        DESTINATION "${SHF_CONFIG_DIR}" COMPONENT SharedHashFile_Development)

# For pkg-config. Without a shared library every link is a static one, and needs what Rust needs.
set(SHF_PKG_CONFIG_DIR "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig")
file(RELATIVE_PATH SHF_PREFIX_FROM_PKG_CONFIG "${SHF_PKG_CONFIG_DIR}" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" SHF_PREFIX_FROM_PKG_CONFIG "${SHF_PREFIX_FROM_PKG_CONFIG}")
file(RELATIVE_PATH SHF_INCLUDE_FROM_PREFIX
     "${CMAKE_INSTALL_PREFIX}" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
file(RELATIVE_PATH SHF_LIB_FROM_PREFIX "${CMAKE_INSTALL_PREFIX}" "${CMAKE_INSTALL_FULL_LIBDIR}")
list(JOIN SHF_RUST_SYSTEM_LIBRARIES " " SHF_PRIVATE_LIBRARIES)
set(SHF_PUBLIC_LIBRARIES "")
if(NOT SHF_SHARED)
  set(SHF_PUBLIC_LIBRARIES " ${SHF_PRIVATE_LIBRARIES}")
  set(SHF_PRIVATE_LIBRARIES "")
endif()
configure_file(cmake/sharedhashfile.pc.in sharedhashfile.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/sharedhashfile.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT SharedHashFile_Development)
