#!/usr/bin/env bash
# What public scanners find at the example server: testssl.sh and sslyze, once with an ECDSA and once with an RSA
# certificate, each with a chain to an authority made for this run. judge.py says what is ours.
#
#   tests/scan/check.sh DIRECTORY      DIRECTORY holds echo_server and echo_client
#
# testssl.sh comes from the distribution (scripts/setup.sh scan), sslyze from PyPI into build/scan. In continuous
# integration both must be had; at the desk one of them is enough, and what is missing is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: tests/scan/check.sh DIRECTORY'
programs=$1

sslyze_version=6.3.1
sslyze=build/scan/bin/sslyze
kinds=(ecdsa rsa)

# Left out are the simulated clients, the list of single suites and everything about HTTP: they only inform, and take
# as long again. --nodns: localhost is nobody's business out there.
testssl_checks=(--protocols --standard --pfs --server-preference --server-defaults --vulnerable --grease)
testssl_options=(--quiet --color 0 --warnings off --nodns none --ip 127.0.0.1)

# --- The scanners ----------------------------------------------------------------------------------------------------

find_testssl() { command -v testssl || command -v testssl.sh; }

is_sslyze_there() { [[ $(build/scan/bin/pip list --format=freeze 2>/dev/null) == *"sslyze==$sslyze_version"* ]]; }

install_sslyze() {
  ! is_sslyze_there || return 0
  say "scan: installing sslyze $sslyze_version from PyPI into build/scan"
  rm -rf build/scan
  python3 -m venv build/scan && build/scan/bin/pip install --quiet --disable-pip-version-check "sslyze==$sslyze_version"
}

without() { # scanner, reason
  [[ ${CI:-} != true ]] || fail "$1 is not to be had, and here it has to be: $2"
  say "scan: NOT SCANNED with $1: $2"
}

scanners=()
if testssl=$(find_testssl); then
  scanners+=(testssl)
else
  without testssl.sh 'the distribution does not bring it (see above)'
fi
if install_sslyze; then
  scanners+=(sslyze)
else
  without sslyze 'PyPI cannot be reached, or has no sslyze for this Python (see above)'
