#!/usr/bin/env bash
# The benchmarks as tests: bench/check.sh run|counts LIBRARY-DIRECTORY
#
#   run     a few tenths of a second of every workload: nothing fails, and there are tables and a drawing
#   counts  no count of tlsloop is worse than bench/counts.json says. Nothing in it is timed
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -eq 2 ]] || {
  echo 'usage: bench/check.sh run|counts LIBRARY-DIRECTORY' >&2
  exit 2
}
library_dir=$(cd "$2" && pwd)
BENCH_OUT=$library_dir/../bench-$1 # each its own, because they may run at the same time
# shellcheck source=bench/common.sh
source bench/common.sh

ln -sfn "$library_dir" "$out/lib-system"
build load
make --no-print-directory -C bench OUT="$out" "$out/bin/tlsloop-system"

check_run() {
  build limits epoll_level epoll_plain
  SHORT=1 ROUNDS=1 ONLY=tlsloop,epoll,plain WORK='' BUILDS=system python3 bench/runner/rounds.py "$out"
  python3 bench/runner/table.py "$out"
  python3 bench/runner/figure.py "$out/results.jsonl" "$out/performance.svg"
  python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$out/performance.svg"
  # One row for each server in the overview, one in the table of each workload that all three can do.
  [[ $(grep -c '^| tlsloop |' "$out/tables.md") -gt 9 ]] || fail 'the tables lack rows of tlsloop'
  [[ $(grep -c '^| plain TCP, no TLS |' "$out/tables.md") -gt 6 ]] || fail 'the tables lack rows of the plain server'
}

case $1 in
  run) check_run ;;
  counts) python3 bench/runner/counts.py check "$out" ;;
  *) fail "not known: $1" ;;
esac
