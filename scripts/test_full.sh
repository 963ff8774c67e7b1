#!/usr/bin/env bash
# What takes too long for every push: all tests on a vendored OpenSSL and on AWS-LC, the C programs many times over, the
# model, soak and storm in their full length, the fuzzers, the oldest Rust that Cargo.toml promises, programs and libraries
# of different releases, cargo-c, and the packages in a fresh Debian.
#
#   scripts/test_full.sh [PATTERN]  only the parts whose name matches the regular expression;
#                                   REPEAT=n: how often CTest runs (5); FUZZ=n: seconds for each fuzzer (600)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

wanted=${1:-.}
failed=()
seen=0
part() { # name, command
  local name=$1
  shift
  [[ $name =~ $wanted ]] || return 0
  seen=$((seen + 1))
  section "$name"
  "$@" || failed+=("$name")
}

# The promise is about building the library; tests and their dependencies may ask for more.
check_oldest_rust() {
  local oldest
  oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! command -v rustup >/dev/null; then
    say "Not checked: Rust $oldest comes by rustup, which is not here."
    return
  fi
  if ! rustup run "$oldest" rustc --version 2>/dev/null; then
    say "installing Rust $oldest with rustup"
    rustup toolchain install "$oldest" --profile minimal || return
  fi
  CARGO_TARGET_DIR="$(cargo_target_dir)/oldest-rust" rustup run "$oldest" cargo check --package tlsloop --lib "${locked[@]}"
}

check_next_release() {
  local names=({client,client_modes,connect,info_stats,plain,proxy,send,starttls}.shared)
  cmake -S . -B build/cmake >/dev/null && cmake --build build/cmake --parallel 2 --target "${names[@]}" &&
    bash tests/abi/next_release.sh build/cmake/lib "${names[@]/#/build/cmake/tests/programs/}"
}

unless_left_out() { # script, arguments
  local status=0
  bash "$@" || status=$?
  [[ $status -eq 77 ]] || return "$status"
}

part "The system's OpenSSL, CTest ${REPEAT:-5} times" bash scripts/test.sh --repeat "${REPEAT:-5}"
part 'A vendored OpenSSL' bash scripts/test.sh --features vendored
part 'AWS-LC' bash scripts/test.sh --features aws-lc
part 'Every C program under ThreadSanitizer' unless_left_out scripts/tsan.sh --all
part 'Model' make --no-print-directory model
part 'Soak' make --no-print-directory soak
part 'Storm' make --no-print-directory storm
part 'Fuzzers' unless_left_out scripts/fuzz.sh "${FUZZ:-600}"
part 'The oldest Rust' check_oldest_rust
part 'The next release' check_next_release
part 'cargo-c' unless_left_out tests/install/capi.sh
part 'Packages' make --no-print-directory package
part 'Packages in a fresh Debian' make --no-print-directory package-check

section 'Summary'
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
if [[ $seen -eq 0 ]]; then
  echo "scripts/test_full.sh: no part is called $wanted" >&2
  exit 2
fi
say "All parts that ran passed: $seen."
