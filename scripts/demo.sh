#!/usr/bin/env bash
# Shows the main job at work: a C echo server and C clients that talk to it over TLS.
#
#   scripts/demo.sh DIRECTORY      DIRECTORY holds echo_server and echo_client
#
# The certificate is made for this run and the client verifies it. Fails if one byte of an answer differs, if
# the server does not end cleanly on SIGTERM, or if its statistics do not count every conversation.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/demo.sh DIRECTORY'
programs=$1
# shellcheck source=scripts/echo_pair.sh
source scripts/echo_pair.sh

# What the terminal would show; long lines are cut for the eye only.
show() { # prompt, text
  if [[ ${#2} -gt 100 ]]; then
    say "$1${2:0:60}... (${#2} characters)"
  else
    say "$1$2"
  fi
}

converse() { # line
  client "$1" --host 127.0.0.1 --port "$port" --ca "$work/server.crt" ||
    fail "the client failed: $(cat "$work/complaint" "$work/answered")"
  show 'Enter a message to send to the server: ' "$1"
  show 'Received from server: ' "$(sed 's/.*Received from server: //' "$work/answered")"
  expect_answer "$1"
}

# The shell, printf and the console must not be at work on these, nor anything else on the way.
# shellcheck disable=SC2016 # nothing in these lines is to be expanded
lines=(
  'Hello, tlsloop!'
  'The first client has left, and the server is still here.'
  'Grüße, κόσμε, 世界: bytes are bytes.'
  '%s %n $HOME `date` "quotes" \backslashes\ and a	tab'
  "$(printf '%0100000d' 0)"
)

say 'Making a certificate for this run (P-256, for localhost and 127.0.0.1) ...'
make_certificate "$work/server" DNS:localhost,IP:127.0.0.1
start_server --cert "$work/server.crt" --key "$work/server.key"
say "The echo server listens on 127.0.0.1:$port. Each pair of lines is one run of the client, over verified TLS."
say ''
for line in "${lines[@]}"; do
  converse "$line"
done
eventually server_has_seen_off "${#lines[@]}" || fail 'the server has not noticed that its clients left'
stop_server TERM

say ''
say 'The server ended on SIGTERM. What it had to say:'
cut -c 1-140 "$work/server.log" | sed 's/^/  | /'
grep -q "^${#lines[@]} connected, ${#lines[@]} ended, 0 failed" "$work/server.log" ||
  fail 'its statistics do not count these conversations'
say ''
say "demo: ${#lines[@]} conversations, every byte came back, and the server ended cleanly."
