#!/usr/bin/env bash
# Makes build/package/tlsloop-VERSION.cdx.json: what the library is made of, as CycloneDX, with the licence of each part; and
# tlsloop-VERSION-own-openssl.cdx.json for the archive that holds an OpenSSL besides.
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
# cargo knows nothing of what a build script compiles, and whoever looks for a hole in OpenSSL asks by its name.
openssl=$(echo "$tree"/vendor/openssl-src-*)
python3 - "${openssl##*+}" "$out/$name.cdx.json" "$out/$name-own-openssl.cdx.json" <<'END'
import json
import sys

release, without, inside = sys.argv[1:]
with open(without) as file:
    parts = json.load(file)
ref = "pkg:generic/openssl@" + release
parts["components"].append({
    "type": "library", "bom-ref": ref, "name": "openssl", "version": release, "scope": "required", "purl": ref,
    "cpe": f"cpe:2.3:a:openssl:openssl:{release}:*:*:*:*:*:*:*", "licenses": [{"license": {"id": "Apache-2.0"}}],
})
[sys_crate] = [d for d in parts["dependencies"] if "#openssl-sys@" in d["ref"]]
sys_crate["dependsOn"].append(ref)
parts["dependencies"].append({"ref": ref})
with open(inside, "w") as file:
    json.dump(parts, file, indent=2)
END

# deny.toml says it again for a tool that others know, where that is at hand; scripts/check_crates.sh asks it with every test.
if command -v cargo-deny >/dev/null; then
  cargo deny check bans licenses sources >"$out/work/deny.log" 2>&1 || fail "cargo-deny: $(cat "$out/work/deny.log")"
  say "cargo-deny: $(tail -n 1 "$out/work/deny.log")"
else
  say 'left out, because it is missing: cargo-deny'
fi
say "$out/$name.cdx.json: $(wc -l <<<"$parts") parts; with an OpenSSL of its own also ${openssl##*+}"
