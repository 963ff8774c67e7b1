#!/bin/sh
# Holds README.md to the truth: its C program is readme_echo.c, which is compiled with the other examples, and
# every function and constant of tlsloop that it speaks of is in the header.
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  printf 'check_readme: %s\n' "$*" >&2
  exit 1
}

# The first block of C, without its fences.
awk '/^```/ { inside = ($0 == "```c" && !seen++); next } inside' README.md >"$work/in_readme.c"
[ -s "$work/in_readme.c" ] || fail 'README.md has no block of C'
diff c_examples/readme_echo.c "$work/in_readme.c" >&2 ||
  fail 'the program in README.md (right) is not c_examples/readme_echo.c (left)'

# "TLSLOOP_REASON_..." and "tlsloop_conn_*" stand for many names and are not names themselves.
names() {
  grep -oE '(tlsloop|TLSLOOP)_[A-Za-z0-9_]+[.*]*' "$1" | grep -v '_[.*]*$' | sort -u
}
names README.md >"$work/names"
[ -s "$work/names" ] || fail 'README.md names no function'
names include/tlsloop.h >"$work/known"
unknown=$(comm -23 "$work/names" "$work/known")
[ -z "$unknown" ] || fail "README.md names what include/tlsloop.h does not have: $(echo "$unknown" | tr '\n' ' ')"
