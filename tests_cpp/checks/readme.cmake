# Checks that README shows EXAMPLE, byte for byte, as a block of C++.
file(READ "${README}" readme)
file(READ "${EXAMPLE}" example)
string(FIND "${readme}" "```cpp\n${example}```" at)
if(at EQUAL -1)
  message(FATAL_ERROR "No block of C++ in ${README} equals ${EXAMPLE}; copy the file into it.")
endif()
