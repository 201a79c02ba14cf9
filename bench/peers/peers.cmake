# shf_bench_peers: our map beside other stores, each where its Debian package is installed. What is
# missing is said here, and again by the program in its results.
file(GLOB SHF_PEERS_SOURCES CONFIGURE_DEPENDS
  "${CMAKE_CURRENT_SOURCE_DIR}/peers/*.cpp"
  "${CMAKE_CURRENT_SOURCE_DIR}/peers/caches/*.cpp"
  "${CMAKE_CURRENT_SOURCE_DIR}/peers/sections/*.cpp"
  "${CMAKE_CURRENT_SOURCE_DIR}/peers/stores/*.cpp")
add_executable(shf_bench_peers ${SHF_PEERS_SOURCES} machine.cpp)
add_dependencies(shf_bench_peers shf_bench_kit)
find_package(Threads REQUIRED)
target_link_libraries(shf_bench_peers PRIVATE shf_bench_common Threads::Threads)

# Lets the file stores/<name>.cpp know that <header> is there, and links <library> where it has one.
function(shf_bench_peer name header package library)
  string(TOUPPER "${name}" upper)
  find_path(SHF_${upper}_INCLUDE_DIR "${header}")
  mark_as_advanced(SHF_${upper}_INCLUDE_DIR SHF_${upper}_LIBRARY)
  set(found "${SHF_${upper}_INCLUDE_DIR}")
  if(library)
    find_library(SHF_${upper}_LIBRARY "${library}")
    if(NOT SHF_${upper}_LIBRARY)
      set(found "")
    endif()
  endif()
  if(NOT found)
    message(STATUS "shf_bench_peers skips ${name}: it needs the package ${package}")
    return()
  endif()
  target_compile_definitions(shf_bench_peers PRIVATE SHF_BENCH_${upper})
  target_include_directories(shf_bench_peers SYSTEM PRIVATE "${SHF_${upper}_INCLUDE_DIR}")
  if(library)
    target_link_libraries(shf_bench_peers PRIVATE "${SHF_${upper}_LIBRARY}")
  endif()
endfunction()

shf_bench_peer(lmdb lmdb.h liblmdb-dev lmdb)
shf_bench_peer(boost boost/interprocess/managed_mapped_file.hpp libboost-dev "")
shf_bench_peer(redis hiredis/hiredis.h libhiredis-dev hiredis)
# An older TBB than oneTBB has no such header.
shf_bench_peer(tbb tbb/version.h libtbb-dev tbb)
if(SHF_BENCH_RUST_MAPS_PROGRAM)
  add_dependencies(shf_bench_peers shf_bench_rust_maps)
  target_compile_definitions(shf_bench_peers PRIVATE
    SHF_BENCH_RUST_MAPS="${SHF_BENCH_RUST_MAPS_PROGRAM}")
endif()
