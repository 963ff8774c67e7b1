#!/usr/bin/env bash
# Compiles include/tlsloop.h in every mode that is promised, without a warning: alone, included twice, each
# macro in use, and with the numbers and offsets of the ABI written out. Runs the program that uses the macros.
#
#   tests/header/check.sh
#
# A compiler that is missing fails the check, unless TLSLOOP_WITHOUT names it ("tcc clang").
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

header=include/tlsloop.h
c_standards='c89 c99 c11 c17'
cxx_standards='c++98 c++11 c++17 c++20'
strict=(-Wall -Wextra -pedantic-errors -Werror)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

failures=0
compilations=0
complain() {
  say "FAILED: $*"
  failures=$((failures + 1))
}

# The same text is C and C++, so each source has a twin whose name says the other language.
printf '#include "tlsloop.h"\n' >"$work/alone.c"
printf '#include "tlsloop.h"\n#include "tlsloop.h"\n' >"$work/twice.c"
cp tests/header/macros.c tests/header/layout.c "$work/"

# The server of the preface, once all that it calls is declared: a sample that does not compile teaches errors.
sed -n '/#include <tlsloop.h>/,/^ \* RESULTS/s/^ \*     //p' "$header" >"$work/preface.c"
grep -q 'int main(void)' "$work/preface.c" || complain 'the preface of the header has lost its sample'
undeclared=$(grep -o 'tlsloop_[a-z_]*(' "$work/preface.c" | sort -u | while read -r call; do
  grep -v '^ \*' "$header" | grep -qF " $call" || grep -v '^ \*' "$header" | grep -qF "*$call" || printf '%s) ' "$call"
done)
if [[ -n $undeclared ]]; then
  say "left out: the sample of the preface, as long as the header lacks $undeclared"
  rm "$work/preface.c"
fi

for source in "$work"/*.c; do cp "$source" "${source%.c}.cpp"; done

compile() { # compiler, language's suffix, flags...
  local compiler=$1 suffix=$2 source
  shift 2
  for source in "$work"/*."$suffix"; do
    compilations=$((compilations + 1))
    if ! "$compiler" "$@" -Iinclude -c "$source" -o "$work/object.o" >"$work/log" 2>&1 || [[ -s $work/log ]]; then
      complain "$compiler $* $(basename "$source")"
      cat "$work/log"
    fi
  done
  if ! "$compiler" "$@" -Iinclude "$work/macros.$suffix" -o "$work/macros" || ! "$work/macros"; then
    complain "$compiler $*: the program that uses the macros"
  fi
}

is_there() {
  command -v "$1" >/dev/null && return
  if [[ " ${TLSLOOP_WITHOUT:-} " == *" $1 "* ]]; then
    say "left out: $1"
  else
    complain "$1 is missing; install it, or name it in TLSLOOP_WITHOUT"
  fi
  return 1
}

for compiler in gcc clang; do
  is_there "$compiler" || continue
  for standard in $c_standards; do compile "$compiler" c "-std=$standard" "${strict[@]}"; done
done
# tcc knows one language and few warnings, and takes -std for the sake of others' makefiles.
if is_there tcc; then
  for standard in $c_standards; do compile tcc c "-std=$standard" -Wall -Werror; done
fi
for compiler in g++ clang++; do
  is_there "$compiler" || continue
  for standard in $cxx_standards; do compile "$compiler" cpp "-std=$standard" "${strict[@]}"; done
done

# What the program above must use to deserve its name.
sed -n 's/^#define \(TLSLOOP_[A-Z0-9_]*\).*/\1/p' "$header" | while read -r macro; do
  grep -qw "$macro" tests/header/macros.c || say "$macro"
done >"$work/unused"
[[ ! -s $work/unused ]] || complain "tests/header/macros.c does not use $(xargs <"$work/unused")"

# A function and a type of one name: Rust allows it, and C and C++ refuse it only where both are used.
declared() { grep -v '^ *[/ ]\*' "$header"; }
types=$(declared | sed -n 's/^}\{0,1\} *\(typedef .*\)\{0,1\}\(tlsloop_[a-z_]*\);$/\2/p' | sort -u)
functions=$(declared | grep -o '\btlsloop_[a-z0-9_]*(' | tr -d '(' | sort -u)
[[ -n $types && -n $functions ]] || complain 'the check finds no types or no functions in the header'
both=$(comm -12 <(printf '%s\n' "$types") <(printf '%s\n' "$functions"))
[[ -z $both ]] || complain "type and function at once: $both"

((failures == 0)) || fail "$failures failures in $compilations compilations"
say "$header compiles without a warning: $compilations compilations"
