#!/usr/bin/env bash
# Counts what tlsloop and its peers do for one operation and writes bench/counts.json, which the tests compare with.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
unset MAKEFLAGS MFLAGS MAKELEVEL
export PYTHONDONTWRITEBYTECODE=1

out=${BENCH_OUT:-build/bench}
mkdir -p "$out"
out=$(cd "$out" && pwd)
read -ra programs <<<"$(ONLY='' python3 bench/runner/rounds.py --programs)"
make --no-print-directory -C bench OUT="$out" "${programs[@]/#/bin-}"
python3 bench/runner/counts.py record "$out"
