#!/usr/bin/env bash
# Makes the Debian packages from the source archive, without a network, and has lintian look at them.
#
#   packaging/deb.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

[[ -f $out/$name.tar.xz ]] || fail 'first packaging/source.sh'
[[ $(sed -n '1s/^tlsloop (\([^)]*\)).*/\1/p' packaging/debian/changelog) == "$version" ]] ||
  fail "packaging/debian/changelog begins with another version than $version"

rm -rf "$out/work/deb" "$out"/*.deb "$out"/*.ddeb
mkdir -p "$out/work/deb"
tar -C "$out/work/deb" -xf "$out/$name.tar.xz"
cp -r packaging/debian "$out/work/deb/$name/debian"

log=$out/work/deb/log
(
  cd "$out/work/deb/$name"
  unset CARGO_TARGET_DIR MAKEFLAGS MFLAGS MAKELEVEL
  # Rust may come from rustup, which dpkg knows nothing of: so -d, and what is missing says so itself.
  dpkg-buildpackage --build=binary --no-sign --no-pre-clean -d
) >"$log" 2>&1 || fail "dpkg-buildpackage: $(tail -n 40 "$log")"
for package in "$out"/work/deb/*.{deb,ddeb}; do
  # Ubuntu gives packages of debug symbols another ending.
  [[ ! -f $package ]] || mv "$package" "$out/$(basename "${package%.*}").deb"
done

lintian --allow-root --fail-on error --suppress-tags initial-upload-closes-no-bugs "$out"/*.deb || fail 'lintian finds errors'
for package in libtlsloop0 libtlsloop-dev libtlsloop0-dbgsym; do
  ls "$out/$package"_*.deb >/dev/null || fail "there is no package $package"
done
say "$(cd "$out" && ls -- *.deb)"
