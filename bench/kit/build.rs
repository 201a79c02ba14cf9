//! Generates and compiles the C++ half of the bridge, with CMake's compiler and flags.

fn main() {
    cxx_build::bridge("src/lib.rs").std("c++17").compile("shf_bench_kit");
    println!("cargo:rerun-if-changed=src/lib.rs");
}
