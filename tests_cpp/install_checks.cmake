# The checks of what is installed and packaged. One scratch build, which is gone when they begin,
# serves them all; CTest runs it before them, also when only one of them is asked for.
set(SHF_INSTALLED "${CMAKE_CURRENT_BINARY_DIR}/installed")

# shf_add_install_check(<name> <script> <variable>=<value>...)
function(shf_add_install_check name script)
  shf_add_check(${name} ${script} "SCRATCH=${SHF_INSTALLED}" "VERSION=${PROJECT_VERSION}" ${ARGN})
  set_tests_properties(check.${name} PROPERTIES FIXTURES_REQUIRED installed)
endfunction()

shf_add_check(install install
  SOURCE=${PROJECT_SOURCE_DIR} SCRATCH=${SHF_INSTALLED} CXX=${CMAKE_CXX_COMPILER}
  GENERATOR=${CMAKE_GENERATOR} MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}
  CARGO=${SHF_CARGO} RUSTC=${SHF_RUSTC})
# It is long, and others wait for it.
set_tests_properties(check.install PROPERTIES FIXTURES_SETUP installed COST 300)
add_test(NAME check.install-cleanup COMMAND "${CMAKE_COMMAND}" -E rm -rf "${SHF_INSTALLED}")
set_tests_properties(check.install-cleanup PROPERTIES FIXTURES_CLEANUP installed LABELS check)

shf_add_check(package-architecture package_architecture
  SOURCE=${PROJECT_SOURCE_DIR} SCRATCH=${CMAKE_CURRENT_BINARY_DIR}/package_architecture
  CXX=${CMAKE_CXX_COMPILER} GENERATOR=${CMAKE_GENERATOR} MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}
  CARGO=${SHF_CARGO} RUSTC=${SHF_RUSTC})
shf_add_install_check(installed-files installed_files OBJDUMP=${CMAKE_OBJDUMP}
  CARGO_HOME=${SHF_CARGO_HOME} SYSROOT=${SHF_RUST_SYSROOT})
shf_add_install_check(shared-library-exports-only-ours symbols
  NM=${CMAKE_NM} OPTIONS=--dynamic
  "FOLDER=${SHF_INSTALLED}/moved/both" "NAME=libSharedHashFile.so.*.*.*")
shf_add_install_check(debian-packages debian_packages OBJDUMP=${CMAKE_OBJDUMP})
shf_add_install_check(debian-dependencies debian_dependencies)
shf_may_skip(debian-packages debian-dependencies)
foreach(compiler IN ITEMS g++ clang++)
  shf_add_install_check(find-package-with-${compiler} find_package
    COMPILER=${compiler} GENERATOR=${CMAKE_GENERATOR} MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM})
  shf_add_install_check(pkg-config-with-${compiler} pkg_config
    COMPILER=${compiler} OBJDUMP=${CMAKE_OBJDUMP})
  shf_may_skip(find-package-with-${compiler} pkg-config-with-${compiler})
endforeach()
shf_add_install_check(find-package-without-network find_package
  COMPILER=${CMAKE_CXX_COMPILER} GENERATOR=${CMAKE_GENERATOR} MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}
  OFFLINE=ON)
shf_may_skip(find-package-without-network)
