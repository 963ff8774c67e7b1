#!/usr/bin/env bash
# The model test at length: as many sequences with worker threads as host-driven, in several processes.
#
#   tests/model/run.sh          SEQUENCES=100000; SEED=n begins there, else the clock decides; JOBS=n processes
#
# A failure is told with the seed and the command that runs the sequence again.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

sequences=${SEQUENCES:-100000}
seed=${SEED:-$(date +%s)000000}
# Most of the time a sequence waits for another thread, so the processors carry more of them than they are.
jobs=${JOBS:-$((2 * $(nproc)))}
((jobs % 2 == 0)) || jobs=$((jobs + 1))
each=$(((sequences + jobs - 1) / jobs))

build=build/cmake
cmake -S . -B $build >/dev/null
cmake --build $build --parallel 2 --target model.shared
program=$build/tests/programs/model.shared
logs=$build/logs/model
mkdir -p "$logs"

section "Model: $((each * jobs)) sequences, seeds from $seed on, $jobs processes"
pids=()
for ((job = 0; job < jobs; job++)); do
  loop=()
  ((job % 2 == 0)) || loop=(--host-driven)
  "$program" "${loop[@]}" --count "$each" "$((seed + job * each))" >"$logs/$job.log" 2>&1 &
  pids+=($!)
done
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

failed=0
for job in "${!pids[@]}"; do
  wait "${pids[$job]}" || failed=$((failed + 1))
  tail -n 400 "$logs/$job.log"
done
trap - EXIT
if ((failed > 0)); then
  say "FAIL: in $failed of $jobs processes a promise was broken; see above"
  exit 1
fi
say "PASS: $((each * jobs)) sequences, no promise broken"
