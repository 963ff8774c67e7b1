#!/usr/bin/env bash
# Holds the types and functions of the header against those of release 0.1 in tests/abi/0.1.abi: a program that was
# compiled with it must go on running with every library of the same soname.
#
#   tests/abi/diff.sh
#   tests/abi/diff.sh --baseline FILE     writes the first record of a new soname
#
# abidw reads debug information, and Rust's describes private types, which change with every compiler. So it is shown
# the header as C sees it: each function declared there, with an empty body. That the library exports exactly these
# functions is asked by tests/abi/check.sh, that its types are the header's by tests/ctest.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

baseline=tests/abi/0.1.abi

# How the ABI may grow: behind these, the last members of release 0.1 in the structs that carry their own "size".
last='tlsloop_info:age_ms tlsloop_callbacks:on_worker_stop tlsloop_server_config:proxy_trusted
  tlsloop_stats:queued_bytes tlsloop_client_config:io_timeout_ms'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The compiler takes comments and macros away; every declaration begins in the first column and ends with ";".
# shellcheck disable=SC2086 # one word for each struct
"${CC:-cc}" -E -P include/tlsloop.h | awk -v last="$(printf '%s ' $last)" '
  BEGIN { n = split(last, pairs); for (i = 1; i <= n; i++) { split(pairs[i], p, ":"); ends[p[1]] = p[2] } }
  /^typedef struct tlsloop_[a-z_]* \{/ { end = ends[$3] }
  /^}/ { behind = 0; end = "" }
  behind { next }
  end != "" && $0 ~ "[ *(]" end "[;)]" { behind = 1 }
  /^[a-z].*tlsloop_[a-z0-9_]*\(/ && !/^typedef/ { is_function = 1 }
  is_function && /^void tlsloop/ { result = " { }" }
  is_function && /\);$/ { sub(/;$/, result == "" ? " { return 0; }" : result); is_function = 0; result = "" }
  { print }' >"$work/stub.c"
(cd "$work" && "${CC:-cc}" -g -O0 -shared -fPIC -Wall -Werror -Wl,-soname,libtlsloop.so.0 -o libtlsloop.so.0 stub.c)

# Otherwise a declaration that is not understood would be missing on both sides.
export LC_ALL=C
diff -u --label tests/abi/symbols.txt --label 'the header with bodies' tests/abi/symbols.txt \
  <(nm --dynamic --defined-only "$work/libtlsloop.so.0" | awk '{ print $NF }' | sort) || fail 'a function is not understood'

if [[ ${1:-} == --baseline ]]; then
  [[ $# -eq 2 ]] || fail 'usage: tests/abi/diff.sh [--baseline FILE]'
  abidw --no-comp-dir-path --no-corpus-path --no-show-locs --type-id-style hash --out-file "$2" "$work/libtlsloop.so.0"
  say "$2 is written"
  exit
fi

# Added functions are welcome; everything else breaks a program that exists.
status=0
abidiff --no-added-syms "$baseline" "$work/libtlsloop.so.0" >"$work/report" 2>&1 || status=$?
[[ $status -eq 0 ]] || fail "the header is no longer that of $baseline (abidiff $status): $(cat "$work/report")"
say "a program compiled with the header of $baseline runs with this one"
