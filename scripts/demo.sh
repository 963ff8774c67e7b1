#!/usr/bin/env bash
# Shows the main job at work: a C echo server and C clients that talk to it over TLS.
#
#   scripts/demo.sh DIRECTORY      DIRECTORY holds echo_server and echo_client
#
# The certificate is made for this run and the client verifies it. Fails if one byte of an answer differs, if
# the server does not end cleanly on SIGTERM, or if its statistics do not name every conversation.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/demo.sh DIRECTORY'
programs=$1
work=$(mktemp -d)
server_pid=

clean_up() {
  [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

# --- The server, with a certificate of its own, on a port that the system picks -----------------------------------

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
    -keyout "$work/server.key" -out "$work/server.crt" 2>"$work/openssl.log" ||
    fail "openssl could not make a certificate: $(cat "$work/openssl.log")"
}

start_server() {
  "$programs/echo_server" --address 127.0.0.1 --port 0 --cert "$work/server.crt" --key "$work/server.key" \
    >"$work/server.log" 2>&1 &
  server_pid=$!
  server_is_ready() { has_port "$work/server.log" || is_gone "$server_pid"; }
  eventually server_is_ready || true
  has_port "$work/server.log" || fail "the server did not start: $(cat "$work/server.log")"
  port=$(port_in "$work/server.log")
}

stop_server() {
  local status=0
  kill -TERM "$server_pid"
  eventually is_gone "$server_pid" || fail 'the server did not end on SIGTERM'
  wait "$server_pid" || status=$?
  server_pid=
  [[ $status -eq 0 ]] || fail "the server ended with status $status: $(tail -n 5 "$work/server.log")"
}

# --- The conversation ----------------------------------------------------------------------------------------------

# What the terminal would show; long lines are cut for the eye only.
show() { # prompt, text
  if [[ ${#2} -gt 100 ]]; then
    say "$1${2:0:60}... (${#2} bytes)"
  else
    say "$1$2"
  fi
}

# One run of the client, as a user types it. Its whole output is compared, byte for byte.
converse() { # line
  printf '%s\n' "$1" >"$work/typed"
  printf 'Enter a message to send to the server: Received from server: %s\n' "$1" >"$work/expected"
  timeout 30 "$programs/echo_client" --host 127.0.0.1 --port "$port" --ca "$work/server.crt" \
    <"$work/typed" >"$work/answered" 2>"$work/complaint" ||
    fail "the client failed: $(cat "$work/complaint" "$work/answered")"
  show 'Enter a message to send to the server: ' "$1"
  show 'Received from server: ' "$(sed 's/.*Received from server: //' "$work/answered")"
  cmp "$work/expected" "$work/answered" || fail "the answer differs from what was sent: $1"
}

say 'Making a certificate for this run (P-256, localhost) ...'
make_certificate
start_server
say "The echo server listens on 127.0.0.1:$port; each line below is one run of the client, over TLS, verified."
say ''

# The shell and printf must not have been at work on them, nor anything on the way.
# shellcheck disable=SC2016 # nothing in these lines is to be expanded
lines=(
  'Hello, tlsloop!'
  'The first client has left and the server is still here.'
  'Grüße, κόσμε, 世界: bytes are bytes.'
  '%s %n $HOME `date` "quotes" \backslashes\ and a	tab'
  "$(printf '%0999d' 0)"
)
for line in "${lines[@]}"; do
  converse "$line"
done

stop_server
say ''
say 'The server ended on SIGTERM. What it had to say:'
sed 's/^/  | /' "$work/server.log" | cut -c 1-160
say ''
say "demo: ${#lines[@]} conversations, every byte came back, the server ended cleanly."
