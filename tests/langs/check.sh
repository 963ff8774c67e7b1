#!/usr/bin/env bash
# Whether the echo servers in other languages do what they say: each is built and started as a stranger would, serves
# OpenSSL's own client, outlives clients who are no clients, ends on SIGTERM, and has counted right.
#
#   tests/langs/check.sh DIRECTORY [python|cobol|cpp]...      DIRECTORY holds libtlsloop.so.0; no language: all
#
# A language whose compiler or interpreter is missing is left out, and that is said. Ends with 77 if nothing is left.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=tests/langs/openssl_client.sh
source tests/langs/openssl_client.sh

[[ $# -ge 1 ]] || fail 'usage: tests/langs/check.sh DIRECTORY [python|cobol|cpp]...'
library=$(cd "$1" && pwd)
shift
[[ $# -gt 0 ]] || set -- python cobol cpp
export LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

work=$(mktemp -d)
server_pid=
reader=
clean_up() {
  local pid
  for pid in $server_pid $reader; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean_up EXIT

# --- How each language is built; sets "server", the command. False: there is no such compiler here ---------------------

have() { command -v "$1" >/dev/null; }

build_python() {
  have "${PYTHON:=python3}" && "$PYTHON" -c 'import ctypes' || return 1
  server=("$PYTHON" examples/echo_server.py)
}

build_cobol() {
  have "${COBC:=cobc}" || return 1
  "$COBC" -x -Wall -Wno-unfinished -I examples -o "$work/cobol" examples/echo_server.cob -L"$library" -ltlsloop ||
    fail 'cobol: the example does not compile'
  server=("$work/cobol")
}

build_cpp() {
  have "${CXX:=g++}" || return 1
  "$CXX" -std=c++17 -Wall -Wextra -pedantic -Werror -Iinclude -o "$work/cpp" examples/echo_server.cpp -L"$library" -ltlsloop ||
    fail 'cpp: the example does not compile'
  server=("$work/cpp")
}

# --- The server --------------------------------------------------------------------------------------------------------

said() { printf '%s: ' "$language" && tail -n 20 "$work/server.log"; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }
port_in() { sed -n 's/^listening on \([0-9][0-9]*\)$/\1/p' "$1"; }
has_spoken() { [[ -n $(port_in "$work/server.log") ]] || is_gone "$server_pid"; }

start_server() { # arguments behind the port
  : >"$work/server.log" # now, and not when the server comes to it: the port of the one before stands there
  "${server[@]}" 0 "$@" >>"$work/server.log" 2>&1 &
  server_pid=$!
  eventually has_spoken || true
  port=$(port_in "$work/server.log")
  [[ -n $port ]] || fail "the server did not start: $(said)"
  target=(-connect "127.0.0.1:$port")
}

# The statistics are compared word for word, whatever their columns.
stop_server() { # connects, disconnects, failures, bytes
  local status=0 expected="$1 connected, $2 ended, $3 failed to connect, $4 bytes in, $4 out"
  sleep 0.3 # an end is counted when its callback, which says it, has returned
  kill -TERM "$server_pid"
  eventually is_gone "$server_pid" || fail "the server did not end on SIGTERM: $(said)"
  wait "$server_pid" || status=$?
  server_pid=
  [[ $status -eq 0 ]] || fail "the server ended with status $status: $(said)"
  sed 's/^ *//; s/  */ /g' "$work/server.log" | grep -qxF -- "$expected" || fail "not \"$expected\": $(said)"
}

times_said() { [[ $(grep -c "^$2$" "$work/server.log") -eq $1 ]]; }
has_said() { # times, line
  eventually times_said "$1" "$2" || fail "the server did not say \"$2\" $1 times: $(said)"
}

fails_with() { # words, arguments of the server
  local status=0
  timeout 30 "${server[@]}" "${@:2}" >"$work/server.log" 2>&1 || status=$?
  [[ $status -ne 0 && $status -lt 124 ]] || fail "status $status with ${*:2}: $(said)"
  grep -q -- "$1" "$work/server.log" || fail "no word of \"$1\" with ${*:2}: $(said)"
}

# --- The clients -------------------------------------------------------------------------------------------------------

# A client that sends all and reads nothing, until everybody on the way is full; only then it reads. Its echo is whole
# if the server stops reading while it cannot send, and goes on when it can.
echoed_lazily() { # name, file, options of s_client
  local name=$1 feeder fifo
  mkfifo "$work/$name.fifo"
  exec {fifo}<>"$work/$name.fifo" # both ends, so that neither opening waits for the other
  rm "$work/$name.fifo"
  connect "$name" "${@:3}" >&"$fifo"
  cat <"$2" >&"${feed[$name]}" &
  feeder=$!
  eventually is_stuck "$feeder" || true
  cat <&"$fifo" >"$work/$name.back" &
  reader=$!
  eventually is_back "$2" "$name" || fail "not all came back to one who reads late: $(cat "$work/$name.log"; said)"
  wait "$feeder"
  kill "$reader"
  wait "$reader" 2>/dev/null || true
  reader=
  exec {fifo}>&-
}
is_stuck() { # a process that reads from a file: whether it rests, or is through
  local before
  before=$(grep -s '^pos' "/proc/$1/fdinfo/0") || return 0
  sleep 0.5
  [[ $(grep -s '^pos' "/proc/$1/fdinfo/0") == "$before" ]]
}

# Leaves in its handshake; the other one talks no TLS at all.
be_rude() {
  local fd
  exec {fd}<>"/dev/tcp/127.0.0.1/$port"
  exec {fd}>&-
  exec {fd}<>"/dev/tcp/127.0.0.1/$port"
  printf 'GET / HTTP/1.0\r\n\r\n' >&"$fd"
  timeout 20 cat <&"$fd" >/dev/null || fail "a client without TLS is left waiting: $(said)"
  exec {fd}>&-
}

# --- The run -----------------------------------------------------------------------------------------------------------

many=16000000 # more than all sockets, pipes and queues on the way can hold
head -c "$many" /dev/urandom >"$work/many"
printf 'a line\n' >"$work/few"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$work/key" -out "$work/crt" 2>"$work/openssl.log" ||
  fail "openssl made no certificate: $(cat "$work/openssl.log")"

check() {
  start_server
  connect first >"$work/first.back"
  echoed first "$work/few"
  be_rude
  echoed_lazily second "$work/many"
  leave second
  has_said 1 'ended: peer'
  leave first
  has_said 2 'ended: peer'
  stop_server 2 2 2 $((many + 7))

  # Its own certificate, and a client who is still there at the end.
  start_server "$work/crt" "$work/key"
  connect careful -CAfile "$work/crt" -verify_return_error -verify_hostname localhost >"$work/careful.back"
  echoed careful "$work/few"
  stop_server 1 0 0 7
  leave careful
  has_said 1 'ended: stopped'

  fails_with nowhere 0 /nowhere/crt /nowhere/key
}

checked=0
for language in "$@"; do
  if "build_$language"; then
    check
    checked=$((checked + 1))
    say "$language: echoed, counted and ended as it says"
  else
    say "$language: left out, because what it needs is missing"
  fi
done
[[ $checked -gt 0 ]] || exit 77
