#!/usr/bin/env bash
# Whether the library is built from the crates in tests/crates.txt and from no others. A line there is a decision: each
# crate is somebody else's code in every program that uses tlsloop, and its licence has to let every program do so.
#
#   scripts/check_crates.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

tree() { cargo tree --package tlsloop "${locked[@]}" --prefix none --format '{p}' "$@" | awk '{ print $1 }'; }

export LC_ALL=C
listed() { sed -n 's/^\([a-z][a-z0-9_-]*\) .*/\1/p' tests/crates.txt | sort; }
# What is built in, and what the build script itself asks for.
used() { (tree --edges normal && tree --edges build --depth 1) | sort -u; }

diff -u --label tests/crates.txt --label 'cargo tree' <(listed) <(used) ||
  fail 'other crates than tests/crates.txt allows'

licences=$(cargo tree --package tlsloop "${locked[@]}" --edges normal --prefix none --format '{l}: {p}' | sort -u)
grep -q ': libc ' <<<"$licences" || fail 'cargo tree names no licences'
strangers=$(grep -vE '^(MIT|Apache-2\.0|MIT OR Apache-2\.0|Apache-2\.0 OR MIT): ' <<<"$licences" || true)
[[ -z $strangers ]] || fail "a licence that nobody has agreed to: $strangers"

say 'no crate but those in tests/crates.txt'
