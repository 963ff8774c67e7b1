#!/usr/bin/env bash
# Whether cargo-c, by which distributions build C libraries that are written in Rust, makes the same of these sources as
# "make install": name, links, functions, header, and a tlsloop.pc by which programs link both ways.
#
#   tests/install/capi.sh        77: cargo-c is missing (cargo install cargo-c)
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

cargo capi --version >/dev/null 2>&1 || {
  say 'left out: there is no cargo-c'
  exit 77
}
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
compiler=${CC:-cc}
unset PKG_CONFIG_PATH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
CARGO_TARGET_DIR="$(cargo_target_dir)/capi"
export CARGO_TARGET_DIR
cargo cinstall --release --package tlsloop "${locked[@]}" --prefix "$prefix" --libdir "$prefix/lib" >"$work/log" 2>&1 ||
  fail "cargo cinstall: $(tail -n 30 "$work/log")"

diff -u --label expected --label 'cargo cinstall' <(printf '%s\n' include/tlsloop.h lib/libtlsloop.a lib/libtlsloop.so \
  lib/libtlsloop.so.0 "lib/libtlsloop.so.$version" lib/pkgconfig/tlsloop.pc) \
  <(cd "$prefix" && find . ! -type d -printf '%P\n' | sort) || fail 'other files than expected'
cmp include/tlsloop.h "$prefix/include/tlsloop.h"
bash scripts/check_soname.sh "$prefix/lib/libtlsloop.so"
bash tests/abi/check.sh "$prefix/lib/libtlsloop.so"
# With panics that abort, which cargo-c once asked for, nothing in it would raise one, and a defect would take the host along.
[[ $(nm --dynamic --undefined-only "$prefix/lib/libtlsloop.so") == *_Unwind_RaiseException* ]] || fail 'a panic is not contained'

runs() { # way, arguments of the compiler
  local answer
  "$compiler" -Wall -Wextra -o "$work/program" tests/install/program.c "${@:2}" >"$work/log" 2>&1 || fail "$1: $(cat "$work/log")"
  answer=$(LD_LIBRARY_PATH=$prefix/lib "$work/program" 2>&1) || fail "$1: the program says: $answer"
  [[ $answer == "tlsloop $version (OpenSSL "* ]] || fail "$1: the program says: $answer"
  say "$1: $answer"
}
flags() { # options of pkg-config
  local text
  text=$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs "$@" 'tlsloop >= 0.1') || fail 'pkg-config fails'
  read -ra flags <<<"$text"
}
flags
runs 'cargo-c, pkg-config' "${flags[@]}"
rm "$prefix"/lib/libtlsloop.so*
flags --static
runs 'cargo-c, pkg-config --static' "${flags[@]}"
