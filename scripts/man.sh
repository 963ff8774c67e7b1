#!/usr/bin/env bash
# Makes the manual from docs/man: the pages with one link for each further name, and, if asked, the same as HTML.
#
#   scripts/man.sh PAGES [HTML]      both are directories, made anew
#
# The pages are mdoc(7), which man(1) shows as it is, so only HTML needs a tool: mandoc.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -eq 1 || $# -eq 2 ]] || fail 'usage: scripts/man.sh PAGES [HTML]'
pages=$1 html=${2:-}

# The names under which a page is to be found, its own among them.
names_of() { # page
  awk '/^\.Sh/ { inside = ($2 == "NAME") } inside && $1 == ".Nm" { print $2 }' "$1"
}

make_pages() {
  rm -rf "$pages"
  mkdir -p "$pages"
  local page file section name
  for page in docs/man/*.[37]; do
    file=${page##*/} section=${page##*.}
    install -m 644 "$page" "$pages/$file"
    for name in $(names_of "$page"); do
      # From the root of a tree of pages, as man(1) wants it.
      [[ $name.$section == "$file" ]] || printf '.so man%s/%s\n' "$section" "$file" >"$pages/$name.$section"
    done
  done
}

make_html() {
  rm -rf "$html"
  mkdir -p "$html"
  cp docs/man/style.css "$html/"
  local page file section name
  # mandoc looks for the pages that references lead to where it runs; others are those of the system.
  local links='man=%N.%S.html;https://manpages.debian.org/%N.%S'
  for page in docs/man/*.[37]; do
    file=${page##*/} section=${page##*.}
    (cd "$pages" && mandoc -T html -I os=tlsloop -O "style=style.css,toc,$links" "$file") >"$html/$file.html"
    for name in $(names_of "$page"); do
      [[ $name.$section == "$file" ]] || ln -sf "$file.html" "$html/$name.$section.html"
    done
  done
  ln -s tlsloop.7.html "$html/index.html"
}

make_pages
[[ -z $html ]] || make_html
