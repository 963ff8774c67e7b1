#!/usr/bin/env bash
# What takes too long for every push: all tests on a vendored OpenSSL, the C programs many times over, the oldest Rust
# that Cargo.toml promises, programs and libraries of different releases, and the packages in a fresh Debian.
#
#   scripts/test_full.sh            REPEAT=n: how often CTest runs (5)
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

failed=()
part() { # name, command
  local name=$1
  shift
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

run_tsan() {
  local status=0
  bash scripts/tsan.sh --all || status=$?
  [[ $status -eq 77 ]] || return "$status"
}

part "The system's OpenSSL, CTest ${REPEAT:-5} times" bash scripts/test.sh --repeat "${REPEAT:-5}"
part 'A vendored OpenSSL' bash scripts/test.sh --features vendored
part 'Every C program under ThreadSanitizer' run_tsan
part 'The oldest Rust' check_oldest_rust
part 'The next release' bash tests/abi/next_release.sh build/cmake/lib \
  build/cmake/tests/programs/{client,client_modes,connect,info_stats,plain,proxy,send,starttls}.shared
part 'Packages' make --no-print-directory package
part 'Packages in a fresh Debian' make --no-print-directory package-check

section 'Summary'
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
say 'Everything passed.'
