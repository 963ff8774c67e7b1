#!/usr/bin/env bash
# Puts the drawing of the last measurement where the documentation shows it. A measurement is looked at before it is
# shown, so this is a step of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
export PYTHONDONTWRITEBYTECODE=1

results=${BENCH_OUT:-build/bench}/results.jsonl
[[ -f $results ]] || fail "there is no $results; run \"make bench\" first"
mkdir -p docs
python3 bench/runner/figure.py "$results" docs/performance.svg
say 'docs/performance.svg is written.'
