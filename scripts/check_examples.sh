#!/usr/bin/env bash
# Whether the echo server, its client and the server that reloads do what their first comments say, also when something
# is wrong.
#
#   scripts/check_examples.sh DIRECTORY      DIRECTORY holds echo_server, echo_client and reload_sighup
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/check_examples.sh DIRECTORY'
programs=$(cd "$1" && pwd)
root=$PWD
# shellcheck source=scripts/echo_pair.sh
source scripts/echo_pair.sh

served() { # line, arguments of the client
  client "$@" --port "$port" || fail "the client failed with ${*:2}: $(cat "$work/complaint")"
  expect_answer "$1"
}

# A client that does not trust the server sends nothing, and says why.
refused() { # words that must appear, arguments of the client
  local words=$1
  shift
  ! client 'a secret' "$@" --port "$port" || fail "the client trusted the server with $*"
  grep -qi -- "$words" "$work/complaint" || fail "no word of \"$words\" with $*: $(cat "$work/complaint")"
  [[ ! -s $work/answered ]] || fail "the client asked for a message before it trusted the server, with $*"
}

# A program that cannot do its work says in one sentence what is wrong.
fails_with() { # words that must appear, program, arguments
  local words=$1 status=0
  shift
  timeout 30 "$programs/$1" "${@:2}" >"$work/output" 2>&1 </dev/null || status=$?
  [[ $status -ne 0 && $status -lt 124 ]] || fail "$* ended with status $status: $(cat "$work/output")"
  grep -q -- "$words" "$work/output" || fail "$* did not say \"$words\" but: $(cat "$work/output")"
}

server_says() { # pattern
  eventually grep -q -- "$1" "$work/server.log" || fail "the server does not say \"$1\": $(cat "$work/server.log")"
}

sha256_of() { openssl x509 -in "$1" -noout -fingerprint -sha256 | sed 's/.*=//; s/://g'; }

make_certificate "$work/server" DNS:localhost,IP:127.0.0.1
make_certificate "$work/named" DNS:other.example
make_certificate "$work/stranger" DNS:localhost,IP:127.0.0.1
unrelated_pin=$(printf '%064d' 0)

say 'A certificate in memory: accepted only by explicit wish, or by its fingerprint'
start_server --self-signed
served 'I look away' --insecure
pin=$(sed -n 's/.*certificate \([0-9a-fA-F]\{64\}\).*/\1/p' "$work/complaint")
served 'exactly this one' --pin "$pin"
refused 'pin' --pin "$unrelated_pin"
refused 'not trusted'
server_says 'connected: TLSv1.3'
server_says 'sent [0-9]* bytes: I look away'
server_says 'ended: peer'
server_says 'failed to connect'
stop_server INT

say 'A certificate in files: by its authority, its name, its fingerprint'
start_server --cert "$work/server.crt" --key "$work/server.key"
served 'the authority is known' --ca "$work/server.crt"
served 'by its name too' --ca "$work/server.crt" --host localhost
served 'exactly this one' --pin "$(sha256_of "$work/server.crt")"
refused 'not trusted' --ca "$work/stranger.crt"
stop_server TERM

start_server --cert "$work/named.crt" --key "$work/named.key"
served 'the name we mean' --ca "$work/named.crt" --name other.example
refused 'not trusted' --ca "$work/named.crt"
stop_server TERM

say 'The default files in the working directory'
cd "$work"
start_server
served 'here by default' --ca "$work/server.crt"

reload_says() { # how many lines so far, pattern
  eventually reload_has_said "$@" || fail "no line $1 of \"$2\" from reload_sighup: $(cat "$work/server.log")"
}
reload_has_said() { [[ $(grep -c -- "$2" "$work/server.log") -ge $1 ]]; }

# The files that reload_sighup is told of, replaced whole, as one should: a copy beside, then renamed.
put() { # from, to; without .crt and .key
  local kind
  for kind in crt key; do
    cp "$1.$kind" "$2.$kind.new"
    mv "$2.$kind.new" "$2.$kind"
  done
}

resumes() { # session file of openssl s_client
  openssl s_client -connect "127.0.0.1:$port" -tls1_2 -sess_in "$1" </dev/null 2>/dev/null | grep -q '^Reused, '
}

say 'SIGHUP: the certificate is renewed while the server runs'
stop_server TERM
put "$work/server" "$work/live"
openssl rand 80 >"$work/ticket.key"
openssl rand 80 >"$work/older.key"
: >"$work/server.log"
"$programs/reload_sighup" 0 "$work/live.crt" "$work/live.key" "$work/ticket.key" "$work/older.key" \
  >"$work/server.log" 2>&1 &
server_pid=$!
eventually server_has_spoken || true
port=$(port_in "$work/server.log")
[[ -n $port ]] || fail "reload_sighup did not start: $(cat "$work/server.log")"
served 'the old one' --ca "$work/server.crt"
openssl s_client -connect "127.0.0.1:$port" -tls1_2 -sess_out "$work/session" </dev/null >"$work/s_client.log" 2>&1 ||
  fail "openssl s_client does not connect: $(cat "$work/s_client.log")"
