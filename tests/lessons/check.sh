#!/usr/bin/env bash
# Holds docs/testing.md to the tests: every lesson from L01 to L40 has its row, every test that is named exists, every
# test that carries the number of a lesson stands in that lesson's row, and every program of tests/c is in the book.
#
#   tests/lessons/check.sh [TEXT]
#
# Tests are named `program/case` for tests/c/test_PROGRAM.c, `cargo/case` for one in Rust, `loom/case` for a model, and
# `check/name` for one of CTest's checks.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

text=${1:-docs/testing.md}
status=0
complain() {
  say "$*"
  status=1
}

exists() { # program, case
  case $1 in
    cargo) grep -rqE "fn $2\(" src tests --include='*.rs' ;;
    loom) grep -qE "pub fn $2\(" tests/loom/src/*.rs ;;
    check) grep -q "tlsloop_add_check($2 " tests/CMakeLists.txt ;;
    *) [[ -f tests/c/test_$1.c ]] && grep -qE "CASE\($2\)" "tests/c/test_$1.c" ;;
  esac
}

# shellcheck disable=SC2016 # the quotes are those of the text
named=$(grep -oE '`[a-z0-9_]+/[a-z0-9_-]+`' "$text" | tr -d '`' | grep -v '^tests/' | sort -u)
[[ -n $named ]] || fail "$text names no test"
while IFS=/ read -r program case; do
  exists "$program" "$case" || complain "$text names $program/$case, which is not there"
done <<<"$named"

for number in $(seq -w 1 40); do
  [[ $(grep -c "^| L$number |" "$text") -eq 1 ]] || complain "$text does not have one row for L$number"
done

# Each test that is called after a lesson, wherever it stands, is in the row of that lesson.
numbered() {
  grep -oE 'CASE\(l[0-9]{2}_[a-z0-9_]+\)' tests/c/test_*.c | sed -E 's|tests/c/test_(.*)\.c:CASE\((.*)\)|\1/\2|'
  grep -rohE '^ *(pub )?fn l[0-9]{2}_[a-z0-9_]+\(' src tests --include='*.rs' | sed -E 's|.*fn (.*)\(|cargo/\1|'
}
count=0
while IFS=/ read -r program case; do
  count=$((count + 1))
  number=${case:1:2}
  grep "^| L$number |" "$text" | grep -qF "\`$program/$case\`" || complain "the row of L$number lacks $program/$case"
done < <(numbered)

for source in tests/c/test_*.c; do
  program=${source#tests/c/test_}
  grep -qE "\`${program%.c}[/\`]" "$text" || complain "$text says nothing of ${source}"
done

programs=$(printf '%s\n' tests/c/test_*.c | wc -l)
cases=$(grep -ohE 'CASE\([a-z0-9_]+\)' tests/c/test_*.c | wc -l)
say "$programs programs in C with $cases cases; $count tests carry the number of a lesson"
exit "$status"
