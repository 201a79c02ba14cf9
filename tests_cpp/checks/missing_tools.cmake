# Checks that configuring with an old Rust, without Rust, or without nightly for a sanitizer fails
# with a message that says what was found and what to install. SCRATCH is a folder of our own;
# CXX, GENERATOR, MAKE_PROGRAM, CARGO and RUSTC are those of the build that runs this.
file(REMOVE_RECURSE "${SCRATCH}")
file(MAKE_DIRECTORY "${SCRATCH}")

# Writes a shell script that stands for rustc.
function(write_rustc name script)
  file(WRITE "${SCRATCH}/${name}" "#!/bin/sh\n${script}\n")
  file(CHMOD "${SCRATCH}/${name}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# Configures with the given options and demands failure and each of the texts.
function(expect_complaint name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ENVIRONMENT;OPTIONS;TEXTS")
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env ${arg_ENVIRONMENT}
            "${CMAKE_COMMAND}" -S "${SOURCE}" -B "${SCRATCH}/build-${name}" -G "${GENERATOR}"
            "-DCMAKE_MAKE_PROGRAM=${MAKE_PROGRAM}" "-DCMAKE_CXX_COMPILER=${CXX}" ${arg_OPTIONS}
    OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE status)
  # Messages are wrapped for the screen.
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(status EQUAL 0)
    message(SEND_ERROR "${name}: the configuration succeeded")
  endif()
  foreach(text IN LISTS arg_TEXTS)
    string(FIND "${output}" "${text}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "${name}: the message lacks `${text}`:\n${output}")
    endif()
  endforeach()
endfunction()

write_rustc(old-rustc "printf 'rustc 1.63.0\\nhost: x86_64-unknown-linux-gnu\\nrelease: 1.63.0\\n'")
expect_complaint(old
  OPTIONS "-DSHF_CARGO=${CARGO}" "-DSHF_RUSTC=${SCRATCH}/old-rustc"
  TEXTS "is 1.63.0" "or later" "rustup update stable")
expect_complaint(none
  ENVIRONMENT "HOME=${SCRATCH}" --unset=CARGO_HOME
  OPTIONS -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF
  TEXTS "found none" "https://rustup.rs")

write_rustc(stable-rustc "[ \"$1\" != +nightly ] && exec '${RUSTC}' \"$@\"
echo 'error: toolchain nightly is not installed' >&2; exit 1")
expect_complaint(no-nightly
  OPTIONS "-DSHF_CARGO=${CARGO}" "-DSHF_RUSTC=${SCRATCH}/stable-rustc" -DSHF_SANITIZER=address
  TEXTS "rustup toolchain install nightly")

write_rustc(no-source-rustc "[ \"$1\" != +nightly ] && exec '${RUSTC}' \"$@\"
echo '${SCRATCH}'")
expect_complaint(no-source
  OPTIONS "-DSHF_CARGO=${CARGO}" "-DSHF_RUSTC=${SCRATCH}/no-source-rustc" -DSHF_SANITIZER=thread
  TEXTS "rustup component add rust-src --toolchain nightly")
