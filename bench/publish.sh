#!/usr/bin/env bash
# Puts the drawing of the last measurement where the documentation shows it. A measurement is looked at before it is
# shown, so this is a step of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/common.sh
source bench/common.sh

[[ -f $out/results.jsonl ]] || fail "there is no $out/results.jsonl; run \"make bench\" first"
mkdir -p docs
python3 bench/runner/figure.py "$out/results.jsonl" docs/performance.svg
say 'docs/performance.svg is written.'
