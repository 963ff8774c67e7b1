# shellcheck shell=bash
# The echo server and its client, as the demo and the checks of the examples use them. Sourced after common.sh
# by a script that has set "programs", the directory with both; it gets "work", a directory for the run, and a
# server that does not outlive it.
# shellcheck disable=SC2154 # programs comes from the script that sources this

work=$(mktemp -d)
server_pid=

clean_up() {
  if [[ -n $server_pid ]]; then
    kill -KILL "$server_pid" 2>/dev/null || true
    wait "$server_pid" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT

make_certificate() { # files without .crt and .key, names as in an X.509v3 extension
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj "/CN=tlsloop demo" -addext "subjectAltName=$2" -keyout "$1.key" -out "$1.crt" 2>"$work/openssl.log" ||
    fail "openssl could not make a certificate: $(cat "$work/openssl.log")"
}

# Starts the server on a port that the system picks, and waits until it says which.
start_server() { # arguments of echo_server
  : >"$work/server.log" # which may still name the port of the server before
  "$programs/echo_server" --address 127.0.0.1 --port 0 "$@" >"$work/server.log" 2>&1 &
  server_pid=$!
  eventually server_has_spoken || true
  port=$(port_in "$work/server.log")
  [[ -n $port ]] || fail "the server did not start: $(cat "$work/server.log")"
}
server_has_spoken() { [[ -n $(port_in "$work/server.log") ]] || is_gone "$server_pid"; }
port_in() { sed -n 's/^listening on \([0-9][0-9]*\)$/\1/p' "$1"; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# The last client may have left before the server heard of it.
server_has_seen_off() { # number of connections
  [[ $(grep -c ' ended: ' "$work/server.log") -ge $1 ]]
}

stop_server() { # signal
  local status=0
  kill "-$1" "$server_pid"
  eventually is_gone "$server_pid" || fail "the server did not end on SIG$1"
  wait "$server_pid" || status=$?
  server_pid=
  [[ $status -eq 0 ]] || fail "the server ended with status $status: $(tail -n 5 "$work/server.log")"
}

# One run of the client, as a user types it. Gives its status; its output is in $work/answered and .../complaint.
client() { # line, arguments of echo_client
  local line=$1
  shift
  printf '%s\n' "$line" | timeout 30 "$programs/echo_client" "$@" >"$work/answered" 2>"$work/complaint"
}

# The whole output of the client, byte for byte, when the line has come back.
expect_answer() { # line
  printf 'Enter a message to send to the server: Received from server: %s\n' "$1" >"$work/expected"
  cmp "$work/expected" "$work/answered" || fail "the answer differs from what was sent: $1"
}
