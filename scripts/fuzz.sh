#!/usr/bin/env bash
# Runs the harnesses of fuzz/ with libFuzzer and AddressSanitizer from their kept corpora, as many at a time as there are
# processors.
#
#   scripts/fuzz.sh SECONDS [HARNESS...]     each for so long; without names all of them
#   scripts/fuzz.sh --keep HARNESS...        adds to fuzz/corpus what build/fuzz has found, as little as covers the same
#
# What is found lies in build/fuzz/HARNESS/found; TLSLOOP_FUZZ_TARGET=HARNESS build/fuzz/fuzz FILE runs it again. Needed: a
# Rust toolchain of rustup's, which brings the sanitizer's run-time, and a C++ compiler. Elsewhere this says what is missing
# and ends with status 77.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

all=(server api proxy detect loaders settings)
keep=''
case ${1:-} in
  --keep) keep=yes ;;
  '' | *[!0-9]*) fail 'usage: scripts/fuzz.sh SECONDS [HARNESS...] | --keep HARNESS...' ;;
  *) seconds=$1 ;;
esac
shift
names=("$@")
[[ $# -gt 0 ]] || names=("${all[@]}")
for name in "${names[@]}"; do
  [[ " ${all[*]} " == *" $name "* ]] || fail "there is no harness $name, only ${all[*]}"
done

not_here() {
  say "Not fuzzed: $*."
  exit 77
}

target=$(rustc -vV | sed -n 's/^host: //p')
runtime=$(printf '%s\n' "$(rustc --print target-libdir)"/librustc-*_rt.asan.a)
[[ -f $runtime ]] || not_here "this Rust brings no run-time of AddressSanitizer"
command -v "${CXX:-c++}" >/dev/null || not_here 'there is no C++ compiler for the fuzzer'

build=$PWD/build/fuzz
mkdir -p "$build"

section 'Fuzzers: building'
# Coverage and sanitizers are unstable features; this lets a stable compiler use them. A target that is named keeps build
# scripts out of it.
flags='--cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module'
for what in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=" -Cllvm-args=-sanitizer-coverage-$what"
done
CARGO_TARGET_DIR="$(cargo_target_dir)/fuzz" RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off \
  RUSTFLAGS="$flags -Cforce-frame-pointers=yes -Cdebug-assertions=yes -Coverflow-checks=yes" \
  cargo build "${locked[@]}" --release --target "$target" --package tlsloop-fuzz
# Moved into place, because the one before may be running.
cp "$(cargo_target_dir)/fuzz/$target/release/tlsloop-fuzz" "$build/fuzz.new"
mv "$build/fuzz.new" "$build/fuzz"

# Leaks are looked for after each input that allocates more than it frees.
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:quarantine_size_mb=32:malloc_context_size=12

fuzz() { # name
  local work=$build/$1 status=0
  mkdir -p "$work/corpus" "$work/found"
  local TIMEFORMAT='processor: %U s in the program, %S s in the kernel'
  time TLSLOOP_FUZZ_TARGET=$1 "$build/fuzz" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 \
    -print_final_stats=1 -verbosity=1 -artifact_prefix="$work/found/" "$work/corpus" "fuzz/corpus/$1" \
    >"$work/log" 2>&1 || status=$?
  sed -n -e '/^#.*DONE/p' -e '/^stat::number_of_executed_units/p' -e '/^stat::peak_rss_mb/p' "$work/log"
  [[ $status -eq 0 ]] || { grep -m 3 -A 3 'panicked at' "$work/log" || true; tail -n 40 "$work/log"; }
  return "$status"
}

# As few files as reach all that is reached, beside those that were kept before.
keep() { # name
  local work=$build/$1
  mkdir -p "$work/corpus" "fuzz/corpus/$1"
  TLSLOOP_FUZZ_TARGET=$1 "$build/fuzz" -set_cover_merge=1 -use_counters=0 -max_len=1024 -timeout=20 "fuzz/corpus/$1" "$work/corpus" >"$work/log" 2>&1 ||
    { tail -n 40 "$work/log"; return 1; }
  say "$1: $(find "fuzz/corpus/$1" -type f | wc -l) files, $(du -sb "fuzz/corpus/$1" | cut -f1) bytes"
}

act() { # name; what it prints and its status stay in files
  local status=0
  mkdir -p "$build/$1"
  if [[ -n $keep ]]; then keep "$1"; else fuzz "$1"; fi >"$build/$1/told" 2>&1 || status=$?
  echo "$status" >"$build/$1/status"
}

say "${names[*]}${keep:-: ${seconds:-} s each}"
lanes=$(nproc)
for name in "${names[@]}"; do
  [[ $(jobs -pr | wc -l) -lt $lanes ]] || wait -n
  act "$name" &
done
wait
failed=()
for name in "${names[@]}"; do
  section "$name"
  cat "$build/$name/told"
  [[ $(<"$build/$name/status") -eq 0 ]] || failed+=("$name")
done
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
say 'Nothing found.'
