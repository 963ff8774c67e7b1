#!/usr/bin/env bash
# The chat room in which several threads speak at once, with guests who listen, talk and leave.
#
#   tests/tsan/chat.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/tsan/chat.sh PROGRAM'
work=$(mktemp -d)
guests=()
server=''
cleanup() {
  kill ${server:+"$server"} "${guests[@]}" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

"$1" 0 1 >"$work/said" 2>"$work/complaint" &
server=$!
eventually grep -q '^listening on' "$work/said" || fail "no server: $(cat "$work/complaint")"
port=$(sed -n 's/^listening on //p' "$work/said")

# A guest speaks once and listens; when its input ends, it leaves.
guest() { # number
  mkfifo "$work/input$1"
  openssl s_client -quiet -no_ign_eof -connect "127.0.0.1:$port" <"$work/input$1" >"$work/heard$1" 2>/dev/null &
  guests+=($!)
}
heard() { # number, what
  grep -q -- "$2" "$work/heard$1"
}

for number in 1 2 3 4; do guest "$number"; done
exec 11>"$work/input1" 12>"$work/input2" 13>"$work/input3" 14>"$work/input4"
for number in 1 2 3 4; do
  eventually heard "$number" 'Ann: line' || fail "guest $number hears nothing"
  echo "guest $number is here" >&"1$number"
  eventually heard 1 "says: guest $number is here" || fail "nobody hears guest $number"
done
# Two leave while everybody speaks; the others go on listening.
exec 11>&- 12>&-
wait "${guests[0]}" "${guests[1]}" || true
guests=("${guests[@]:2}") # whose numbers are still theirs
eventually heard 4 'Dan: line [0-9]\{3\}' || fail 'the last guest hears no more'
kill -TERM "$server"
wait "$server" || fail "the server ended badly: $(cat "$work/complaint")"
server=''
