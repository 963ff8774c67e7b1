#!/usr/bin/env bash
# Whether the static library shows the functions of the header and nothing else, so that a program can link it beside
# another archive made by rustc; and whether a panic is still contained in an archive that was made in this way.
#
#   tests/abi/archive.sh ARCHIVE
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/abi/archive.sh ARCHIVE'
export LC_ALL=C

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

diff -u --label tests/abi/symbols.txt --label "$1" tests/abi/symbols.txt \
  <(nm --defined-only --extern-only "$1" | awk 'NF == 3 { print $3 }' | sort) || fail "$1 shows other names"

cat >"$work/both.c" <<'END'
#include <stdio.h>
#include "tlsloop.h"
int other_contains(int number);
int main(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    int whole = tlsloop_tls_add_self_signed(tls, "localhost") == TLSLOOP_OK && other_contains(1) == -1 && other_contains(12345) == 5;
    tlsloop_tls_free(tls);
    return whole ? 0 : 1;
}
END
rustc --edition 2024 -O -C panic=unwind --crate-type staticlib -o "$work/libother.a" tests/abi/contains.rs
echo other_contains >"$work/names"
bash scripts/merge_archive.sh "$work/libother.a" "$work/names" "$work/libmerged.a"
for other in libother.a libmerged.a; do
  "${CC:-cc}" -Iinclude -o "$work/both" "$work/both.c" "$1" "$work/$other" -lssl -lcrypto -lpthread -ldl -lm ||
    fail "a program cannot link $1 and another archive made by rustc ($other)"
  "$work/both" || fail "a program with two archives made by rustc ($other) does not work"
done
say "$1 shows $(wc -l <tests/abi/symbols.txt) functions, and stands beside another archive made by rustc"
