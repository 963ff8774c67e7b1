#!/usr/bin/env bash
# Builds the release library and puts it, under the names that a C program needs, into a directory:
#
#   scripts/build_lib.sh [--features LIST] DIRECTORY
#
# DIRECTORY gets libtlsloop.so.0 (the soname, which the loader asks for), libtlsloop.so (for the linker) and
# libtlsloop.a. cargo decides what there is to build; a file is replaced only if its content changed, so that
# make does not link every C program again for nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

features=()
if [[ ${1:-} == --features ]]; then
  [[ -z ${2-} ]] || features=(--features "$2")
  shift 2
fi
[[ $# -eq 1 ]] || fail 'usage: scripts/build_lib.sh [--features LIST] DIRECTORY'
directory=$1

cargo build --release --package tlsloop --lib "${locked[@]}" "${features[@]}"

built="$(cargo_target_dir)/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}release"

# Moved into place, never written in place: a program that runs keeps the library it has mapped.
replace_if_changed() { # from, to
  [[ -f $1 ]] || fail "cargo has not made $1"
  cmp -s "$1" "$2" && return
  cp "$1" "$2.new"
  mv -f "$2.new" "$2"
}

mkdir -p "$directory"
replace_if_changed "$built/libtlsloop.so" "$directory/libtlsloop.so.0"
bash scripts/merge_archive.sh "$built/libtlsloop.a" tests/abi/symbols.txt "$directory/merged.a"
replace_if_changed "$directory/merged.a" "$directory/libtlsloop.a"
rm "$directory/merged.a"
[[ $(readlink "$directory/libtlsloop.so") == libtlsloop.so.0 ]] ||
  ln -sfn libtlsloop.so.0 "$directory/libtlsloop.so"
