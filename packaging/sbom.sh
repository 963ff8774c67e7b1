#!/usr/bin/env bash
# Makes build/package/tlsloop-VERSION.cdx.json: what the library is made of, as CycloneDX, with the licence of each part.
#
#   packaging/sbom.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

tool_version=0.5.9
tree=$out/work/source/$name
[[ -d $tree ]] || fail 'first packaging/source.sh'

PATH=$PWD/build/tools/bin:$PATH
if ! command -v cargo-cyclonedx >/dev/null; then
  say "installing cargo-cyclonedx $tool_version into build/tools"
  # Once is all that it runs, so nothing is gained by optimising it.
  cargo install --quiet --locked --debug --root build/tools "cargo-cyclonedx@$tool_version"
fi

# Beside each Cargo.toml it writes a file, so it works in the copy; what only builds or tests the library is no part of it.
(cd "$tree" && cargo cyclonedx --format json --spec-version 1.5 --target "$(uname -m)-unknown-linux-gnu" --no-build-deps \
  --license-strict --override-filename tlsloop.cdx) 2>"$out/work/sbom.log" || fail "cargo-cyclonedx: $(cat "$out/work/sbom.log")"
# Where it was made is nobody's business.
sed "s|path+file://[^\"#]*|path+file:///$name|; s|file://\.|file:///$name|" "$tree/tlsloop.cdx.json" >"$out/$name.cdx.json"
find "$tree" -name tlsloop.cdx.json -delete

# The same list that tests/crates.txt allows, or it is a list of something else.
parts=$(grep -o '"purl": "pkg:cargo/[a-z0-9_-]*' "$out/$name.cdx.json" | sed 's|.*/||' | sort -u)
[[ $parts == "$(built_in | sed 's/-[0-9].*//' | sort -u)" ]] || fail "it lists other crates than the library has: $(xargs <<<"$parts")"
# deny.toml says it again for a tool that others know, where that is at hand; scripts/check_crates.sh asks it with every test.
if command -v cargo-deny >/dev/null; then
  cargo deny check bans licenses sources 2>"$out/work/deny.log" || fail "cargo-deny: $(cat "$out/work/deny.log")"
  say "cargo-deny: $(tail -n 1 "$out/work/deny.log")"
else
  say 'left out, because it is missing: cargo-deny'
fi
say "$out/$name.cdx.json: $(wc -l <<<"$parts") parts"
