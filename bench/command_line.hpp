// What the benchmarks' command lines have in common.
#ifndef SHF_BENCH_COMMAND_LINE_HPP_
#define SHF_BENCH_COMMAND_LINE_HPP_

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>

namespace bench {

// Parses, and calls check(), which may throw a CLI::ValidationError. Otherwise prints what is wrong
// and the usage, or the help that was asked for, and returns what the program should end with.
template <typename Check>
std::optional<int> ParseCommandLine(CLI::App* app, int argc, char** argv, Check check) {
  constexpr int kUsageError = 2;
  try {
    app->parse(argc, argv);
    check();
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;
    if (!asked) std::cerr << error.what() << "\n\n";
    (asked ? std::cout : std::cerr) << app->help();
    return asked ? 0 : kUsageError;
  }
}

// An option whose default the help shows.
template <typename T>
CLI::Option* AddOption(CLI::App* app, const char* name, T* value, const char* text) {
  return app->add_option(name, *value, text)->capture_default_str();
}

// Throws where a file cannot be written, before anything is measured; an empty path is none.
inline void CheckWritable(const std::string& option, const std::string& path) {
  if (path.empty() || std::ofstream(path, std::ios::app)) return;
  throw CLI::ValidationError(option, "expected a file that can be written, found " + path);
}

}  // namespace bench

#endif  // SHF_BENCH_COMMAND_LINE_HPP_
