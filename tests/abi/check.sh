#!/usr/bin/env bash
# Holds what the shared library exports against the list in tests/abi/symbols.txt and against the header:
#
#   tests/abi/check.sh [--update] LIBRARY
#
# --update writes the list anew: a changed line there is a decision, argued in its commit.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

list=tests/abi/symbols.txt
export LC_ALL=C # one order of names everywhere

update=no
if [[ ${1:-} == --update ]]; then
  update=yes
  shift
fi
[[ $# -eq 1 ]] || fail 'usage: tests/abi/check.sh [--update] LIBRARY'
library=$1

exported() { nm --dynamic --defined-only "$library" | awk '{ print $NF }' | sort; }
declared() { grep -v '^ *[/ ]\*' include/tlsloop.h | grep -o '\btlsloop_[a-z0-9_]*(' | tr -d '(' | sort -u; }

symbols=$(exported)
strangers=$(grep -v '^tlsloop_[a-z0-9_]*$' <<<"$symbols" || true)
[[ -z $strangers ]] || fail "$library exports what is not tlsloop's: $(xargs <<<"$strangers")"

if [[ $update == yes ]]; then
  printf '%s\n' "$symbols" >"$list"
  say "$list is written"
fi

diff -u --label "$list" --label "$library" "$list" - <<<"$symbols" ||
  fail "$library does not export what $list says (an intended change: tests/abi/check.sh --update $library)"
diff -u --label 'declared in the header' --label "$library" <(declared) - <<<"$symbols" ||
  fail "$library does not export what the header declares"

# The library stays mapped after dlclose(3), because OpenSSL and the C library keep pointers into it; and its
# relocations are done, and read-only, before any thread of a host's runs.
dynamic=$(readelf --dynamic --wide "$library")
for flag in NODELETE NOW; do
  grep -q "FLAGS.*\b$flag\b" <<<"$dynamic" || fail "$library was linked without -z ${flag,,}"
done
readelf --program-headers --wide "$library" | grep -q GNU_RELRO || fail "$library was linked without -z relro"

say "$library exports the $(wc -l <"$list") functions that the header declares, and nothing else"
