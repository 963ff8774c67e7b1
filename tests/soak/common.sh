# shellcheck shell=bash
# What the soak and the storm share: building, the server, its counts, the verdict. Sourced, never run; the caller
# has set -euo pipefail and stands in the project's root.

# shellcheck source=scripts/common.sh
source scripts/common.sh

library=${LIBRARY_DIR:-build/lib}
workers=${WORKERS:-1}
[[ -z ${TEST_HOST_DRIVEN:-} ]] || workers=0
work=$(mktemp -d)
server_pid=''

clean_up() {
  [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

build() {
  local flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Werror -O2 -g -Ibench/load) bench=bench/load
  [[ -e $library/libtlsloop.so ]] || fail "there is no library in $library; \"make lib\" builds it"
  "${CC:-cc}" "${flags[@]}" -Iinclude -o "$work/server" tests/soak/server.c $bench/{pattern,basics}.c \
    "-L$library" -ltlsloop -lpthread "-Wl,-rpath,$(realpath "$library")"
  "${CC:-cc}" "${flags[@]}" -Itests/soak -o "$work/visitors" tests/soak/{visitors,visit,pace}.c \
    $bench/{pattern,basics,connection,tls,usage}.c -lssl -lcrypto -lpthread
}

has_line() { grep -q "$1" "$work/server.log"; }

start_server() {
  : >"$work/server.log"
  "$work/server" "$workers" >"$work/server.log" 2>&1 &
  server_pid=$!
  eventually has_line '^port ' || fail "the server does not start: $(cat "$work/server.log")"
  # shellcheck disable=SC2034 # used by those who source this
  port=$(sed -n 's/^port //p' "$work/server.log")
}

count_lines() { grep -c '^open=' "$work/server.log" || true; }
has_more_lines() { (($(count_lines) > lines_before)); }

# The server's counts as of now, in $counts.
ask_server() {
  lines_before=$(count_lines)
  kill -USR1 "$server_pid"
  eventually has_more_lines || fail 'the server says nothing'
  counts=$(grep '^open=' "$work/server.log" | tail -n 1)
}

# A number out of a line of "name=number"s.
number() { # name, line
  tr ' ' '\n' <<<"$2" | sed -n "s/^$1=//p"
}

is_quiet() {
  ask_server
  [[ $(number open "$counts") == 0 && $(number handshaking "$counts") == 0 ]]
}

# Those that were reset know of it before the server does.
await_quiet() {
  eventually is_quiet || broken "connections are left: $counts"
}

stop_server() {
  local status=0
  kill -TERM "$server_pid"
  wait "$server_pid" || status=$?
  server_pid=''
  [[ $status -eq 0 ]] || broken "the server's books do not balance (status $status): $(tail -n 2 "$work/server.log")"
}

reasons=()
broken() { reasons+=("$*"); }

same() { # what, number, number
  [[ $2 == "$3" ]] || broken "$1: $2 and $3"
}

# What the visitors did is what the server was told, way for way. Several lines of the visitors' are added up.
compare_ways() { # counts of the server, lines of the visitors
  local pair sum
  for pair in by_peer:peer by_host:host by_fin:truncated by_reset:reset by_protocol:protocol by_idleness:idle_timeout \
    by_abort:aborted by_handshake:failed deaf:send_timeout visits:accepted; do
    sum=$(number "${pair%:*}" "$2" | awk '{ sum += $1 } END { print sum }')
    same "${pair%:*} as the visitors count, ${pair#*:} as the server does" "$sum" "$(number "${pair#*:}" "$1")"
  done
  same 'connects and disconnects' "$(number connects "$1")" "$(number disconnects "$1")"
  same 'ends by a system call that failed, and 0' "$(number system "$1")" 0
  same 'crossed bytes, and 0' "$(number crossed "$1")" 0
  same 'guests whose state is kept, and 0' "$(number guests "$1")" 0
  same 'queued bytes, and 0' "$(number queued "$1")" 0
}

verdict() { # name, what passed
  if [[ ${#reasons[@]} -eq 0 ]]; then
    say "PASS: $1: $2"
    return
  fi
  printf 'FAIL: %s: %s\n' "$1" "${reasons[0]}"
  [[ ${#reasons[@]} -eq 1 ]] || printf '  and %s\n' "${reasons[@]:1}"
  exit 1
}
