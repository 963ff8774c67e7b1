#!/usr/bin/env bash
# Whether a host serves sockets that somebody else opened: the listening socket of a service manager (descriptor 3,
# LISTEN_FDS), which must survive the host, and the accepted connection of an inetd (descriptor 0). Started by a launcher
# of ours, and by systemd's own where that is installed.
#
#   tests/activation/check.sh DIRECTORY      DIRECTORY holds libtlsloop.so
#
# With TEST_HOST_DRIVEN in the environment the hosts are driven by themselves, and tlsloop starts no thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=tests/langs/openssl_client.sh
source tests/langs/openssl_client.sh

[[ $# -eq 1 ]] || fail 'usage: tests/activation/check.sh DIRECTORY'
library=$(cd "$1" && pwd)

work=$(mktemp -d)
launcher_pid=
clean_up() {
  local pid
  for pid in $(hosts) $launcher_pid; do
    kill -KILL "$pid" 2>/dev/null || true
  done
  [[ -z $launcher_pid ]] || wait "$launcher_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

build() { # program, libraries
  # shellcheck disable=SC2086 # CC may hold flags, as it may for make
  ${CC:-cc} -std=c11 -O1 -g -Wall -Wextra -Wshadow -Werror -Iinclude -o "$work/$1" "tests/activation/$1.c" "${@:2}"
}

said() { tail -n 20 "$work/launcher.log" "$work/host.log"; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }
hosts() { sed -n 's/^process \([0-9]*\) serves.*/\1/p' "$work/host.log" 2>/dev/null || true; }

# --- Who starts the host -----------------------------------------------------------------------------------------------

start_launcher() { # command
  : >"$work/host.log"
  : >"$work/launcher.log" # now, and not when the launcher comes to it: the port of the one before stands there
  "$@" >>"$work/launcher.log" 2>&1 &
  launcher_pid=$!
}

ours() { # service or connection, times
  start_launcher "$work/launch" "$1" "$2" "$work/host" "$1" "$work/host.log"
  eventually launcher_has_spoken || fail "the launcher did not start: $(said)"
  port=$(port_in)
  target=(-connect "127.0.0.1:$port")
}
port_in() { sed -n 's/^listening on \([0-9][0-9]*\)$/\1/p' "$work/launcher.log"; }
launcher_has_spoken() { [[ -n $(port_in) ]]; }

# It listens on a path, because it says nothing of a port that the system has picked.
systemd() { # service or connection
  local how=()
  [[ $1 == service ]] || how=(--accept --inetd)
  rm -f "$work/socket"
  start_launcher systemd-socket-activate "${how[@]}" --listen="$work/socket" ${TEST_HOST_DRIVEN:+--setenv=TEST_HOST_DRIVEN} \
    "$work/host" "$1" "$work/host.log"
  eventually test -S "$work/socket" || fail "systemd-socket-activate does not listen: $(said)"
  port=0
  target=(-unix "$work/socket")
}

# --- What is asked -----------------------------------------------------------------------------------------------------

printf 'a line\n' >"$work/few"
head -c 300000 /dev/urandom >"$work/many"

host_has_said() { [[ $(grep -cx -- "$2" "$work/host.log") -eq $1 ]]; }
expect_said() { # times, pattern of a line
  eventually host_has_said "$1" "$2" || fail "the host does not say \"$2\" $1 times: $(said)"
}

serve() { # name: one client from its coming to its going
  connect "$1" >"$work/$1.back"
  echoed "$1" "$work/few"
}

end_launcher() {
  local status=0
  eventually is_gone "$launcher_pid" || fail "the launcher does not end: $(said)"
  wait "$launcher_pid" || status=$?
  launcher_pid=
  [[ $status -eq 0 ]] || fail "the launcher ended with status $status: $(said)"
}

end_host() { # its number, from 1
  local pid
  pid=$(hosts | sed -n "$1p")
  [[ -n $pid ]] || fail "there is no host number $1: $(said)"
  kill -TERM "$pid"
}

# The launcher's socket is still one to listen on when the host has gone, and whoever connects then is not refused.
check_service_of_ours() {
  ours service 3
  for n in 1 2 3; do
    serve "visitor$n"
    expect_said 1 "process [0-9]* serves port $port"
    leave "visitor$n"
    expect_said 1 'ended peer'
    end_host 1
    eventually is_gone "$(hosts)" || fail "the host did not end on SIGTERM: $(said)"
    : >"$work/host.log"
  done
  end_launcher
  say '  service: started, stopped and started again on one socket'
}

check_connection_of_ours() {
  ours connection 3
  serve one
  serve another
  connect third >"$work/third.back"
  echoed third "$work/many"
  expect_said 3 'process [0-9]* serves its connection'
  leave one
  leave another
  leave third
  expect_said 3 'ended peer'
  end_launcher
  say '  connection: each with a host of its own'
}

check_service_of_systemd() {
  systemd service
  serve visitor
  expect_said 1 'process [0-9]* serves port 0'
  # It has become the host, instead of starting one.
  [[ $(hosts) == "$launcher_pid" ]] || fail "another process serves: $(said)"
  leave visitor
  expect_said 1 'ended peer'
  end_host 1
  end_launcher
  say '  service, by systemd-socket-activate'
}

check_connection_of_systemd() {
  systemd connection
  serve one
  serve another
  expect_said 2 'process [0-9]* serves its connection'
  leave one
  leave another
  expect_said 2 'ended peer'
  kill -TERM "$launcher_pid"
  eventually is_gone "$launcher_pid" || fail "systemd-socket-activate does not end: $(said)"
  launcher_pid=
  say '  connection, by systemd-socket-activate --inetd'
}

# --- The run -----------------------------------------------------------------------------------------------------------

build host -L"$library" -ltlsloop -Wl,-rpath,"$library"
build launch
check_service_of_ours
check_connection_of_ours
if command -v systemd-socket-activate >/dev/null; then
  check_service_of_systemd
  check_connection_of_systemd
else
  say '  systemd-socket-activate is missing: only the launcher of our own'
fi
say 'activation: sockets that others opened are served'
