#!/usr/bin/env bash
# The soak: a server is kept busy for a while by every kind of visitor, and holds no more at the end than when it was
# warm.
#
#   tests/soak/soak.sh [MINUTES]          10; LOAD=0.7 of a processor, WORKERS=1 (0: host-driven), LIBRARY_DIR=build/lib
#
# Connections that stay: most read at once, some read slowly, some stop for seconds, some never read. Beside them short
# ones that end in all eight ways, garbage and half handshakes among them. A new certificate each minute. First comes a
# warm-up of the same kind; memory and descriptors are measured behind it and at the end, each time with nobody there.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/soak/common.sh
source tests/soak/common.sh

minutes=${1:-10}
seconds=$(awk "BEGIN { print $minutes * 60 }")
warm_up=$(awk "BEGIN { s = $seconds / 3; print (s < 10 ? 10 : s > 120 ? 120 : s) }")

visit() { # seconds, seconds between reloads
  "$work/visitors" --port "$port" --seconds "$1" --reload "$2" --stay 200 --slots 256 --load "${LOAD:-0.7}" \
    --server-pid "$server_pid" | tee -a "$work/visitors.log" || broken "the visitors complain: see above"
  await_quiet
}

build
start_server
say "warm-up, $warm_up seconds"
visit "$warm_up" "$(awk "BEGIN { print $warm_up / 3 }")"
warm=$counts
say "soak, $minutes minutes, server process $server_pid"
visit "$seconds" 60
end=$counts
stop_server

compare_ways "$end" "$(cat "$work/visitors.log")"
same 'descriptors when it was warm and at the end' "$(number descriptors "$warm")" "$(number descriptors "$end")"
before=$(number heap_kib "$warm") after=$(number heap_kib "$end")
# What a worker keeps for its connections, 4 MiB for sends and 2 MiB for records, a warm-up need not have needed whole, and
# one of seconds has not. In ten minutes at full load that is less than ten bytes for each connection.
room=$(awk "BEGIN { print ($warm_up < 60 ? 8192 : 6144) }")
((after <= before + room)) || broken "what malloc has handed out has grown from $before to $after KiB"
# And what malloc keeps in pieces has a bound, too.
rss=$(number rss_kib "$end")
((rss <= $(number rss_kib "$warm") + 16384)) || broken "memory has grown from $(number rss_kib "$warm") to $rss KiB"
say "$end"
verdict soak "$(number connects "$end") connections, $(number bytes_in "$end") bytes each way, \
$(number reloads "$end") certificates; heap $before to $after KiB, memory $(number rss_kib "$warm") to $rss KiB, descriptors $(number descriptors "$end"); load \
$(number load_percent "$(tail -n 1 "$work/visitors.log")") % of a processor"
