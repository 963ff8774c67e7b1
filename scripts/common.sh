# shellcheck shell=bash
# What the scripts share. Sourced, never run; the caller has set -euo pipefail and stands in the project's root.

say() { printf '%s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

section() { printf '\n=== %s ===\n' "$*"; }

# In continuous integration the committed Cargo.lock is the truth; at the desk cargo may amend it.
locked=()
# shellcheck disable=SC2034 # used by those who source this
[[ ${CI:-} != true ]] || locked=(--locked)

# Where cargo puts what it builds, whichever way that was configured.
cargo_target_dir() {
  cargo metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Waits for a condition (a command) to become true: the tests wait for facts, never for a fixed time.
eventually() {
  local deadline=$((SECONDS + 20))
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}
