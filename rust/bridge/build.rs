//! Generates and compiles the C++ half of the bridge.
//!
//! The compiler and its flags come from the environment (`CXX`, `CXXFLAGS`), where CMake puts its
//! own, so that this half is built like the rest of the library.

fn main() {
    cxx_build::bridge("src/lib.rs").include("../../include").std("c++17").compile("shf_bridge");
    println!("cargo:rerun-if-changed=src/lib.rs");
    for header in ["sink", "visitor"] {
        println!("cargo:rerun-if-changed=../../include/shf/internal/{header}.hpp");
    }
}
