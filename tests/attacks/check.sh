#!/usr/bin/env bash
# What attackers can hold, and what stops them: tests/attacks/check.sh [--measure] DIRECTORY
#
# DIRECTORY holds libtlsloop.so. With --measure the attacks last, and a table of what they cost is printed (make
# attacks); otherwise they are small, nothing is timed, and what counts is memory, that each limit acts, and that an
# established client is served. With TEST_HOST_DRIVEN in the environment the host has the loop in its own hands.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

mode=(--check)
[[ ${1:-} != --measure ]] || { mode=() && shift; }
[[ $# -eq 1 ]] || fail 'usage: tests/attacks/check.sh [--measure] DIRECTORY'
library=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # program, sources
  # shellcheck disable=SC2086 # CC may hold flags, as it may for make
  ${CC:-cc} -std=c11 -O2 -g -Wall -Wextra -Wshadow -Werror -Iinclude -Itests/c -o "$work/$1" "${@:2}" \
    -L"$library" -Wl,-rpath,"$library" -ltlsloop -lssl -lcrypto -lpthread
}
peer=(tests/c/{check,peer_tcp,peer_tls}.c)
build host tests/attacks/host.c
build witness tests/attacks/witness.c "${peer[@]}"
build attack tests/attacks/attack.c tests/c/record12.c "${peer[@]}"

PYTHONDONTWRITEBYTECODE=1 python3 tests/attacks/run.py "$work" "${mode[@]}"
