#!/usr/bin/env bash
# Writes include/tlsloop.h anew from the Rust source, or asks whether it is what the source says:
#
#   scripts/header.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

header=include/tlsloop.h

case ${1:-} in
  '' | --check) ;;
  *) fail 'usage: scripts/header.sh [--check]' ;;
esac

# The build script makes the header in a directory of cargo's choice, which only cargo's messages tell; ours is
# the one package among them that is a path and not from a registry.
made() {
  cargo check --quiet --package tlsloop --lib "${locked[@]}" --message-format=json-render-diagnostics |
    sed -n '/"reason":"build-script-executed","package_id":"path+/s/.*"out_dir":"\([^"]*\)".*/\1/p'
}

directory=$(made)
[[ -f $directory/tlsloop.h ]] || fail "cargo has not said where it made the header: \"$directory\""

if [[ ${1:-} == --check ]]; then
  diff -u "$header" "$directory/tlsloop.h" ||
    fail "$header is not what src/ffi says; 'make header' writes it anew, and the change belongs into the commit"
  say "$header is what src/ffi says"
else
  mkdir -p "$(dirname "$header")"
  cp "$directory/tlsloop.h" "$header"
  say "$header is written"
fi
