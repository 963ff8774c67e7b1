#!/usr/bin/env bash
# Prints whose work is a part of the library, with the texts of the licences. Which are allowed: scripts/check_crates.sh.
#
#   packaging/licences.sh [--features LIST]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

features=()
[[ ${1:-} != --features || -z ${2:-} ]] || features=(--features "$2")

# The archive of sources holds the crates, and with them the texts.
crates=$out/work/source/$name/vendor
[[ -d $crates ]] || fail 'first packaging/source.sh'

describe() { # crate and version, licence
  local text
  printf '\n%s\n%s: %s\n\n' "$(printf '=%.0s' {1..100})" "$1" "$2"
  for text in "$crates/$1"/{LICENSE-MIT,LICENSE,LICENSE.md,LICENSE.txt,LICENSE-APACHE}; do
    [[ ! -f $text ]] || { cat "$text" && return; }
  done
  fail "$1 brings no text of its licence"
}

list=$(cargo tree --package tlsloop "${locked[@]}" --edges normal "${features[@]}" --prefix none --format '{p}|{l}' | sort -u)
grep -q '^libc ' <<<"$list" || fail 'cargo tree names no crates'

say "tlsloop $version contains these works of others, besides parts of the Rust standard library"
say '(Copyright the Rust Project contributors; MIT OR Apache-2.0).'
while IFS='|' read -r package licence; do
  read -r crate number _ <<<"$package"
  [[ $crate != tlsloop ]] || continue
  describe "$crate-${number#v}" "$licence"
done <<<"$list"

if [[ ${features[*]} == *vendored* ]]; then
  source=$(echo "$crates"/openssl-src-*)
  printf '\n%s\nOpenSSL %s: Apache-2.0\n\n' "$(printf '=%.0s' {1..100})" "${source##*+}"
  cat "$source/openssl/LICENSE.txt"
fi
