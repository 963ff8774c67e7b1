#!/usr/bin/env bash
# Whether the clients that everybody has get what they ask for: names, versions, ALPN, certificates of their own,
# resumption; and whether they and the host learn why one is refused.
#
#   tests/clients/check.sh DIRECTORY openssl|curl|gnutls|python|go      DIRECTORY holds libtlsloop.so
#
# Ends with 77 if that client is missing. With TEST_HOST_DRIVEN in the environment the hosts are driven by themselves.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

usage='usage: tests/clients/check.sh DIRECTORY openssl|curl|gnutls|python|go'
[[ $# -eq 2 ]] || fail "$usage"
library=$(cd "$1" && pwd)
client=$2

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
# shellcheck source=tests/clients/authority.sh
source tests/clients/authority.sh

# --- The hosts --------------------------------------------------------------------------------------------------------

is_gone() { ! kill -0 "$1" 2>/dev/null; }

declare -A port host_pid
start_host() { # name, settings
  : >"$work/$1.log"
  "$work/host" "${@:2}" >>"$work/$1.log" 2>&1 &
  host_pid[$1]=$!
  pids+=("$!")
  eventually host_has_spoken "$1" || true
  port[$1]=$(port_in "$work/$1.log")
  [[ -n ${port[$1]} ]] || fail "the host \"$1\" did not start: $(cat "$work/$1.log")"
}
port_in() { sed -n 's/^listening on \([0-9][0-9]*\)$/\1/p' "$1"; }
host_has_spoken() { [[ -n $(port_in "$work/$1.log") ]] || is_gone "${host_pid[$1]}"; }

stop_host() { # name
  local status=0
  kill -TERM "${host_pid[$1]}"
  eventually is_gone "${host_pid[$1]}" || fail "the host \"$1\" did not end on SIGTERM"
  wait "${host_pid[$1]}" || status=$?
  [[ $status -eq 0 ]] || fail "the host \"$1\" ended with status $status: $(tail -n 5 "$work/$1.log")"
}

host_says() { # name, pattern
  eventually grep -q -- "$2" "$work/$1.log" || fail "the host \"$1\" does not say \"$2\": $(cat "$work/$1.log")"
}

# --- The clients ------------------------------------------------------------------------------------------------------
#
# Each talk_... makes one conversation with "port" as "name", on behalf of the wishes: ca (whom it believes), version,
# alpn, cert (its own), times (2: the second resumes the first). What it prints goes to $work/answer.

# An input that never ends: some clients leave at its end, before they have heard the answer.
mkfifo "$work/open"
exec 9<>"$work/open"

one_s_client() { # further options
  local options=(-connect "127.0.0.1:$at" -servername "$name" -CAfile "$work/$ca.crt" -verify_return_error
    -verify_hostname "$name" -quiet)
  [[ -z $version ]] || options+=("-tls${version/./_}")
  [[ -z $alpn ]] || options+=(-alpn "$alpn")
  [[ -z $cert ]] || options+=(-cert "$work/$cert.crt" -key "$work/$cert.key")
  printf 'hello\n' | timeout 60 openssl s_client "${options[@]}" "$@"
}
talk_openssl() {
  rm -f "$work/session"
  if [[ $times -eq 1 ]]; then
    one_s_client
  else
    one_s_client -sess_out "$work/session" && one_s_client -sess_in "$work/session"
  fi
}

talk_curl() {
  local options=(--silent --show-error --cacert "$work/$ca.crt" --resolve "$name:$at:127.0.0.1" --max-time 60)
  local urls=("https://$name:$at/")
  [[ -z $version ]] || options+=("--tlsv$version" --tls-max "$version")
  if [[ -z $alpn ]]; then options+=(--no-alpn); else options+=(--http1.1); fi
  [[ -z $cert ]] || options+=(--cert "$work/$cert.crt" --key "$work/$cert.key")
  [[ $times -eq 1 ]] || urls+=("https://$name:$at/")
  env -u CURL_CA_BUNDLE curl "${options[@]}" "${urls[@]}"
}

talk_gnutls() {
  local options=(--port "$at" --x509cafile "$work/$ca.crt" --sni-hostname "$name" --verify-hostname "$name")
  [[ -z $version ]] || options+=(--priority "NORMAL:-VERS-ALL:+VERS-TLS$version")
  [[ -z $alpn ]] || options+=(--alpn "$alpn")
  [[ -z $cert ]] || options+=(--x509certfile "$work/$cert.crt" --x509keyfile "$work/$cert.key")
  [[ $times -eq 1 ]] || options+=(--resume --waitresumption)
  printf 'hello\n' >&9
  timeout 60 gnutls-cli "${options[@]}" "${more[@]}" 127.0.0.1 <&9
}

wishes() {
  [[ -z $version ]] || printf '%s\n' "version=$version"
  [[ -z $alpn ]] || printf '%s\n' "alpn=$alpn"
  [[ -z $cert ]] || printf '%s\n' "cert=$work/$cert.crt" "key=$work/$cert.key"
  printf '%s\n' "times=$times"
}
talk_python() { wishes | xargs timeout 60 python3 tests/clients/client.py "$at" "$name" "$work/$ca.crt"; }
talk_go() { wishes | xargs timeout 60 "$work/client" "$at" "$name" "$work/$ca.crt"; }

# One conversation; its status is the client's.
talk() { # host, name, wishes as name=value
  local at=${port[$1]} name=$2 ca=root version='' alpn='' cert='' times=1 wish
  for wish in "${@:3}"; do declare "$wish"; done
  "talk_$client" >"$work/answer" 2>"$work/complaint"
}

# --- What is asked ----------------------------------------------------------------------------------------------------

# The last answer, without the client's own words around it.
sees() { # what the host must have seen, arguments of talk
  talk "${@:2}" || fail "$client failed with ${*:2}: $(tail -n 5 "$work/answer" "$work/complaint" "$work/$2.log")"
  grep '^seen ' "$work/answer" | tail -n 1 >"$work/seen"
  grep -qx -- "seen $1" "$work/seen" || fail "$client with ${*:2}: not \"$1\" but \"$(cat "$work/seen")\""
}

refused() { # arguments of talk
  if talk "$@"; then fail "$client did not fail with $*: $(cat "$work/answer")"; fi
  ! grep -q '^seen ' "$work/answer" || fail "$client failed with $*, but not before: $(cat "$work/answer")"
}

everybody() { # version
  local v=TLSv$1
  sees "$v sni=localhost alpn= resumed=0 client=nobody" open localhost version="$1"
  sees "$v sni=other.example alpn= resumed=0 client=nobody" open other.example version="$1"
  sees "$v sni=localhost alpn=http/1.1 resumed=0 client=nobody" open localhost version="$1" alpn=http/1.1
  sees "$v sni=localhost alpn= resumed=0 client=CN=alice" strict localhost version="$1" cert=alice
  # curl wants no tickets in TLS 1.2, and there is nothing else to resume by: the server keeps no sessions.
  if [[ $client != curl || $1 != 1.2 ]]; then
    sees "$v sni=localhost alpn= resumed=1 client=nobody" open localhost version="$1" times=2
    sees "$v sni=localhost alpn= resumed=1 client=CN=alice" strict localhost version="$1" cert=alice times=2
  fi
  refused open localhost version="$1" ca=stranger
  refused open wrong.example version="$1"
}

strangers() { # version
  refused strict localhost version="$1"
  host_says strict 'did not return a certificate'
  refused strict localhost version="$1" cert=mallory
  # Go does not show a certificate of an issuer that the host has not named.
  [[ $client = go ]] || host_says strict 'certificate is not trusted'
  refused picky localhost version="$1" alpn=http/1.1
  host_says picky 'no application protocol'
}

is_there() {
  case $client in
    openssl) command -v openssl ;;
    curl) command -v curl ;;
    gnutls) command -v gnutls-cli ;;
    python) command -v python3 && python3 -c 'import ssl' ;;
    go) command -v go ;;
    *) fail "$usage" ;;
  esac >/dev/null
}
if ! is_there; then
  say "$client is missing: left out"
  exit 77
