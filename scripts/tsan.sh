#!/usr/bin/env bash
# Runs C tests under ThreadSanitizer, with worker threads and host-driven; the chat example, too. Every report fails.
#
#   scripts/tsan.sh [--all | NAME...]        NAME: threads, for tests/c/test_threads.c; without any, the busiest
#
# Library, Rust's standard library and C programs are all built with it; OpenSSL is the system's, as it is. What it does
# with its own memory is not seen, but its locks are. There are no suppressions.
#
# Needed: a Rust toolchain of rustup's (its standard library in source, and the sanitizer's run-time), glibc. Elsewhere
# this says what is missing and ends with status 77, or 1 where a missing part is an error (CI=true).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

# Where several threads of the host's work on the same connections, or on the same server.
names=(threads host_mutex callback_calls post send stop close_in_callbacks names connect adopt info_stats pause tickets openssl_host servers)
case ${1:-} in
  # A program that puts functions of its own in the place of the C library's takes them from the sanitizer, too.
  --all) mapfile -t names < <(grep -L -e '"interpose\.h"' -e __libc_malloc tests/c/test_*.c | sed 's|.*/test_||; s|\.c$||') ;;
  -*) fail 'usage: scripts/tsan.sh [--all | NAME...]' ;;
  ?*) names=("$@") ;;
esac

not_here() {
  [[ ${CI:-} != true ]] || fail "$*"
  say "Not checked with ThreadSanitizer: $*."
  exit 77
}

target=$(rustc -vV | sed -n 's/^host: //p')
[[ $target == *-linux-gnu ]] || { CI='' not_here "there is none for $target"; }
standard_library=$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock
if [[ ! -f $standard_library ]] && command -v rustup >/dev/null; then
  say "installing the source of Rust's standard library with rustup"
  rustup component add rust-src || true
fi
[[ -f $standard_library ]] || not_here "the source of Rust's standard library comes by rustup, which is not here"
runtime=$(printf '%s\n' "$(rustc --print target-libdir)"/librustc-*_rt.tsan.a)
[[ -f $runtime ]] || not_here "this Rust brings no run-time of it"

build=$PWD/build/tsan
rm -rf "$build"
mkdir -p "$build/objects" "$build/reports"

section 'ThreadSanitizer: building'
# A sanitizer and a standard library of one's own are unstable features; this lets a stable compiler use them.
export RUSTC_BOOTSTRAP=1
CARGO_TARGET_DIR=$(cargo_target_dir)/tsan
export CARGO_TARGET_DIR
cargo_options=("${locked[@]}" --target "$target" '-Zbuild-std=std,panic_unwind')
cargo fetch "${cargo_options[@]}" || not_here 'the crates of the standard library cannot be fetched'
RUSTFLAGS='-Zsanitizer=thread' CARGO_PROFILE_DEV_OPT_LEVEL=1 cargo build "${cargo_options[@]}" --package tlsloop --lib
cp "$CARGO_TARGET_DIR/$target/debug/libtlsloop.so" "$build/libtlsloop.so.0"
ln -s libtlsloop.so.0 "$build/libtlsloop.so"
nm -D --undefined-only "$build/libtlsloop.so" | grep -c __tsan_write >/dev/null || fail 'the library was built without it'

# The run-time is Rust's, because a process can have only one; the compiler's own calls fit it. The programs show it to
# the libraries, so that their locks and copies go through it, too.
flags=(-std=c11 -g -O1 -fsanitize=thread -DTEST_TSAN -Iinclude -Itests/c)
libraries=("-L$build" "-Wl,-rpath,$build" -ltlsloop
  '-Wl,--whole-archive' "$runtime" '-Wl,--no-whole-archive' -lssl -lcrypto -lpthread -ldl -lm)
compile() { # source, object
  "${CC:-cc}" "${flags[@]}" -c "$1" -o "$2"
}
link() { # program, objects
  "${CC:-cc}" -rdynamic -o "$build/$1" "${@:2}" "${libraries[@]}"
}

for source in tests/c/*.c; do
  [[ $source == */test_* ]] || compile "$source" "$build/objects/$(basename "$source" .c).o"
done
for name in "${names[@]}"; do
  compile "tests/c/test_$name.c" "$build/$name.o"
  link "$name" "$build/$name.o" "$build"/objects/*.o
done
for other in tests/tsan/planted c_examples/chat_threads; do
  compile "$other.c" "$build/$(basename "$other").o"
  link "$(basename "$other")" "$build/$(basename "$other").o"
done

# What is exchanged through a descriptor counts as an agreement by default, also where there is none. A thread that nobody
# joined is no race: programs exit under running servers.
options='io_sync=0 report_thread_leaks=0 allocator_may_return_null=1 atexit_sleep_ms=50'
watched() { # name, command: it succeeds, and nothing is reported; else NAME.failed is left
  local name=$1 log=$build/reports/$1 status=0
  shift
  TSAN_OPTIONS="$options log_path=$log" TEST_TIME_FACTOR=3 timeout 600 "$@" >"$log.output" 2>&1 || status=$?
  if compgen -G "$log.[0-9]*" >/dev/null || [[ $status -ne 0 ]]; then
    say "not ok $name"
    touch "$log.failed"
  else
    say "ok $name"
  fi
}

section 'ThreadSanitizer: running'
watched planted "$build/planted"
[[ -f $build/reports/planted.failed ]] || fail 'a race that was planted is not reported'
say '  and it must not be: this race was planted'
rm "$build/reports/planted.failed"

for name in "${names[@]}"; do
  watched "$name" "$build/$name" &
  TEST_HOST_DRIVEN=1 watched "$name.host-driven" "$build/$name" &
  wait
done
watched chat tests/tsan/chat.sh "$build/chat_threads"

mapfile -t failed < <(cd "$build/reports" && find . -name '*.failed' | sed 's|^\./||; s|\.failed$||' | sort)
for name in "${failed[@]}"; do
  section "$name"
  grep '^#' "$build/reports/$name.output" || true
  # Frames of the standard library's between ours say nothing.
  cat "$build/reports/$name".[0-9]* 2>/dev/null | grep -v -e rustlib/src -e __rust_try | cut -c1-200 | sed -n 1,80p
done
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
say "ThreadSanitizer is silent in ${#names[@]} programs, run twice, and in the chat room."