put "$work/stranger" "$work/live"
served 'nobody was told' --ca "$work/server.crt"
kill -HUP "$server_pid"
reload_says 1 "^reloaded $work/live.crt"
served 'the new one' --ca "$work/stranger.crt"
refused 'not trusted' --ca "$work/server.crt"
resumes "$work/session" || fail 'the session of before the reload is not resumed'
cp "$work/server.crt" "$work/live.crt" # and the key stays: they do not belong together
kill -HUP "$server_pid"
reload_says 1 "^not reloaded: $work/live.crt"
head -c 300 "$work/stranger.crt" >"$work/live.crt"
kill -HUP "$server_pid"
reload_says 2 "^not reloaded: $work/live.crt"
rm "$work/live.key"
kill -HUP "$server_pid"
reload_says 3 '^not reloaded: '
served 'still the new one' --ca "$work/stranger.crt"
put "$work/server" "$work/live"
kill -HUP "$server_pid"
reload_says 2 "^reloaded $work/live.crt"
served 'the old one again' --ca "$work/server.crt"
head -c 79 "$work/ticket.key" >"$work/older.key"
kill -HUP "$server_pid"
reload_says 1 "^not reloaded: $work/older.key"
stop_server TERM
fails_with '/nowhere/server.crt' reload_sighup 0 /nowhere/server.crt "$work/server.key"
fails_with 'use:' reload_sighup 0

say 'What is wrong is named'
start_server
fails_with "$port" echo_server --address 127.0.0.1 --port "$port" --self-signed
fails_with '/nowhere/server.crt' echo_server --port 0 --cert /nowhere/server.crt
fails_with 'stranger.key' echo_server --port 0 --cert "$work/server.crt" --key "$work/stranger.key"
fails_with '/nowhere/ca.crt' echo_client --port "$port" --ca /nowhere/ca.crt
fails_with 'no message' echo_client --port "$port" --insecure
fails_with 'use:' echo_server --no-such-option
fails_with 'use:' echo_client --no-such-option
stop_server TERM
fails_with "$port" echo_client --port "$port" --insecure

# It names its port, so one is chosen here where the system takes none for the ends of other connections.
say 'The program of the README, built as the README says'
read -r lowest_of_system _ </proc/sys/net/ipv4/ip_local_port_range
build_readme_echo() { # port
  sed "s/12345/$1/" "$root/c_examples/readme_echo.c" >"$work/readme_echo.c"
  # shellcheck disable=SC2086 # CC may hold flags, as it may for make
  ${CC:-cc} -I"$root/include" -o "$work/readme_echo" "$work/readme_echo.c" \
    -L"$programs/../lib" -ltlsloop -Wl,-rpath,"$programs/../lib"
}
start_readme_echo() {
  port=$((lowest_of_system / 2 + RANDOM % (lowest_of_system / 2)))
  build_readme_echo "$port"
  "$work/readme_echo" >"$work/server.log" 2>&1 &
  server_pid=$!
}
readme_echo_answers() {
  if is_gone "$server_pid" && grep -q 'already in use' "$work/server.log"; then start_readme_echo; fi
  client 'twenty lines' --insecure --port "$port" || { is_gone "$server_pid" && ! grep -q 'already in use' "$work/server.log"; }
}
start_readme_echo
eventually readme_echo_answers || true
! is_gone "$server_pid" || fail "the program of the README has ended: $(cat "$work/server.log")"
served 'twenty lines' --insecure

! is_gone "$server_pid" || fail 'the program of the README has ended'
kill "$server_pid"
wait "$server_pid" || true

say 'What a server counts, in the format of Prometheus'
"$programs/prometheus" 0 0 >"$work/server.log" 2>&1 &
server_pid=$!
tells_metrics_port() { [[ -n $(metrics_port_in) ]] || is_gone "$server_pid"; }
metrics_port_in() { sed -n 's/^metrics on \([0-9][0-9]*\)$/\1/p' "$work/server.log"; }
eventually tells_metrics_port || true
port=$(port_in "$work/server.log")
counted='to be counted'
served "$counted" --insecure
scrape() {
  exec 3<>"/dev/tcp/127.0.0.1/$(metrics_port_in)"
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
  cat <&3 >"$work/scraped"
  exec 3>&-
}
counts_the_end() { scrape && grep -qx 'tlsloop_disconnects_total{reason="peer"} 1' "$work/scraped"; }
eventually counts_the_end || fail "the end of the client is not counted: $(cat "$work/scraped")"
head -n 1 "$work/scraped" | grep -q '^HTTP/1.0 200 OK' || fail "no answer to a scrape: $(cat "$work/scraped")"
sed '1,/^\r$/d' "$work/scraped" >"$work/metrics"
strange=$(grep -vE '^# TYPE [a-z_]+ (counter|gauge)$|^tlsloop_[a-z_]+(\{[a-z]+="[a-z_]+"\})? [0-9]+$' "$work/metrics" || true)
[[ -s $work/metrics && -z $strange ]] || fail "not Prometheus' format: $strange"
for line in 'tlsloop_accepted_total 1' 'tlsloop_connects_total 1' 'tlsloop_open_connections 0' \
  "tlsloop_received_bytes_total $((${#counted} + 1))" "tlsloop_sent_bytes_total $((${#counted} + 1))"; do
  grep -qx "$line" "$work/metrics" || fail "the metrics lack \"$line\": $(cat "$work/metrics")"
done
[[ $(grep -c '^# TYPE' "$work/metrics") -eq $(sed -n 's/^# TYPE //p' "$work/metrics" | sort -u | wc -l) ]] ||
  fail 'a name has two types'
stop_server TERM

say 'examples: all as described'
