#!/usr/bin/env bash
# Whether the shared library is as small as the README says it is, once the symbols for debuggers are off:
#
#   scripts/check_size.sh LIBRARY
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

limit=1500000

[[ $# -eq 1 ]] || fail 'usage: scripts/check_size.sh LIBRARY'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strip --strip-unneeded -o "$work/stripped" "$1"
size=$(stat -c %s "$work/stripped")
((size < limit)) || fail "$1 takes $size bytes without symbols for debuggers, and not less than $limit"
say "stripped: $size bytes"
