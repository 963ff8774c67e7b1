#!/usr/bin/env bash
# Makes the texts as they are installed: README.md, CHANGELOG.md and the guides, in which links lead to what is installed
# with them. Others become plain words, and the badges, which want the network, go away.
#
#   scripts/texts.sh DIRECTORY       is made anew
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 ]] || fail 'usage: scripts/texts.sh DIRECTORY'
out=$1

# The tree's name of each file that is installed, and the name that it has beside README.md then.
installed() {
  local file
  for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE docs/*.md docs/*.svg; do
    [[ ! -e $file ]] || printf '%s %s\n' "$file" "$file"
  done
  for file in c_examples/*.c; do printf '%s examples/%s\n' "$file" "${file##*/}"; done
  printf 'scripts/gdb/tlsloop.py gdb/tlsloop.py\n'
}

rm -rf "$out"
mkdir -p "$out/docs"
for text in README.md CHANGELOG.md docs/*.md; do
  # What stands in a program is no link, whatever it looks like.
  awk -v up="$([[ $text != */* ]] || printf '../')" '
    function led(words, target,    path) {
      if (target ~ /^(#|[a-z]+:)/) return "[" words "](" target ")"
      path = target
      sub(/#.*/, "", path)
      path = up == "" ? path : path ~ /^\.\.\// ? substr(path, 4) : "docs/" path
      return path in place ? "[" words "](" up place[path] ")" : words
    }
    FNR == NR { place[$1] = $2; next }
    /^\[!\[/ { badges = 1; next }
    badges { badges = 0; if ($0 == "") next }
    /^```/ { fenced = !fenced }
    fenced || /^    / { print; next }
    {
      line = ""
      rest = $0
      while (match(rest, /\[[^][]*\]\([^)]*\)/)) {
        link = substr(rest, RSTART, RLENGTH)
        at = index(link, "](")
        line = line substr(rest, 1, RSTART - 1) led(substr(link, 2, at - 2), substr(link, at + 2, length(link) - at - 2))
        rest = substr(rest, RSTART + RLENGTH)
      }
      print line rest
    }' <(installed) "$text" >"$out/$text"
done
