#!/usr/bin/env bash
# Whether a host behind a real HAProxy learns who its clients are: by PROXY headers of both versions, with and without
# TLS, over IPv4, IPv6 and unix sockets; and whether it believes nobody else.
#
#   tests/haproxy/check.sh DIRECTORY      DIRECTORY holds libtlsloop.so
#
# With TEST_HOST_DRIVEN in the environment the hosts are driven by themselves, and tlsloop starts no thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/haproxy/check.sh DIRECTORY'
library=$(cd "$1" && pwd)
# Debian keeps it where only root's PATH looks.
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v haproxy >/dev/null || fail 'haproxy is missing'

work=$(mktemp -d)
pids=()
clean_up() {
  local pid
  for pid in "${pids[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap clean_up EXIT

is_gone() { ! kill -0 "$1" 2>/dev/null; }

# Where there is no ::1, the sockets meant for it listen on IPv4, and nothing is asked of them.
ipv6=::1
grep -qs '^0\{31\}1 ' /proc/net/if_inet6 || ipv6=

# --- What runs -------------------------------------------------------------------------------------------------------

build() { # program, libraries
  # shellcheck disable=SC2086 # CC may hold flags, as it may for make
  ${CC:-cc} -std=c11 -O1 -g -Wall -Wextra -Wshadow -Werror -Iinclude -o "$work/$1" "tests/haproxy/$1.c" "${@:2}"
}

declare -A host_pid
start_host() { # name, plain or tls, address, trusted, limit; sets port
  : >"$work/$1.log"
  "$work/host" "${@:2}" >>"$work/$1.log" 2>&1 &
  host_pid[$1]=$!
  pids+=("$!")
  eventually host_has_spoken "$1" || true
  port=$(port_in "$work/$1.log")
  [[ -n $port ]] || fail "the host \"$1\" did not start: $(cat "$work/$1.log")"
}
port_in() { sed -n 's/^listening on \([0-9][0-9]*\)$/\1/p' "$1"; }
host_has_spoken() { [[ -n $(port_in "$work/$1.log") ]] || is_gone "${host_pid[$1]}"; }

# Ends a host that nobody is connected to any more; sets "counted" to what it has counted.
stop_host() { # name
  local status=0
  eventually all_have_left "$1" || fail "a client of the host \"$1\" does not leave: $(logs)"
  kill -TERM "${host_pid[$1]}"
  eventually is_gone "${host_pid[$1]}" || fail "the host \"$1\" did not end on SIGTERM"
  wait "${host_pid[$1]}" || status=$?
  [[ $status -eq 0 ]] || fail "the host \"$1\" ended with status $status: $(tail -n 5 "$work/$1.log")"
  counted=$(sed -n 's/^counted //p' "$work/$1.log")
}
all_have_left() { [[ $(grep -c '^connected' "$work/$1.log") -eq $(grep -c '^disconnected' "$work/$1.log") ]]; }

start_haproxy() { # sockets as with_sockets has them
  : >"$work/ports"
  "$work/with_sockets" "$@" -- haproxy -db -f tests/haproxy/haproxy.cfg >>"$work/ports" 2>"$work/haproxy.log" &
  haproxy_pid=$!
  pids+=("$haproxy_pid")
  eventually sockets_are_there $# || fail "no sockets for HAProxy: $(cat "$work/haproxy.log")"
}
sockets_are_there() { [[ $(wc -l <"$work/ports") -ge $1 ]]; }
port_of() { sed -n "s/^$1 //p" "$work/ports"; } # socket

# The last lines of everybody, for a failure that does not explain itself.
logs() { tail -n 5 "$work"/*.log; }

# --- What is asked ---------------------------------------------------------------------------------------------------

# One run of the client; sets "from", where it says that it connects from, and "status".
client() { # arguments of the client
  status=0
  timeout 60 "$work/client" "$@" >"$work/from" 2>"$work/client.log" || status=$?
  from=$(cat "$work/from")
  [[ -n $from ]] || fail "the client did not connect: $*: $(logs)"
}

host_says() { # host, words that a line begins with
  eventually grep -qF -- "$2" "$work/$1.log" || fail "the host \"$1\" does not say \"$2\": $(logs)"
}

declare -A conversations
served() { # what is proved, host, balancer as the host sees it, arguments of the client
  client "${@:4}"
  [[ $status -eq 0 ]] || fail "$1: the echo did not come (status $status): $(logs)"
  host_says "$2" "asked $from"
  host_says "$2" "connected $from through $3"
  host_says "$2" "disconnected $from: "
  conversations[$2]=$((${conversations[$2]:-0} + 1))
  say "  $1: $(grep -F -- "connected $from through $3" "$work/$2.log")"
}

served_ipv6() { # as served, without the addresses
  [[ -z $ipv6 ]] || served "$1, IPv6" "$2" "$3" "$4" "$ipv6" "$ipv6" "$5"
}

# HAProxy says LOCAL or UNKNOWN for a client that has no address, and then it is itself the peer.
served_without_a_name() { # what is proved, socket
  local before
  before=$(count_nameless)
  client plain "$work/$2.sock"
  [[ $status -eq 0 ]] || fail "$1: the echo did not come (status $status): $(logs)"
  eventually has_more_than "$before" || fail "$1: the balancer itself is not the peer: $(logs)"
  conversations[plain]=$((${conversations[plain]:-0} + 1))
  say "  $1: $(grep '^connected' "$work/plain.log" | tail -n 1)"
}
count_nameless() { grep -c '^connected 127\.0\.0\.1:[0-9]* through nobody$' "$work/plain.log" || true; }
has_more_than() { [[ $(count_nameless) -gt $1 ]]; }

turned_away() { # what is proved, host, arguments of the client
  client "${@:3}"
  [[ $status -eq 2 ]] || fail "$1: the client was not turned away (status $status): $(logs)"
  ! grep -qF -- "connected $from " "$work/$2.log" || fail "$1: $(grep -F "$from" "$work/$2.log")"
  say "  $1: turned away"
}

# --- The run ---------------------------------------------------------------------------------------------------------

build host -L"$library" -ltlsloop -Wl,-rpath,"$library"
build client -lssl -lcrypto
build with_sockets
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=balancer' \
  -keyout "$work/key" -out "$work/crt" 2>"$work/openssl.log" || fail "openssl made no certificate: $(cat "$work/openssl.log")"
cat "$work/crt" "$work/key" >"$work/balancer.pem"

export WORK=$work PLAIN_PORT TLS_PORT STRANGER_PORT LIMITED_PORT CHECKED_V1_PORT CHECKED_V2_PORT
start_host plain plain 127.0.0.1 127.0.0.1
PLAIN_PORT=$port
start_host tls tls 127.0.0.1 '192.0.2.0/24, 127.0.0.1/32'
TLS_PORT=$port
start_host unix plain "unix:$work/host.sock" unix
start_host stranger plain 127.0.0.1 127.0.0.2,::1,unix
STRANGER_PORT=$port
start_host limited plain 127.0.0.1 127.0.0.1 2
LIMITED_PORT=$port
start_host checked_v1 plain 127.0.0.1 127.0.0.1
CHECKED_V1_PORT=$port
start_host checked_v2 plain 127.0.0.1 127.0.0.1
CHECKED_V2_PORT=$port
sockets=()
for socket in V1 V2 V2_OPTIONS V2_OF_TLS V1_TO_TLS V2_TO_TLS V2_TO_UNIX V2_TO_STRANGER V2_TO_LIMITED WITHOUT; do
  sockets+=("$socket=127.0.0.1" "${socket}_IPV6=${ipv6:-127.0.0.1}")
done
start_haproxy "${sockets[@]}"

# The client's address differs from the balancer's also without its port.
v4=127.0.0.9
for socket in V1 V2 V2_OPTIONS; do
  served "$socket" plain 127.0.0.1: plain "$v4" 127.0.0.1 "$(port_of "$socket")"
  served_ipv6 "$socket" plain 127.0.0.1: plain "$(port_of "${socket}_IPV6")"
  served_without_a_name "$socket, client on a unix socket" "${socket,,}"
done
served 'TLS ended by the balancer' plain 127.0.0.1: tls "$v4" 127.0.0.1 "$(port_of V2_OF_TLS)"
for socket in V1_TO_TLS V2_TO_TLS; do
  served "$socket" tls 127.0.0.1: tls "$v4" 127.0.0.1 "$(port_of "$socket")"
  served_ipv6 "$socket" tls 127.0.0.1: tls "$(port_of "${socket}_IPV6")"
done
served 'the balancer on a unix socket' unix "unix:$work/host.sock" plain "$v4" 127.0.0.1 "$(port_of V2_TO_UNIX)"

turned_away 'a client that on_accept refuses by the conveyed address' plain plain 127.0.0.66 127.0.0.1 "$(port_of V2)"
host_says plain "asked $from"
turned_away 'a balancer that is not trusted' stranger plain "$v4" 127.0.0.1 "$(port_of V2_TO_STRANGER)"
! grep -q '^connected' "$work/stranger.log" || fail "a stranger's word was taken: $(cat "$work/stranger.log")"
turned_away 'no header where one is required' plain plain "$v4" 127.0.0.1 "$(port_of WITHOUT)"
eventually grep -q '^failed 127\.0\.0\.1:.*PROXY header' "$work/plain.log" || fail "the missing header is not named: $(logs)"

# All come from the balancer's one address, and are counted for their own.
limited=$(port_of V2_TO_LIMITED)
open_now() { echo $(($(grep -c '^connected' "$work/limited.log") - $(grep -c '^disconnected' "$work/limited.log"))); }
has_open() { [[ $(open_now) -eq $1 ]]; }
exec {first}<>"/dev/tcp/127.0.0.1/$limited" {second}<>"/dev/tcp/127.0.0.1/$limited"
eventually has_open 2 || fail "two connections that stay are not there: $(logs)"
turned_away 'a third connection from an address that may have two' limited plain 127.0.0.1 127.0.0.1 "$limited"
served 'meanwhile a client at another address' limited 127.0.0.1: plain "$v4" 127.0.0.1 "$limited"
exec {first}>&-
eventually has_open 1 || fail "one that left is still there: $(logs)"
served 'the next from an address that has room again' limited 127.0.0.1: plain 127.0.0.1 127.0.0.1 "$limited"
exec {second}>&-

host_says checked_v1 'connected 127.0.0.1:'
host_says checked_v2 'connected 127.0.0.1:'
say '  health checks, v1 and v2: the peer is the balancer'

kill -TERM "$haproxy_pid"
eventually is_gone "$haproxy_pid" || fail 'HAProxy did not end on SIGTERM'

has_counted() { # host, connects, refused_callback, refused_proxy, refused_per_ip; each a pattern
  stop_host "$1"
  local expected="connects $2 refused_callback $3 refused_proxy $4 refused_per_ip ${5:-0}"
  # shellcheck disable=SC2053 # a pattern it is
  [[ $counted == $expected ]] || fail "the host \"$1\" counted $counted, and not $expected"
}
has_counted plain "${conversations[plain]}" 1 1
has_counted tls "${conversations[tls]}" 0 0
has_counted unix "${conversations[unix]}" 0 0
has_counted stranger 0 0 '[1-9]*'
has_counted limited $((conversations[limited] + 2)) 0 0 1
has_counted checked_v1 '[1-9]*' 0 0
has_counted checked_v2 '[1-9]*' 0 0
say "$(haproxy -v | sed -n '1s/^\(HAProxy version [^ ]*\).*/\1/p'): each client was seen under its own address${ipv6:+, IPv6 included}"
