#!/usr/bin/env bash
# Builds the library with one set of features for the benchmarks: bench/build_tlsloop.sh system|FEATURES DIRECTORY
#
# DIRECTORY/lib-FEATURES gets it. The ordinary library shares cargo's directory with everything else.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 2 ]] || fail 'usage: bench/build_tlsloop.sh system|FEATURES DIRECTORY'
features=$1
directory=$2

if [[ $features == system ]]; then
  bash scripts/build_lib.sh "$directory/lib-system"
else
  CARGO_TARGET_DIR="$(cargo_target_dir)/with-${features//,/-}"
  export CARGO_TARGET_DIR
  bash scripts/build_lib.sh --features "$features" "$directory/lib-$features"
fi
