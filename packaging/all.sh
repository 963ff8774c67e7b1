#!/usr/bin/env bash
# Makes all packages, in build/package: the archive of sources, those for Debian, the archives that are unpacked
# anywhere, the list of parts. packaging/check.sh tries them.
#
#   packaging/all.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

rm -rf "$out"
mkdir -p "$out/work"

section 'Sources'
bash packaging/source.sh
section 'Debian packages'
bash packaging/deb.sh
section "Archive for the system's OpenSSL"
bash packaging/tarball.sh "$(echo "$out/work/deb/$name"/obj-*/lib)"
section 'Archive for old distributions'
bash packaging/portable.sh
section 'Parts and licences'
bash packaging/sbom.sh

section 'Packages'
(cd "$out" && find . -maxdepth 1 -type f -printf '%f\n' | sort | xargs sha256sum | tee SHA256SUMS)
