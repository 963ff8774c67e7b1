#!/usr/bin/env bash
# Makes build/package/tlsloop-VERSION.tar.xz: the sources with every crate they need, so that the library is built, and
# tested, without a network.
#
#   packaging/source.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

tree=$out/work/source/$name
rm -rf "$out/work/source"
mkdir -p "$tree"
git ls-files -z -- ':!.ci' | xargs -0 cp --parents -t "$tree"

cd "$tree"
cargo vendor --locked --versioned-dirs vendor >"$out/work/vendor.toml" 2>"$out/work/vendor.log" ||
  fail "cargo vendor: $(tail -n 5 "$out/work/vendor.log")"
printf '\n# Every crate is in this tree.\n' >>.cargo/config.toml
cat "$out/work/vendor.toml" >>.cargo/config.toml

# Cargo wants to see every crate of the lock file, also those of other systems: they stay, with empty files.
used=$(cargo tree --offline --workspace --all-features --edges all --prefix none --format '{p}' \
  --target x86_64-unknown-linux-gnu --target aarch64-unknown-linux-gnu | awk '{ print $1 "-" substr($2, 2) }' | sort -u)
grep -q '^libc-' <<<"$used" || fail 'cargo tree names no crates'
for crate in vendor/*; do
  ! grep -qxF "$(basename "$crate")" <<<"$used" || continue
  find "$crate" -type f ! -name Cargo.toml ! -name .cargo-checksum.json ! -iname '*licen[cs]e*' -exec truncate -s 0 {} +
  sed -i 's/"files":{[^}]*}/"files":{}/' "$crate/.cargo-checksum.json"
done

reproducible_tar "$out/$name.tar.xz" "$(dirname "$tree")" "$name"
say "$out/$name.tar.xz: $(du -h "$out/$name.tar.xz" | cut -f1)"
