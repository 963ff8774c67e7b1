#!/usr/bin/env bash
# The storm: very many connections, at once and one after the other.
#
#   tests/soak/storm.sh [OPEN [CONNECTIONS]]      15000, 1000000; SLOTS=256 at a time, WORKERS=1 (0: host-driven),
#                                                 LIBRARY_DIR=build/lib
#
# First OPEN connections to one server process are open at the same time, and each echoes while all are. Then
# CONNECTIONS come from 127.0.0.1 to 127.0.0.32 and end in all eight ways, as many in each. Every byte is compared on
# both sides, and what the visitors count is what the server does.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/soak/common.sh
source tests/soak/common.sh

open=${1:-15000}
connections=${2:-1000000}

is_all_open() { grep -q '^all open' "$work/together.log"; }
has_ended() { ! kill -0 "$visitors" 2>/dev/null; }
is_decided() { is_all_open || has_ended; }

# The visitors wait with all of them open until the server was asked.
all_at_once() {
  mkfifo "$work/go"
  : >"$work/together.log"
  "$work/visitors" --port "$port" --together "$open" <"$work/go" >"$work/together.log" &
  visitors=$!
  exec 3>"$work/go"
  until is_decided; do sleep 0.2; done
  ask_server
  same 'connections that were to be open at once, and that are' "$open" "$(number open "$counts")"
  say "$counts"
  exec 3>&-
  wait "$visitors" || broken "the visitors complain: $(cat "$work/together.log")"
  await_quiet
  compare_ways "$counts" "$(grep '^visits=' "$work/together.log")"
  stop_server
}

build
start_server
all_at_once
start_server
"$work/visitors" --port "$port" --total "$connections" --slots "${SLOTS:-256}" | tee "$work/visitors.log" ||
  broken "the visitors complain: see above"
await_quiet
end=$counts
stop_server
compare_ways "$end" "$(cat "$work/visitors.log")"
same 'visits that were wanted and made' "$connections" "$(number visits "$(cat "$work/visitors.log")")"
say "$end"
verdict storm "$open connections open at once and each echoed; $connections made and ended, $(number connects "$end") \
connects, $(number disconnects "$end") disconnects, no byte crossed"
