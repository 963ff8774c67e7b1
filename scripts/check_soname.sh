#!/usr/bin/env bash
# Whether the shared library carries the name that programs will ask the loader for:
#
#   scripts/check_soname.sh LIBRARY
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/check_soname.sh LIBRARY'
soname=$(readelf --dynamic "$1" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
[[ $soname == libtlsloop.so.0 ]] || fail "$1 has the soname \"$soname\" and not libtlsloop.so.0"
say "soname: $soname"
