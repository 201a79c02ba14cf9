#!/usr/bin/env bash
# Prints which lines of the library's Rust half the tests ran: a table, then the lines that none
# ran. `make coverage` calls it with --tools before it runs the tests of the preset coverage, which
# fails where a tool is missing and forgets earlier counts, and without after them. Code that is for
# tests alone does not count.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/coverage
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
for tool in llvm-profdata llvm-cov; do
  [ -x "$tools/$tool" ] || {
    echo "$tool is missing: run 'rustup component add llvm-tools'." >&2
    exit 1
  }
done
if [ "${1:-}" = --tools ]; then
  rm -rf $build/profiles && mkdir -p $build/profiles
  exit
fi

# The programs know which lines their counters belong to: one of C++, since all have the same
# library, and those that cargo ran, or that its tests did.
objects=("$build/tests_cpp/map_test")
while read -r program; do
  objects+=(--object "$program")
done < <(sed -n 's/^ *Running .*(\(.*\))$/\1/p' $build/Testing/Temporary/LastTest.log
  find $build/cargo-test/debug -maxdepth 1 -type f -executable)
"$tools/llvm-profdata" merge --sparse $build/profiles/*.profraw -o $build/merged.profdata
# What it calls mismatched are functions that one of the programs has and never uses.
"$tools/llvm-cov" export --format=lcov --instr-profile $build/merged.profdata "${objects[@]}" \
  --ignore-filename-regex '/(tests|testing)\.rs$' --sources rust \
  >$build/lines.info 2> >(grep -v 'mismatched data' >&2)

printf '| file | lines | not run | run |\n|---|---:|---:|---:|\n'
# Modules of tests end their file: what follows their attribute is left out.
awk -v root="$PWD/" '
  function row(name, all, run) {
    printf "| %s | %d | %d | %.1f %% |\n", name, all, all - run, 100 * run / all | "sort"
  }
  function end_range() {
    if (first) ranges = ranges file ":" first (first == last ? "" : "-" last) "\n"
    first = 0
  }
  /^SF:/ {
    path = file = substr($0, 4); sub(root, "", file)
    split(file, part, "/"); crate = part[1] "/" part[2]
    lines = run = tests = number = 0
    while (!tests && (getline text < path) > 0) {
      number++
      if (text ~ /^#\[cfg\((test|all\(test.*)\)\]$/) tests = number
    }
    close(path)
  }
  /^DA:/ {
    split(substr($0, 4), part, ","); number = part[1] + 0
    if (tests && number >= tests) next
    lines++
    if (part[2] > 0) { run++; end_range() } else { first = first ? first : number; last = number }
  }
  /^end_of_record/ && lines {
    end_range()
    row("`" file "`", lines, run)
    all_lines[crate] += lines; all_run[crate] += run
  }
  END {
    close("sort")
    for (crate in all_lines) row("**`" crate "`**", all_lines[crate], all_run[crate])
    close("sort")
    print "\nLines that no test ran:"
    printf "%s", ranges | "sort -t : -k 1,1 -k 2,2n"
  }' $build/lines.info
