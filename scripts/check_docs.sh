#!/usr/bin/env bash
# Holds README.md and docs to the truth: the README's first program is readme_echo.c, which is tested with the other
# examples; every program in a text compiles; HAProxy and systemd take what is meant for them; every function and constant
# of tlsloop that they speak of exists; the badges are facts of the sources; every link within the project leads somewhere.
#
#   scripts/check_docs.sh DIRECTORY      DIRECTORY holds libtlsloop.so
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/c_blocks.sh
source scripts/c_blocks.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/check_docs.sh DIRECTORY'
library=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
texts=(README.md docs/*.md)

# Each block of a language becomes a file, without its fences: TEXT.N.LANGUAGE
for text in "${texts[@]}"; do
  awk -v base="$work/${text##*/}" '
    /^```/ { file = /^```(c|haproxy|ini)$/ ? base "." ++count[$0] "." substr($0, 4) : ""; next }
    file != "" { print > file }' "$text"
done
diff c_examples/readme_echo.c "$work/README.md.1.c" >&2 ||
  fail 'the program in README.md (right) is not c_examples/readme_echo.c (left)'

# Programs of other libraries stand there to be compared. Without these there is nothing to hold them against.
for source in "$work"/*.c; do
  if grep -q '^#include <event2/' "$source" && ! echo '#include <event2/event.h>' | ${CC:-cc} -E - >/dev/null 2>&1; then
    say "left out, because libevent's headers are missing: ${source##*/}"
    rm "$source"
  fi
done
compile_blocks "$work" "$library"

# What others are told in files of their own, they understand. The unit names a program and a user that are not here.
PATH=$PATH:/usr/sbin
if haproxy -v >/dev/null 2>&1; then
  for config in "$work"/*.haproxy; do
    haproxy -c -f "$config" >"$work/log" 2>&1 || fail "HAProxy does not take ${config##*/}: $(cat "$work/log")"
  done
else
  say 'left out, because HAProxy is missing: its configuration'
fi
if systemd-analyze --version >/dev/null 2>&1; then
  mv "$work/deploying.md.1.ini" "$work/service.socket"
  sed 's|^ExecStart=.*|ExecStart=/bin/true|; s/^User=.*/User=root/' "$work/deploying.md.2.ini" >"$work/service.service"
  # It also has opinions of this machine's own units.
  complaints=$(systemd-analyze verify "$work/service.service" 2>&1 | grep -F "$work/" || true)
  [[ -z $complaints ]] || fail "systemd complains of the units: $complaints"
else
  say 'left out, because systemd-analyze is missing: the units'
fi

# "TLSLOOP_REASON_..." and "tlsloop_conn_*" stand for many names and are not names themselves. Besides the header, the
# build has names of its own, and what Prometheus is shown.
names() { grep -ohE '(tlsloop|TLSLOOP)_[A-Za-z0-9_]+[.*]*' "$@" | grep -v '_[.*]*$' | sed 's/[.*]*$//' | sort -u; }
names "${texts[@]}" >"$work/names"
[[ -s $work/names ]] || fail 'no text names a function'
names include/tlsloop.h CMakeLists.txt tests/CMakeLists.txt c_examples/prometheus.c >"$work/known"
echo TLSLOOP_LOG >>"$work/known"
sort -o "$work/known" "$work/known"
unknown=$(comm -23 "$work/names" "$work/known")
[[ -z $unknown ]] || fail "the texts name what tlsloop does not have: $(echo "$unknown" | tr '\n' ' ')"

# What the badges say is read from the sources; what only a picture on somebody's server would know has none.
fact() { sed -n "s/$1/\1/p;T;q" "$2"; } # pattern, file
badge() { # label, text
  local shown=${2//-/--}
  printf '[![%s %s](https://img.shields.io/badge/%s-%s-blue)]\n' "$1" "$2" "$1" "${shown// /_}"
}
diff --label 'the sources' --label README.md -u >&2 <(
  badge version "$(fact '^version = "\(.*\)"' Cargo.toml)"
  badge ABI "$(fact '.*-soname,\(libtlsloop[.so0-9]*\)".*' build.rs)"
  badge OpenSSL "$(fact '^find_package(OpenSSL \([0-9.]*\) REQUIRED)' CMakeLists.txt) or newer"
  badge Rust "$(fact '^rust-version = "\(.*\)"' Cargo.toml) or newer"
  badge licence "$(fact '^license = "\(.*\)"' Cargo.toml)"
) <(grep -oE '^\[!\[.*-blue\)\]' README.md) || fail 'the badges of README.md are not true'

for text in "${texts[@]}"; do
  for link in $(grep -oE '\]\([^)# ]+' "$text" | sed 's/^](//' | grep -vE '^[a-z]+:' || true); do
    [[ -e $(dirname "$text")/$link ]] || fail "$text leads to $link, which is not there"
  done
done
say "the texts say nothing that is not so: ${texts[*]}"
