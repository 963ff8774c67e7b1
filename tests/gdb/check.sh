#!/usr/bin/env bash
# Whether scripts/gdb/tlsloop.py tells the truth of a running program, of a core file, and of a library without types.
#
#   tests/gdb/check.sh DIRECTORY      DIRECTORY holds libtlsloop.so
#
# 77: gdb is missing, or may not trace here.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/gdb/check.sh DIRECTORY'
library=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
  say "left out: $*"
  exit 77
}
gdb --version >/dev/null 2>&1 || skip 'there is no gdb'
gdb -nx -batch -ex 'python print(1)' -ex run --args /bin/true >"$work/log" 2>&1 || true
grep -qx 1 "$work/log" || skip 'this gdb has no Python'
grep -q 'exited normally' "$work/log" || skip "gdb may not trace here: $(tail -n 1 "$work/log")"

# shellcheck disable=SC2086 # CC may hold flags, as it may for make
${CC:-cc} -std=c11 -O0 -g -Wall -Wextra -Wshadow -Werror -Iinclude -o "$work/host" tests/gdb/host.c -L"$library" -ltlsloop

# No files of the user's, nothing that asks or pages, and no search for symbols elsewhere.
debug() { # directory of the library, arguments of gdb
  local path=$1
  shift
  DEBUGINFOD_URLS='' timeout 120 gdb -nx -batch -iex 'set auto-load off' -ex 'set width 0' \
    -iex "set environment LD_LIBRARY_PATH $path" -iex "set solib-search-path $path" "$@" 2>&1 ||
    true
}

says() { # pattern
  grep -qE -- "$1" "$work/told" || fail "$what: no \"$1\" in: $(cat "$work/told")"
}

tells_all() { # address, as a pattern
  says "look_here \(by_tls=[0-9]+ \(worker 0, slot [0-9]+, use 1: $1:[0-9]+, open\), by_path=" # in a backtrace, too
  says "^by_tls = [0-9]+ \(worker 0, slot [0-9]+, use 1: $1:[0-9]+, open\)$"
  says "^by_path = [0-9]+ \(worker 1, slot [0-9]+, use 1: unix:$work/socket, ended\)$"
  says '^none = 0 \(no connection\)$'
  says "^ +[0-9]+ +0 +[0-9]+ $1:[0-9]+ +0 +5 +0 TLSv1.3 +open$"
  says "^ +[0-9]+ +1 +[0-9]+ unix:$work/socket +100 +5 +0 none +ended$"
  says '^4 connections$'
  says "^peer +$1:[0-9]+$"
  says '^tls +TLSv1.3 TLS_'
  says '^received +5 bytes$'
  says '^data +0x[0-9a-f]{4,}$'
  says '^state +has ended, or never was'
}

looks=(-ex 'source scripts/gdb/tlsloop.py' -ex up -ex down -ex 'printf "by_tls = "' -ex 'output by_tls' -ex 'printf "\nby_path = "'
  -ex 'output by_path' -ex 'printf "\nnone = "' -ex 'output none' -ex 'printf "\n"' -ex 'tlsloop conns' -ex 'tlsloop conn by_tls'
  -ex 'tlsloop conn 4611686018427387905')

watch() { # directory of the library, address
  rm -f "$work/socket"
  debug "$1" -ex 'break look_here' -ex run "${looks[@]}" -ex "gcore $work/core" -ex continue \
    --args "$work/host" "$2" "$work/socket" >"$work/told"
}

what='a running program'
watch "$library" 127.0.0.1
tells_all '127\.0\.0\.1'
says 'exited normally'

if grep -q '^00000000000000000000000000000001' /proc/net/if_inet6 2>/dev/null; then
  what='a running program on IPv6'
  watch "$library" ::1
  tells_all '\[(0:){7}1\]'
fi

what='a core file'
debug "$library" "${looks[@]}" "$work/host" "$work/core" >"$work/told"
tells_all '(127\.0\.0\.1|\[(0:){7}1\])'

what='a library without types'
mkdir "$work/stripped"
strip --strip-unneeded -o "$work/stripped/libtlsloop.so.0" "$library/libtlsloop.so.0"
watch "$work/stripped" 127.0.0.1
says '^by_tls = [0-9]+ \(worker 0, slot [0-9]+, use 1\)$'
says 'stripped'

# A breakpoint on a probe needs neither types nor symbols.
if [[ $(uname -m) == x86_64 ]]; then
  what='probes of a library without types'
  rm -f "$work/socket"
  # shellcheck disable=SC2016 # gdb expands these
  looks=(-ex run -ex 'info probes stap tlsloop' -ex 'break -probe-stap tlsloop:disconnect' -ex continue
    -ex 'printf "ends %ld reason %d\n", $_probe_arg0, $_probe_arg1')
  debug "$work/stripped" -ex 'break look_here' "${looks[@]}" --args "$work/host" 127.0.0.1 "$work/socket" >"$work/told"
  for probe in connect data data__done drain disconnect handshake_failed; do
    says "^stap +tlsloop +$probe +0x"
  done
  # One side had ended its direction; the other has no on_end, so it closed; or the stop came first.
  says '^ends [0-9]+ reason [017]$'
fi

say 'gdb: the connections are shown as they are'
