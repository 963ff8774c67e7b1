#!/usr/bin/env bash
# Counts what tlsloop and its peers (or those in ONLY) do for one operation and writes bench/counts.json, which the
# tests compare with.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=bench/common.sh
source bench/common.sh

read -ra programs <<<"$(BUILDS='' python3 bench/runner/rounds.py --programs)"
build "${programs[@]}"
python3 bench/runner/counts.py record "$out"
