#!/usr/bin/env bash
# Installs the library that "make" has built into build/lib; builds it first if it is not there.
#
#   scripts/install.sh [--strip]      PREFIX=/usr/local  DESTDIR=  LIBDIR=  LIBRARY_DIR=build/lib
#
# What goes where is written in cmake/install.cmake; this only asks CMake for it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

options=()
case ${1:-} in
  '') ;;
  --strip) options+=(--strip) ;;
  *) fail 'usage: scripts/install.sh [--strip]' ;;
esac
prefix=${PREFIX:-/usr/local}
[[ $prefix == /* ]] || fail "PREFIX is \"$prefix\", which is no absolute path"

library=${LIBRARY_DIR:-build/lib}
[[ -f $library/libtlsloop.so.0 && -f $library/libtlsloop.a ]] || bash scripts/build_lib.sh "$library"

# Configured anew each time, because the prefix decides where the distribution wants its libraries; and not in the
# tree, where files that belong to root would be in the way of the next build.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake -S . -B "$work" -DCMAKE_INSTALL_PREFIX="$prefix" ${LIBDIR:+-DCMAKE_INSTALL_LIBDIR="$LIBDIR"} \
  -DTLSLOOP_LIBRARY_DIR="$(cd "$library" && pwd)" -DTLSLOOP_BUILD_TESTS=OFF -DTLSLOOP_BUILD_EXAMPLES=OFF \
  >"$work/log" 2>&1 || fail "CMake refused: $(cat "$work/log")"
cmake --install "$work" "${options[@]}"

# Without the loader's cache a program that was linked just now would not start.
if [[ -z ${DESTDIR:-} && $EUID -eq 0 ]]; then
  ldconfig || say 'ldconfig failed; the loader may not find the library yet'
fi
