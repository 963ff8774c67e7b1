#!/usr/bin/env bash
# Whether clients resume their sessions wherever a balancer sends them: three host processes with the same ticket-key
# files behind a real HAProxy, round robin, before and after a rotation of the keys and a restart of each process.
#
#   tests/balancer/check.sh DIRECTORY      DIRECTORY holds libtlsloop.so
#
# With TEST_HOST_DRIVEN in the environment the hosts are driven by themselves, and tlsloop starts no thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/balancer/check.sh DIRECTORY'
# Debian keeps it where only root's PATH looks.
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v haproxy >/dev/null || fail 'haproxy is missing'

hosts=(one two three)
versions=(tls1_2 tls1_3)
many=300 # reconnects of each version, in each part
few=60

work=${BALANCER_WORK:-$(mktemp -d)}
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

build() { # program, source, libraries
  # shellcheck disable=SC2086 # CC may hold flags, as it may for make
  ${CC:-cc} -std=c11 -O1 -g -Wall -Wextra -Wshadow -Werror -Iinclude -o "$work/$1" "$2" "${@:3}"
}

# The hosts' sockets stay open here, so that a host that is started again finds its own, and nobody else takes the port.
if [[ -z ${BALANCER_WORK:-} ]]; then
  library=$(cd "$1" && pwd)
  build host tests/balancer/host.c -L"$library" -ltlsloop -Wl,-rpath,"$library"
  build client tests/balancer/client.c -lssl -lcrypto
  build with_sockets tests/haproxy/with_sockets.c
  export BALANCER_WORK=$work
  exec "$work/with_sockets" FRONT=127.0.0.1 ONE=127.0.0.1 TWO=127.0.0.1 THREE=127.0.0.1 -- \
    bash tests/balancer/check.sh "$1"
fi

# --- What runs -------------------------------------------------------------------------------------------------------

logs() { tail -n 5 "$work"/*.log; } # for a failure that does not explain itself
is_gone() { ! kill -0 "$1" 2>/dev/null; }

declare -A host_pid
processes=0
start_host() { # host, directory with its ticket keys, how many those are
  local fd=${1^^}
  processes=$((processes + 1))
  log_of[$1]=$work/$processes-$1.log
  : >"${log_of[$1]}"
  "$work/host" "${!fd}" "$work/crt" "$work/key" "$2/current" "$2/previous" >>"${log_of[$1]}" 2>&1 &
  host_pid[$1]=$!
  pids+=("$!")
  host_says "$1" "listening with $3"
}
declare -A log_of
host_says() { # host, line
  eventually grep -qx "$2" "${log_of[$1]}" || fail "the host \"$1\" does not say \"$2\": $(logs)"
}

stop_host() { # host
  local status=0
  kill -TERM "${host_pid[$1]}"
  eventually is_gone "${host_pid[$1]}" || fail "the host \"$1\" did not end on SIGTERM: $(logs)"
  wait "${host_pid[$1]}" || status=$?
  [[ $status -eq 0 ]] || fail "the host \"$1\" ended with status $status: $(logs)"
  # A host that the balancer has left out would make the rest of this worthless.
  grep -q '^counted [1-9][0-9]* handshakes' "${log_of[$1]}" || fail "the host \"$1\" has served nobody: $(logs)"
}

reload_hosts() { # how many keys there are now
  local host
  for host in "${hosts[@]}"; do
    kill -HUP "${host_pid[$host]}"
    host_says "$host" "reloaded with $1"
  done
}

new_key() { # directory
  mkdir -p "$1"
  openssl rand 80 >"$1/new"
  mv "$1/new" "$1/current"
}

# --- What is asked ---------------------------------------------------------------------------------------------------

# A client of each version comes back so many times, first with the session it had at its last visit; sets "resumed".
come_back() { # times
  local version
  resumed=()
  for version in "${versions[@]}"; do
    timeout 120 "$work/client" "$version" "$FRONT_PORT" "$1" "$work/$version.session" \
      >"$work/said" 2>"$work/client.log" ||
      fail "a client was not served, $version: $(logs)"
    cat "$work/said" >>"$work/visits"
    resumed+=("$(sed -n 's/.* handshakes \([0-9]*\) resumed$/\1/p' "$work/said")")
  done
}

first_visit() { # which cannot resume
  rm -f "$work"/*.session
  come_back 1
  [[ ${resumed[*]} == '0 0' ]] || fail "a first visit was no first one: ${resumed[*]}"
}

resumes() { # what is proved, reconnects
  local i
  come_back "$2"
  for i in "${!versions[@]}"; do
    ((resumed[i] * 100 >= $2 * 99)) || fail "$1, ${versions[i]}: only ${resumed[i]} of $2 reconnects resumed"
    say "  $1, ${versions[i]}: ${resumed[i]} of $2 reconnects resumed"
  done
}

# --- The run ---------------------------------------------------------------------------------------------------------

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=localhost' \
  -keyout "$work/key" -out "$work/crt" 2>"$work/openssl.log" || fail "openssl made no certificate: $(logs)"
keys=$work/keys
new_key "$keys"
for host in "${hosts[@]}"; do start_host "$host" "$keys" 1; done
haproxy -db -f tests/balancer/haproxy.cfg >"$work/haproxy.log" 2>&1 &
haproxy_pid=$!
pids+=("$haproxy_pid")

first_visit
resumes 'three hosts, the same key' "$many"

mv "$keys/current" "$keys/previous"
new_key "$keys"
reload_hosts 2
resumes 'a new key before the old one, at once' 1
resumes 'a new key before the old one' "$many"

# What is resumed now was renewed under the new key.
rm "$keys/previous"
reload_hosts 1
resumes 'the old key is gone, at once' 1
resumes 'the old key is gone' "$many"

for host in "${hosts[@]}"; do
  stop_host "$host"
  start_host "$host" "$keys" 1
  resumes "\"$host\" is a new process" "$few"
done
resumes 'all three are new processes' "$many"

# The same question has another answer where the keys are not the same: the hosts do the resuming, and nothing else.
for host in "${hosts[@]}"; do
  stop_host "$host"
  new_key "$work/own-$host"
  start_host "$host" "$work/own-$host" 1
done
come_back "$few"
[[ ${resumed[*]} == '0 0' ]] || fail "with a key of its own for each host, ${resumed[*]} of $few reconnects resumed"
say "  a key of its own for each host: no reconnect resumed, as it must be"

kill -TERM "$haproxy_pid"
eventually is_gone "$haproxy_pid" || fail 'HAProxy did not end on SIGTERM'
for host in "${hosts[@]}"; do stop_host "$host"; done
told=$(awk '{ all += $1; resumed += $3 } END { print all, resumed, 0 }' "$work/visits")
counted=$(awk '/^counted/ { all += $2; resumed += $4; failed += $6 } END { print all, resumed, failed + 0 }' \
  "$work"/[0-9]*.log)
[[ $told == "$counted" ]] || fail "handshakes, resumed and failed: the clients saw $told, the hosts counted $counted"
say "$(haproxy -v | sed -n '1s/^\(HAProxy version [^ ]*\).*/\1/p'): the hosts have counted each handshake"
