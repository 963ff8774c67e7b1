#!/usr/bin/env bash
# Whether programs really are built with both sanitizers; a lost compiler flag would make their tests pass in vain.
#
#   scripts/check_asan.sh PROGRAM...
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -gt 0 ]] || fail 'usage: scripts/check_asan.sh PROGRAM...'
for program in "$@"; do
  symbols=$(nm --dynamic "$program" 2>/dev/null && nm "$program")
  for expected in __asan_init __asan_report_load __ubsan_handle; do
    [[ $symbols == *"$expected"* ]] || fail "$program does not know $expected"
  done
done
say "$# programs are built with both sanitizers"
