#!/usr/bin/env bash
# Makes sure that this machine has what the build needs: installs it through apt where that is
# allowed, and otherwise says what to install. Arguments are further Debian packages; those after
# --optional serve tests and measurements that are left out without them; that is said, and is no
# failure.
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

lacks() {
  ! dpkg-query --show --showformat '${Status}' "$1" 2>/dev/null | grep -q ' installed'
}

missing=()
optional=()
command -v cmake >/dev/null || missing+=(cmake)
command -v ninja >/dev/null || missing+=(ninja-build)
command -v c++ >/dev/null || missing+=(g++)
[ -e /usr/include/gtest/gtest.h ] || missing+=(libgtest-dev)
may_lack=no
for package in "$@"; do
  if [ "$package" = --optional ]; then
    may_lack=yes
  elif lacks "$package"; then
    if [ $may_lack = yes ]; then optional+=("$package"); else missing+=("$package"); fi
  fi
done

# Installs Debian packages; sets `obstacle` and fails where that is not allowed.
install() {
  local as_root=(env DEBIAN_FRONTEND=noninteractive)
  if ! command -v apt-get >/dev/null; then
    obstacle="there is no apt-get here"
    return 1
  elif [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n "${as_root[@]}")
    if ! sudo -n true 2>/dev/null; then
      obstacle="apt-get needs root or sudo without a password here"
      return 1
    fi
  fi
  echo "installing $*"
  obstacle="apt-get failed"
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ ${#missing[@]} -gt 0 ]; then
  install "${missing[@]}" ||
    fail "$obstacle; please install these Debian packages, or what they contain: ${missing[*]}"
fi

# apt refuses all where it does not know one: installs those that it knows, if that is fewer.
install_known() {
  local known=() package
  for package in "$@"; do
    ! apt-cache show "$package" >/dev/null 2>&1 || known+=("$package")
  done
  [ ${#known[@]} -gt 0 ] && [ ${#known[@]} -lt $# ] && install "${known[@]}"
}

if [ ${#optional[@]} -gt 0 ] && ! install "${optional[@]}"; then
  reason=$obstacle
  install_known "${optional[@]}" || true
  left=()
  for package in "${optional[@]}"; do
    if lacks "$package"; then left+=("$package"); fi
  done
  echo "$reason; what needs these Debian packages is left out: ${left[*]}" >&2
fi

cmake_wanted=3.25
cmake_found=$(cmake --version | sed -n '1s/.* //p')
at_least "$cmake_found" "$cmake_wanted" ||
  fail "cmake $cmake_wanted or later is needed, but $(command -v cmake) is $cmake_found:" \
    "newer ones are at https://apt.kitware.com."
