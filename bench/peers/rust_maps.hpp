// The Rust program that measures maps written in Rust, and our engine without the C++ interface.
//
// It is given the store and what to do, and answers with one JSON object on its standard output:
//
//     {"store", "version", "mops": {"put", ...}, "latency_ns": {"p50", ...}, "memory": {"loaded",
//     ...}}
#ifndef SHF_BENCH_PEERS_RUST_MAPS_HPP_
#define SHF_BENCH_PEERS_RUST_MAPS_HPP_

#include <sched.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "context.hpp"
#include "throughput.hpp"

namespace bench {

// The options of the program for a workload.
std::vector<std::string> RustArguments(const Peer& peer, const Workload& work,
                                       const Options& options, unsigned threads);

// Becomes the parent of the program in this process and returns what it wrote; sets *error when it
// failed. The program chooses among the processors that are allowed.
std::string RunRustProgram(const Options& options, const std::vector<std::string>& arguments,
                           const cpu_set_t& allowed, std::string* error);

// What the program answered, in a process of its own; null: it failed, which was said.
nlohmann::json AskRustProgram(const Options& options, const std::vector<std::string>& arguments);

// What MeasureThroughput does with other peers.
void MeasureRustThroughput(const Plan& plan, const Peer& peer, Context* context);

// Remembers the version that an answer tells.
void TakeVersion(const Peer& peer, const nlohmann::json& answer, Context* context);

}  // namespace bench

#endif  // SHF_BENCH_PEERS_RUST_MAPS_HPP_
