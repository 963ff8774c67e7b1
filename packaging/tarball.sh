#!/usr/bin/env bash
# Makes an archive that is unpacked anywhere and used from there:
#
#   packaging/tarball.sh LIBRARY_DIR [FEATURES [GLIBC]]
#
# LIBRARY_DIR holds the library, built with FEATURES. GLIBC is the newest C library that it may ask for; without it, what
# it asks for is what the archive is named after.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

[[ $# -ge 1 ]] || fail 'usage: packaging/tarball.sh LIBRARY_DIR [FEATURES [GLIBC]]'
library=$(cd "$1" && pwd)
features=${2:-}
asked=$(highest_glibc "$library/libtlsloop.so.0")
glibc=${3:-$asked}
! is_newer "$asked" "$glibc" || fail "the library asks for glibc $asked, newer than $glibc"

case $features in
  *aws-lc*) openssl=aws-lc words='It holds AWS-LC, and shows it to nobody: security updates come with newer archives.' ;;
  *vendored*)
    openssl=own-openssl
    source=$(echo "$out/work/source/$name"/vendor/openssl-src-*)
    words="It holds OpenSSL ${source##*+}, and shows it to nobody: security updates come with newer archives."
    ;;
  *) openssl=system-openssl words='It needs OpenSSL 3.0 or newer, which the distribution keeps up to date.' ;;
esac
directory=$name-$(uname -m)-linux-glibc$glibc-$openssl

work=$out/work/$openssl
rm -rf "$work"
mkdir -p "$work"
cmake -S . -B "$work/cmake" -DTLSLOOP_LIBRARY_DIR="$library" -DTLSLOOP_FEATURES="$features" -DTLSLOOP_RELOCATABLE=ON \
  -DCMAKE_INSTALL_LIBDIR=lib -DTLSLOOP_BUILD_TESTS=OFF -DTLSLOOP_BUILD_EXAMPLES=OFF >"$work/log" 2>&1 ||
  fail "CMake refused: $(cat "$work/log")"
cmake --install "$work/cmake" --strip --prefix "$work/$directory" >"$work/log" || fail "$(cat "$work/log")"
bash packaging/licences.sh --features "$features" >"$work/$directory/share/doc/tlsloop/THIRD-PARTY"
cat >"$work/$directory/INSTALL" <<END
This is tlsloop $version for Linux on $(uname -m), with the GNU C library $glibc or newer.
$words

Use it from here (HERE is this directory):

    cc -IHERE/include server.c -LHERE/lib -ltlsloop -Wl,-rpath,HERE/lib
    PKG_CONFIG_PATH=HERE/lib/pkgconfig pkg-config --cflags --libs tlsloop
    cmake -DCMAKE_PREFIX_PATH=HERE ...                 find_package(tlsloop 0.1)

or copy its directories into /usr/local and run ldconfig.
END
reproducible_tar "$out/$directory.tar.gz" "$work" "$directory"
say "$out/$directory.tar.gz: asks for glibc $asked"
