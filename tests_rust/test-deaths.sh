#!/bin/sh
# Kills processes at every step of every scene of tests/crash, and their repairers at the steps of the
# repair. Prints what each scene came to and, at the end, the sum.
#
# Usage: test-deaths.sh <target directory of cargo> [<part of a test's name>]
#
# Each test runs in a process of its own: threads that fork, and fault in pages that others give back,
# hold each other up. Who takes a lock over sleeps first, so there are more of them than processors.
set -eu

export SHF_EXHAUSTIVE=1 CARGO_TARGET_DIR="$1"
shift
log=$CARGO_TARGET_DIR/deaths.log
failed=$CARGO_TARGET_DIR/deaths-failed

build() {
  cargo test --locked --release --package shf-tests --features crash-points --test crash --no-run
}
build
# The program itself, so that a change of the sources meanwhile changes nothing.
crash=$(build 2>&1 | sed -n 's|.*Executable tests/crash/main.rs (\(.*\))$|\1|p')
tests=$("$crash" --list --format terse "$@" | sed -n 's/: test$//p')
[ -n "$tests" ]

begun=$(date +%s)
rm -f "$failed"
{
  printf '%s\n' "$tests" |
    xargs -P $((2 * $(nproc))) -I{} "$crash" --exact --nocapture {} || touch "$failed"
} 2>&1 | grep --line-buffered -v -e '^$' -e '^running 1 test' -e '^seed' -e '^test result: ok' | tee "$log"

# A scene's line: <name>: <n> steps, <n> deaths; repairs of up to <n> steps, <n> pairs, ...
awk -v seconds=$(($(date +%s) - begun)) '
  / steps, .* deaths; repairs .* pairs, / {
    scenes++
    for (i = 2; i <= NF; i++) {
      if ($i == "deaths;") deaths += $(i - 1)
      if ($i == "pairs,") pairs += $(i - 1)
    }
  }
  END {
    printf "%d scenes, %d deaths, %d pairs of a death and a death of its repairer, in %d s\n", \
      scenes, deaths, pairs, seconds
  }' "$log"
if [ -e "$failed" ]; then
  echo "failed: see above" >&2
  exit 1
fi
