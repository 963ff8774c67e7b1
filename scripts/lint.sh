#!/usr/bin/env bash
# All that can be found wrong without running anything: form, lints, documentation, header drift, scripts.
# Every part runs, so that one visit shows everything; fails if one of them does.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

failed=()
part() { # name, command
  local name=$1
  shift
  section "$name"
  if "$@"; then say ok; else failed+=("$name"); fi
}

clippy() { # more options for cargo
  cargo clippy "${locked[@]}" --all-targets "$@" -- -D warnings \
    -D clippy::undocumented_unsafe_blocks -D clippy::missing_safety_doc -D clippy::too_many_lines
}

documentation() { RUSTDOCFLAGS='-D warnings' cargo doc "${locked[@]}" --no-deps --document-private-items; }

# Files that are built, mirrored or generated are not ours to judge.
sources() { # find's name tests
  find . \( -path ./target -o -path ./build -o -path ./.git \) -prune -o -type f \( "$@" \) -print | sort
}

scripts() {
  local files
  mapfile -t files < <(sources -name '*.sh' -o -path './.ci/run')
  shellcheck --external-sources "${files[@]}"
}

# A file is one noun: beyond these lengths the eye is lost. The examples are documentation, and shorter still.
lengths() {
  local file lines limit status=0
  while read -r file; do
    limit=400
    [[ $file != ./c_examples/* ]] || limit=100
    lines=$(wc -l <"$file")
    if ((lines > limit)); then
      say "$file has $lines lines, more than $limit"
      status=1
    fi
  done < <(sources -name '*.rs' -o -name '*.c' -o -name '*.sh' -o -name '*.py')
  return "$status"
}

part rustfmt cargo fmt --all --check
part clippy clippy
part 'clippy, with faults' clippy --features fault-injection
part 'clippy, harnesses' clippy --package tlsloop-fuzz
part documentation documentation
part 'header drift' bash scripts/header.sh --check
part shellcheck scripts
part lengths lengths

section 'Lint summary'
if [[ ${#failed[@]} -gt 0 ]]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
say 'No complaints.'
