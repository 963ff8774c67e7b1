#!/usr/bin/env bash
# Runs every test: those in Rust, then the C programs and the checks that CTest knows, at last the busiest C programs
# under ThreadSanitizer.
#
#   scripts/test.sh [--features LIST] [--repeat N]
#
# --features builds the library with these features, in directories of their own; --repeat runs the C programs N
# times more (without valgrind, which would take hours). Every part runs even if an earlier one failed; the last
# lines are the closing lines of all.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

# CTest and CMake start programs of their own accord; the job server of a make above is none of their business.
unset MAKEFLAGS MFLAGS MAKELEVEL

features=''
repeat=0
while [[ $# -gt 0 ]]; do
  case $1 in
    --features) features=${2:?} ;;
    --repeat) repeat=${2:?} ;;
    *) fail 'usage: scripts/test.sh [--features LIST] [--repeat N]' ;;
  esac
  shift 2
done

build=build/cmake
cargo_options=("${locked[@]}")
if [[ -n $features ]]; then
  # What another set of features builds must never be taken for the ordinary library. One profile for both
  # parts, because a vendored OpenSSL would otherwise be compiled twice.
  build=build/cmake-${features//,/-}
  CARGO_TARGET_DIR="$(cargo_target_dir)/with-${features//,/-}"
  export CARGO_TARGET_DIR
  cargo_options+=(--release --features "$features")
fi
cmake_options=(-DTLSLOOP_FEATURES="$features")
[[ ${CI:-} != true ]] || cmake_options+=(-DTLSLOOP_REQUIRE_ALL=ON)

logs=$build/logs
rm -rf "$logs"
mkdir -p "$logs"

failed=()
run() { # name, command: a part that can fail without ending the others
  local name=$1
  shift
  section "$name${features:+ (features: $features)}"
  "$@" 2>&1 | tee "$logs/$name.log" || failed+=("$name")
}

build_for_c() {
  cmake -S . -B "$build" "${cmake_options[@]}" && cmake --build "$build" --parallel 2
}

run_ctest() { (cd "$build" && ctest --output-on-failure --parallel 2 "$@"); }

# Where a machine lacks what it takes, that is said, and no failure.
run_tsan() {
  local status=0
  bash scripts/tsan.sh || status=$?
  [[ $status -eq 77 ]] || return "$status"
}

run 'Rust tests' cargo test "${cargo_options[@]}"
# One build of the library is enough: this is about the library's own steps, whatever OpenSSL it is on.
[[ -n $features ]] || run 'Rust tests, with faults' cargo test "${locked[@]}" --features fault-injection --test panics
# The fuzzers' kept corpora, without the fuzzer: each harness still gets as far as it must.
[[ -n $features ]] || run 'Rust tests, corpora' cargo test "${locked[@]}" --package tlsloop-fuzz
run 'Build for C' build_for_c
# After a failed build CTest would judge the programs of the last one.
if [[ ${#failed[@]} -eq 0 || ${failed[-1]} != 'Build for C' ]]; then
  run CTest run_ctest
  [[ $repeat -eq 0 ]] || run 'CTest repeated' run_ctest --label-exclude valgrind --repeat-until-fail "$repeat"
fi

[[ -n $features ]] || run ThreadSanitizer run_tsan

section "Closing lines${features:+ (features: $features)}"
for log in "$logs"/Rust*.log; do
  grep -E '^(test result:|error: test failed)' "$log" || say "$log: no closing line"
done
for log in "$logs"/CTest*.log; do
  [[ ! -f $log ]] || sed -n '/tests passed,/,$p' "$log"
done
[[ ! -f $logs/ThreadSanitizer.log ]] || sed -n '$p' "$logs/ThreadSanitizer.log"
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
say 'All tests passed.'
