// What the benchmarks' command lines have in common.
#ifndef SHF_BENCH_COMMAND_LINE_HPP_
#define SHF_BENCH_COMMAND_LINE_HPP_

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include "processes.hpp"

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
// Changes no file and leaves no new one.
inline void CheckWritable(const std::string& option, const std::string& path) {
  if (path.empty()) return;
  std::error_code ignored;
  const bool there = std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
  const bool writable = std::ofstream(path, std::ios::app).is_open();
  if (writable && !there) std::filesystem::remove(path, ignored);
  if (writable) return;
  throw CLI::ValidationError(option, "expected a file that can be written, found " + path);
}

// What main() does: parse(argc, argv, &options), which may say what to end with, then run(options).
template <typename Options, typename Parse, typename Run>
int Main(int argc, char** argv, Parse parse, Run run) {
  Options options;
  if (const std::optional<int> exit_code = parse(argc, argv, &options)) return *exit_code;
  CatchInterrupts();
  return run(options);
}

}  // namespace bench

#endif  // SHF_BENCH_COMMAND_LINE_HPP_
