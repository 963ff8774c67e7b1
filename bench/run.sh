#!/usr/bin/env bash
# Builds the servers that are asked for and measures them: bench/run.sh, with the choice in the environment
# (bench/README.md). Everything goes to build/bench, or to BENCH_OUT.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/common.sh
source bench/common.sh

[[ $(nproc) -ge 2 ]] || fail 'the server and the load need a processor each'
section 'Build'
read -ra programs <<<"$(python3 bench/runner/rounds.py --programs)"
build "${programs[@]}"

section 'Measure'
status=0
python3 bench/runner/rounds.py "$out" || status=$?

section 'Figures'
python3 bench/runner/table.py "$out"
python3 bench/runner/figure.py "$out/results.jsonl" "$out/performance.svg"
say "Lines: $out/results.jsonl; tables: $out/tables.md; drawing: $out/performance.svg"
exit "$status"
