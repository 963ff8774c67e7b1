#!/usr/bin/env bash
# Makes one object of an archive that rustc has made, in which only some names are left for others to see:
#
#   scripts/merge_archive.sh ARCHIVE NAMES OUT        NAMES is a file with a function a line
#
# As rustc leaves it, an archive shows the names of Rust's standard library, so a program could not link two of them.
# What none of the functions reaches is left out, and so is what the compiler keeps for optimising across crates.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 3 ]] || fail 'usage: scripts/merge_archive.sh ARCHIVE NAMES OUT'
archive=$1 names=$2 out=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t undefined < <(sed 's/^/--undefined=/' "$names")
# Groups would be merged by name with those of another archive, although their names are no longer shown.
"${LD:-ld}" --relocatable --gc-sections --force-group-allocation "${undefined[@]}" -o "$work/all.o" "$archive"

# What the parts that were left out have asked for: the linker would go on asking, and for weak names no longer weakly.
export LC_ALL=C
comm -23 <(readelf --symbols --wide "$work/all.o" | awk '$7 == "UND" && $8 != "" { print $8 }' | sort -u) \
  <(readelf --relocs --wide "$work/all.o" | awk '$3 ~ /^R_/ { print $5 }' | sort -u) >"$work/dead"

"${OBJCOPY:-objcopy}" --keep-global-symbols="$names" --strip-symbols="$work/dead" \
  --remove-section=.llvmbc --remove-section=.llvmcmd "$work/all.o" "$work/tlsloop.o"
"${AR:-ar}" rcsD "$work/merged.a" "$work/tlsloop.o"
mv "$work/merged.a" "$out"
