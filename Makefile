# The commands of the README. Each installs what is missing, or says what to install.
#
#   make demo [FOLDER=/usr/share/doc]   counts words with processes that are killed and replaced
#   make test                           builds and tests everything
#   make test-deep                      the sanitizers, the model checker and Miri (nightly); a quarter of an hour
#   make test-deaths                    kills processes at every step; half an hour or so on two processors
#   make torture [SECONDS=60]           kills and stops processes on a map at random, and judges
#   make fuzz [SECONDS=60]              damages maps as libFuzzer chooses (nightly, cargo-fuzz)
#   make bench [ARGS=--help]            measures what processes reach on one map
#   make bench-peers [ARGS=--help]      measures beside LMDB, Boost.Interprocess, Redis, TBB and others
#   make bench-report JSON="A B"        makes docs/benchmarks.md and its charts from such figures
#   make coverage                       lists the lines of the Rust half that no test runs
#   make docs                           makes the reference of the C++ and the Rust interface
.PHONY: demo test test-deep test-deaths torture bench bench-peers bench-report fuzz coverage docs

BENCH_PACKAGES = libcli11-dev nlohmann-json3-dev
# Those that cannot be had are skipped. Debian starts a Redis server when it installs one; it is not
# the one that is measured, and while nobody uses it, it takes next to nothing.
PEER_PACKAGES = liblmdb-dev libboost-dev redis-server libhiredis-dev libtbb-dev
# What the checks of packages, of installed libraries and of the reference need.
CHECK_PACKAGES = clang doxygen dpkg-dev file pkg-config
SECONDS = 60
WITH_CARGO = PATH="$$PATH:$${CARGO_HOME:-$$HOME/.cargo}/bin"

demo:
	@cmake/install-missing.sh
	cmake --preset release
	cmake --build --preset release --target word_count
	build/release/examples/word_count $(FOLDER)

test:
	@cmake/install-missing.sh --optional $(BENCH_PACKAGES) $(CHECK_PACKAGES)
	cmake --workflow --preset release

# ThreadSanitizer's build is by the other compiler, whose runtime Debian only recommends.
test-deep:
	@cmake/install-missing.sh clang
	@cmake/install-missing.sh --optional libclang-rt-$$(clang -dumpversion | cut -d . -f 1)-dev
	@$(WITH_CARGO) rustup component add --toolchain nightly miri rust-src
	cmake --workflow --preset asan
	CXX=clang++ cmake --workflow --preset tsan
	cmake --preset release
	ctest --preset models

test-deaths:
	@cmake/install-missing.sh
	@$(WITH_CARGO) tests_rust/test-deaths.sh build/torture

torture:
	@cmake/install-missing.sh
	@$(WITH_CARGO) cargo run --locked --release --package shf-tests --bin torture \
	  --target-dir build/torture -- --seconds $(SECONDS) $(ARGS)

bench:
	@cmake/install-missing.sh $(BENCH_PACKAGES)
	cmake --preset release
	cmake --build --preset release --target shf_bench
	build/release/bench/shf_bench $(ARGS)

bench-peers:
	@cmake/install-missing.sh $(BENCH_PACKAGES) --optional $(PEER_PACKAGES)
	cmake --preset release
	cmake --build --preset release --target shf_bench_peers
	build/release/bench/shf_bench_peers $(ARGS)

bench-report:
	@$(WITH_CARGO) cargo run --locked --release --manifest-path bench/Cargo.toml \
	  --package shf-bench-report --target-dir build/bench-report -- \
	  $(JSON) --out docs/benchmarks.md --charts docs/benchmarks --targets

# Guard pages watch the map; the address sanitizer would see private memory only, and cost most of the
# rounds.
fuzz:
	cd tests_rust && cargo +nightly fuzz run --sanitizer none --fuzz-dir fuzz \
	  --target-dir $(CURDIR)/build/fuzz damage -- \
	  -max_total_time=$(SECONDS) -max_len=600 -len_control=0 -timeout=10 -malloc_limit_mb=512 \
	  -rss_limit_mb=2048 -print_final_stats=1

coverage:
	@cmake/install-missing.sh
	@cmake/report-coverage.sh --tools
	cmake --workflow --preset coverage
	@cmake/report-coverage.sh

docs:
	@cmake/install-missing.sh doxygen
	cmake --preset release
	cmake --build --preset release --target docs
