# shellcheck shell=bash
# What the scripts of the benchmarks share. Sourced by them from the project's root, after "set -euo pipefail".

# shellcheck source=scripts/common.sh
source scripts/common.sh
unset MAKEFLAGS MFLAGS MAKELEVEL # the makes within are none of the outer one's business
export PYTHONDONTWRITEBYTECODE=1

out=${BENCH_OUT:-build/bench}
mkdir -p "$out"
out=$(cd "$out" && pwd)

build() { # programs
  make --no-print-directory -C bench OUT="$out" "${@/#/bin-}"
}
