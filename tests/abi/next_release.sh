#!/usr/bin/env bash
# Whether programs and libraries of different releases understand each other, tried with a release that does not exist:
# a copy of the sources in which every struct that carries its size has one member more.
#
#   tests/abi/next_release.sh LIBRARY_DIR PROGRAM...    the library of this release, and test programs linked to it
#
# Builds a whole library, so it belongs to "make test-full".
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -ge 1 ]] || fail 'usage: tests/abi/next_release.sh LIBRARY_DIR PROGRAM...'
library=$(cd "$1" && pwd)
shift
compiler=${CC:-cc}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CARGO_TARGET_DIR="$(cargo_target_dir)/next-release"
export CARGO_TARGET_DIR

# --- The next release --------------------------------------------------------------------------------------------

mkdir "$work/next"
git ls-files -z | xargs -0 cp --parents -t "$work/next"
for struct in info callbacks server_config stats client_config; do
  file=$(grep -l "^pub struct tlsloop_$struct {" "$work"/next/src/ffi/types/*.rs)
  sed -i "/^pub struct tlsloop_$struct {/,/^}/ s/^}/    \/\/\/ New.\n    pub added: usize,\n}/" "$file"
done
# The one place that names every member, so that none is forgotten.
sed -i 's/^    tlsloop_stats {$/&\n        added: 0,/' "$work/next/src/ffi/server.rs"
(cd "$work/next" && bash scripts/build_lib.sh "$work/next/lib" && bash scripts/header.sh) >"$work/log" 2>&1 ||
  fail "the next release cannot be built: $(tail -n 20 "$work/log")"
[[ $(grep -c ' added;$' "$work/next/include/tlsloop.h") -eq 5 ]] || fail 'not every struct has grown'

# --- Old programs, new library -------------------------------------------------------------------------------------

with() { # directory of a library, command
  LD_LIBRARY_PATH=$1 timeout 600 "${@:2}" >"$work/log" 2>&1
}
builds() { # program, include directory, directory of a library, source
  "$compiler" -Wall -o "$1" -I"$2" "$4" -L"$3" -ltlsloop
}

builds "$work/old" include "$library" tests/install/program.c
with "$work/next/lib" "$work/old" || fail "an old program does not run with the next release: $(cat "$work/log")"
for program in "$@"; do
  with "$work/next/lib" "$program" || fail "$program, built before, fails with the next release: $(tail -n 20 "$work/log")"
done

# --- New programs, old library: as long as they set nothing new --------------------------------------------------------

builds "$work/new" "$work/next/include" "$work/next/lib" tests/install/program.c
with "$work/next/lib" "$work/new" || fail "a new program does not run with its own library: $(cat "$work/log")"
with "$library" "$work/new" || fail "a new program that sets nothing new does not run with this release: $(cat "$work/log")"

sed 's/config.address = /config.added = 1;\n    &/' tests/install/program.c >"$work/demanding.c"
builds "$work/demanding" "$work/next/include" "$work/next/lib" "$work/demanding.c"
with "$work/next/lib" "$work/demanding" || fail "a program that sets a new member does not run with its own library: $(cat "$work/log")"
! with "$library" "$work/demanding" || fail 'this release ignores what a newer program asks of it'
grep -q 'newer header' "$work/log" || fail "this release does not say that the program is newer: $(cat "$work/log")"

say "old programs run with the next release, new ones with this one ($# test programs)"
