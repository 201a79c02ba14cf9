# The compiler warnings of our own build, as errors; they bind nobody who builds us as a part.
add_library(shf_warnings INTERFACE)
if(PROJECT_IS_TOP_LEVEL)
  target_compile_options(shf_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror)
endif()
