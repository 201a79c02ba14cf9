// Runs the Rust program and takes its answers.
#include "rust_maps.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

namespace bench {
namespace {

constexpr std::array<const char*, kPhases> kRustPhases = {"put", "get",    "zipf",  "miss",
                                                          "mix", "update", "resize"};

struct Text {
  char bytes[1 << 16] = {};
};

[[noreturn]] void Become(const std::string& program, const std::vector<std::string>& arguments,
                         const cpu_set_t& allowed, int output) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sched_setaffinity(0, sizeof(allowed), &allowed);
  dup2(output, STDOUT_FILENO);
  std::vector<char*> words = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  execv(program.c_str(), words.data());
  _exit(127);
}

}  // namespace

std::vector<std::string> RustArguments(const Peer& peer, const Workload& work,
                                       const Options& options, unsigned threads) {
  return {"--store",       peer.rust_store,
          "--keys",        std::to_string(work.keys),
          "--value-bytes", std::to_string(work.value_bytes),
          "--operations",  std::to_string(work.operations),
          "--seed",        std::to_string(work.seed),
          "--threads",     std::to_string(threads),
          "--folder",      options.folder};
}

std::string RunRustProgram(const Options& options, const std::vector<std::string>& arguments,
                           const cpu_set_t& allowed, std::string* error) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    *error = "pipe failed";
    return "";
  }
  const pid_t child = fork();
  if (child == 0) Become(options.rust_maps, arguments, allowed, ends[1]);
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t bytes; (bytes = read(ends[0], buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    *error = options.rust_maps + " failed" +
             (WIFEXITED(status) ? ", status " + std::to_string(WEXITSTATUS(status))
                                : ", signal " + std::to_string(WTERMSIG(status)));
  }
  return text;
}

nlohmann::json AskRustProgram(const Options& options, const std::vector<std::string>& arguments) {
  const cpu_set_t allowed = AllowedProcessors();
  const Shared<Text> answer;
  const bool good = RunProcesses(1, nullptr, [&](unsigned) {
    std::string error;
    const std::string text = RunRustProgram(options, arguments, allowed, &error);
    if (text.size() >= sizeof(answer->bytes)) return std::string("too long an answer");
    std::memcpy(answer->bytes, text.data(), text.size());
    return error;
  });
  if (!good) return nullptr;
  nlohmann::json json = nlohmann::json::parse(answer->bytes, nullptr, false);
  if (json.is_object()) return json;
  std::fprintf(stderr, "bench: not an answer: %s\n", answer->bytes);
  return nullptr;
}

void TakeVersion(const Peer& peer, const nlohmann::json& answer, Context* context) {
  for (Peer& known : context->peers) {
    if (known.rust_store != peer.rust_store) continue;
    known.version = answer.value("version", "");
    Way& way = known.ways.front();
    way.configuration = answer.value("configuration", way.configuration);
  }
}

void MeasureRustThroughput(const Plan& plan, const Peer& peer, Context* context) {
  std::string phases;
  for (const Phase phase : plan.phases) {
    phases += (phases.empty() ? "" : ",") + std::string(kRustPhases[phase]);
  }
  std::vector<std::string> arguments =
      RustArguments(peer, plan.work, context->options, plan.processes);
  arguments.insert(arguments.end(), {"--phases", phases});
  const nlohmann::json answer = AskRustProgram(context->options, arguments);
  if (answer.is_null()) return context->Fail(peer.name(), plan.section);
  TakeVersion(peer, answer, context);
  const nlohmann::json mops = answer.value("mops", nlohmann::json::object());
  for (const Phase phase : plan.phases) {
    const auto figure = mops.find(kRustPhases[phase]);
    if (figure == mops.end()) continue;
    context->Add(peer.name(), plan.scene(), kPhaseNames[phase], kMops, figure->get<double>());
  }
}

}  // namespace bench