fi

more=()
make_authority
make_response leaf middle
openssl rand 80 >"$work/tickets"
# shellcheck disable=SC2086 # CC may hold flags, as it may for make
${CC:-cc} -std=c11 -O1 -g -Wall -Wextra -Wshadow -Werror -Iinclude -o "$work/host" tests/clients/host.c \
  -L"$library" -ltlsloop -Wl,-rpath,"$library"
if [[ $client = go ]]; then
  GOCACHE=$work/gocache GO111MODULE=off go build -o "$work/client" tests/clients/client.go
fi

start_host open cert "$work/leaf.chain" "$work/leaf.key" ocsp "$work/leaf.ocsp" \
  cert "$work/other.chain" "$work/other.key" alpn imap,http/1.1 tickets "$work/tickets"
start_host strict cert "$work/leaf.chain" "$work/leaf.key" trust "$work/root.crt" verify 3 tickets "$work/tickets"
start_host picky cert "$work/leaf.chain" "$work/leaf.key" need-alpn imap
for version in 1.2 1.3; do
  everybody "$version"
  strangers "$version"
done

# What only some of them can show.
if [[ $client = openssl ]]; then
  port_open=${port[open]}
  to_open=(-connect "127.0.0.1:$port_open" -CAfile "$work/root.crt" -verify_return_error)
  timeout 60 openssl s_client "${to_open[@]}" -status </dev/null >"$work/answer" 2>&1 || true
  grep -q 'OCSP Response Status: successful' "$work/answer" || fail "no OCSP response: $(cat "$work/answer")"
  grep -q 'Verify return code: 0 (ok)' "$work/answer" || fail "not verified: $(cat "$work/answer")"
  printf 'R\n' | timeout 60 openssl s_client "${to_open[@]}" -tls1_2 >"$work/answer" 2>&1 || true
  grep -q 'no renegotiation' "$work/answer" || fail "renegotiation was not refused: $(cat "$work/answer")"
  grep -q 'Compression: NONE' "$work/answer" || fail "not without compression: $(cat "$work/answer")"
elif [[ $client = gnutls ]]; then
  more=(--save-ocsp "$work/saved")
  sees 'TLSv1.3 sni=localhost alpn= resumed=0 client=nobody' open localhost
  cmp "$work/saved" "$work/leaf.ocsp" || fail 'another OCSP response than that of the file'
  more=()
fi

for name in open strict picky; do stop_host "$name"; done
say "$client: as described"
