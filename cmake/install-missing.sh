#!/usr/bin/env bash
# Makes sure that this machine has what the build needs: installs it through apt where that is
# allowed, and otherwise says what to install. Arguments are further Debian packages.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# Whether version $1 is at least version $2.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
command -v cargo >/dev/null ||
  fail "cargo is missing: install Rust $rust_wanted or later with rustup (https://rustup.rs)."
rust_found=$(cargo --version | cut -d ' ' -f 2)
at_least "$rust_found" "$rust_wanted" ||
  fail "cargo $rust_wanted or later is needed, but $(command -v cargo) is $rust_found:" \
    "run 'rustup update stable', or install Rust with rustup (https://rustup.rs)."

missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v ninja >/dev/null || missing+=(ninja-build)
command -v c++ >/dev/null || missing+=(g++)
[ -e /usr/include/gtest/gtest.h ] || missing+=(libgtest-dev)
for package in "$@"; do
  dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep -q ' installed' ||
    missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  advice="please install these Debian packages, or what they contain: ${missing[*]}"
  command -v apt-get >/dev/null || fail "there is no apt-get here; $advice"
  if [ "$(id -u)" = 0 ]; then
    as_root=(env DEBIAN_FRONTEND=noninteractive)
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
  else
    fail "apt-get needs root or sudo without a password here; $advice"
  fi
  echo "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cmake_wanted=3.25
cmake_found=$(cmake --version | sed -n '1s/.* //p')
at_least "$cmake_found" "$cmake_wanted" ||
  fail "cmake $cmake_wanted or later is needed, but $(command -v cmake) is $cmake_found:" \
    "newer ones are at https://apt.kitware.com."