fi
[[ ${#scanners[@]} -gt 0 ]] || fail 'nothing was scanned: neither testssl.sh nor sslyze is to be had'

# --- One server and its scans; each kind runs in a process of its own, at the same time -------------------------------

generate_key() { # kind, file
  case $1 in
    ecdsa) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$2" ;;
    rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$2" ;;
  esac
}

issue() { # name, issuer, days, extensions
  openssl req -new -key "$work/$1.key" -subj "/CN=$1" |
    openssl x509 -req -CA "$work/$2.crt" -CAkey "$work/$2.key" -days "$3" -sha256 -out "$work/$1.crt" \
      -extfile <(printf '%s\n' "${@:4}" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid)
}

# Root, intermediate and leaf, as a public authority would have them; sets no more than files.
make_chain() { # kind
  local name
  for name in root intermediate localhost; do generate_key "$1" "$work/$name.key"; done
  openssl req -x509 -new -key "$work/root.key" -sha256 -days 3650 -subj '/CN=root' -out "$work/root.crt" \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
  issue intermediate root 1000 basicConstraints=critical,CA:true,pathlen:0 keyUsage=critical,keyCertSign,cRLSign
  issue localhost intermediate 90 basicConstraints=critical,CA:false keyUsage=critical,digitalSignature \
    extendedKeyUsage=serverAuth subjectAltName=DNS:localhost,IP:127.0.0.1
  cat "$work/localhost.crt" "$work/intermediate.crt" >"$work/server.crt"
}

# The echo server never ends a connection by itself, and some of the scanner's clients wait for that.
bounded_openssl() {
  printf '#!/bin/sh\nexec timeout 20 %s "$@"\n' "$(command -v openssl)" >"$work/openssl"
  chmod +x "$work/openssl"
}

scan_with_testssl() { # name, port, checks
  local status=0
  # Without an engine for GOST, which need not be installed here: its absence would be a warning.
  NO_ENGINE=true timeout 400 "$testssl" "${testssl_options[@]}" --openssl "$work/openssl" --add-ca "$work/root.crt" \
    --jsonfile "$work/testssl.json" "${@:3}" "localhost:$2" </dev/null >"$work/testssl.log" 2>&1 || status=$?
  # From 242 on it has failed itself; below, it counts what it did not like.
  ((status < 242 && status != 124)) || fail "testssl.sh failed with status $status: $(tail -n 20 "$work/testssl.log")"
  python3 tests/scan/judge.py testssl "$1" "$work/testssl.json"
}

# Without --mozilla_config it would also judge, against the "intermediate" of Mozilla's recommendations, and end with 1.
scan_with_sslyze() { # name, port
  local status=0 compliance=0
  timeout 200 "$sslyze" --certinfo --certinfo_ca_file="$work/root.crt" --resum --early_data \
    --mozilla_config=intermediate --json_out="$work/sslyze.json" "localhost:$2{127.0.0.1}" \
    </dev/null >"$work/sslyze.log" 2>&1 || compliance=$?
  python3 tests/scan/judge.py sslyze "$1" "$work/sslyze.json" || status=1
  # What it does not comply with stands in lines that begin with a star, and only behind this heading.
  [[ $compliance -eq 0 ]] || sed -n '/COMPLIANCE/,$s/^ *\*/  FOUND Mozilla:/p' "$work/sslyze.log"
  return "$((status | compliance))"
}

still_serves() { # how many connections the scanners have made is not known, but each was begun and ended once
  client 'still here' --port "$port" --ca "$work/root.crt" || fail "the server does not serve: $(cat "$work/complaint")"
  expect_answer 'still here'
  eventually all_have_left || fail "a connection of a scanner does not end: $(tail -n 5 "$work/server.log")"
  stop_server TERM
  local lines
  lines="$(count ' connected: ') connected, $(count ' ended: ') ended, "
  lines+="$(count ' failed to connect: ') failed to connect,"
  [[ $(tail -n 1 "$work/server.log") == "$lines "* ]] ||
    fail "it has called back for $lines but counted $(tail -n 1 "$work/server.log")"
  say "the server with the $1 certificate still serves; $lines as its callbacks say"
}
count() { grep -c "$1" "$work/server.log" || true; }
all_have_left() { [[ $(count ' connected: ') -eq $(count ' ended: ') ]]; }

scan() { # kind
  local scanner status=0
  # shellcheck source=scripts/echo_pair.sh
  source scripts/echo_pair.sh
  make_chain "$1" 2>"$work/openssl.log" || fail "openssl made no certificates: $(cat "$work/openssl.log")"
  bounded_openssl
  start_server --cert "$work/server.crt" --key "$work/localhost.key"
  for scanner in "${scanners[@]}"; do
    "scan_with_$scanner" "$1" "$port" "${testssl_checks[@]}" || status=1
  done
  still_serves "$1"
  return "$status"
}

# The proof that a bad server does not pass: OpenSSL's own, with a version and suites of the last century.
scan_a_bad_one() {
  # shellcheck source=scripts/echo_pair.sh
  source scripts/echo_pair.sh
  make_chain rsa 2>"$work/openssl.log" || fail "openssl made no certificates: $(cat "$work/openssl.log")"
  bounded_openssl
  openssl s_server -accept 127.0.0.1:0 -cert "$work/server.crt" -key "$work/localhost.key" -min_protocol TLSv1 \
    -cipher 'AES128-SHA:AES256-SHA:@SECLEVEL=0' -www >"$work/server.log" 2>&1 </dev/null &
  server_pid=$!
  eventually bad_port >/dev/null || fail "openssl s_server did not start: $(cat "$work/server.log")"
  expect_found testssl '^  FOUND TLS1: ' --protocols
  expect_found sslyze '^  FOUND tls_1_0_cipher_suites: '
  say 'a server with TLS 1.0 and RSA key exchange does not pass'
}
bad_port() { sed -n 's/^ACCEPT .*:\([0-9][0-9]*\)$/\1/p' "$work/server.log" | grep .; }
expect_found() { # scanner, pattern, options
  [[ " ${scanners[*]} " == *" $1 "* ]] || return 0
  ! "scan_with_$1" bad "$(bad_port)" "${@:3}" >"$work/verdict" || fail "$1 passes a bad server: $(cat "$work/verdict")"
  grep -q "$2" "$work/verdict" || fail "$1 does not find what is bad: $(cat "$work/verdict")"
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
declare -A job
(scan_a_bad_one) >"$logs/bad" 2>&1 &
job[bad]=$!
for kind in "${kinds[@]}"; do
  (scan "$kind") >"$logs/$kind" 2>&1 &
  job[$kind]=$!
done
failed=()
for name in "${kinds[@]}" bad; do
  wait "${job[$name]}" || failed+=("$name")
  cat "$logs/$name"
done
[[ ${#failed[@]} -eq 0 ]] || fail "findings, or a scan that failed: ${failed[*]}"
say "scan: nothing above \"low\" that is ours (${scanners[*]})"
