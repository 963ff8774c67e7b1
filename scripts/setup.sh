#!/bin/sh
# Installs what a command of this project needs and this machine lacks, and nothing else.
#
#   scripts/setup.sh lib|demo|install|lint|man|test|full|bench|counts|scan|package|soak|attacks|fuzz
#
# When nothing is missing it calls no package manager at all, so every make target can afford to run it.
# It is POSIX sh, unlike its neighbours, because bash is one of the things that can be missing (Alpine).
#
# In continuous integration (CI=true) everything in the set is required. At the desk the tools that only widen
# the tests (other compilers, valgrind, the sanitizers' run-time libraries, scanners) may stay away, and that is said.
set -eu

cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# --- What each set needs ---------------------------------------------------------------------------------------

lib='bash cc pkg-config openssl-headers'
demo="$lib openssl"
install="$lib cmake"
lint="$lib shellcheck"
man='bash mandoc'
fuzz="$lib cxx"
test_needs="$demo cmake binutils"
test_wants='cxx clang tcc valgrind sanitizers haproxy abidiff curl gnutls-cli python3 mandoc gdb glib-headers libuv-headers'
bench="$demo cxx python3 libevent-headers libuv-headers boost-headers haproxy stunnel"
package="$install openssl binutils xz python-venv perl dpkg-buildpackage debhelper lintian debootstrap"
counts="$demo binutils python3 valgrind strace"

wants=''
rust_parts=''
case "${1:-}" in
  lib) needs=$lib ;;
  demo) needs=$demo ;;
  install) needs=$install ;;
  lint) needs=$lint rust_parts='fmt clippy' ;;
  man) needs=$man ;;
  test) needs=$test_needs wants=$test_wants ;;
  full) needs="$test_needs perl libclang" wants=$test_wants ;;
  fuzz) needs=$fuzz ;;
  bench) needs=$bench ;;
  counts) needs=$counts ;;
  attacks) needs="$demo python3" ;;
  scan) needs="$demo python3" wants='testssl python-venv' ;;
  package) needs=$package ;;
  soak) needs=$lib ;;
  *) fail 'usage: scripts/setup.sh lib|demo|install|lint|man|test|full|bench|counts|scan|package|soak|attacks|fuzz' ;;
esac
if [ "${CI:-}" = true ]; then
  needs="$needs $wants" wants=''
fi

# --- Is it there? ----------------------------------------------------------------------------------------------

compiler=${CC:-cc}
have() { command -v "$1" >/dev/null 2>&1; }

# A compiler without the C library's headers, or of a different set of sanitizers, is found out by using it.
compiles() { # flags; the source comes on standard input
  dir=$(mktemp -d)
  cat >"$dir/probe.c"
  # shellcheck disable=SC2086 # CC may hold flags ("ccache gcc"), as it may for make
  if $compiler "$@" -o "$dir/probe" "$dir/probe.c" >"$dir/log" 2>&1; then found=0; else found=1; fi
  rm -rf "$dir"
  return "$found"
}

cmake_is_new_enough() {
  have cmake && at_least "$(cmake --version | sed -n '1s/^cmake version \([0-9.]*\).*/\1/p')" 3.16
}

openssl_headers_are_there() {
  # openssl-sys looks in OPENSSL_DIR first; whoever sets it has decided which OpenSSL it shall be.
  [ -n "${OPENSSL_DIR:-}" ] || pkg-config --atleast-version=3.0 openssl 2>/dev/null
}

# bindgen, which AWS-LC's crate is built with, asks llvm-config, and looks into these directories.
libclang_is_there() {
  for place in /usr/lib/llvm-*/lib /usr/lib*/llvm*/lib* /usr/lib* /usr/lib/*-linux-*; do
    for file in "$place"/libclang.so* "$place"/libclang-[0-9]*.so*; do
      [ ! -e "$file" ] || return 0
    done
  done
  return 1
}

at_least() { # version, minimum: compares two numbers of each
  [ -n "$1" ] || return 1
  major=${1%%.*} rest=${1#*.}
  minor=${rest%%.*} min_minor=${2#*.}
  [ "$major" -gt "${2%%.*}" ] || { [ "$major" -eq "${2%%.*}" ] && [ "$minor" -ge "${min_minor%%.*}" ]; }
}

present() {
  case $1 in
    cc) printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' | compiles ;;
    sanitizers) printf 'int main(void) { return 0; }\n' | compiles -fsanitize=address,undefined ;;
    cxx) have g++ ;;
    cmake) cmake_is_new_enough ;;
    binutils) have readelf && have nm ;;
    debhelper) have dh ;;
    # Debian keeps it where only root looks.
    debootstrap) have debootstrap || [ -x /usr/sbin/debootstrap ] ;;
    python-venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
    openssl-headers) openssl_headers_are_there ;;
    # Debian keeps it where only root looks.
    haproxy) have haproxy || [ -x /usr/sbin/haproxy ] || [ -x /usr/local/sbin/haproxy ] ;;
    stunnel) have stunnel4 || have stunnel ;;
    libevent-headers) pkg-config --exists libevent_openssl 2>/dev/null ;;
    glib-headers) pkg-config --exists glib-2.0 2>/dev/null ;;
    libuv-headers) pkg-config --exists libuv 2>/dev/null ;;
    boost-headers) printf '#include <boost/version.hpp>\nint main(void) { return 0; }\n' | compiles ;;
    libclang) have llvm-config || libclang_is_there ;;
    testssl) have testssl || have testssl.sh ;;
    perl) perl -MFindBin -MIPC::Cmd -MFile::Compare -e 1 2>/dev/null ;; # OpenSSL's own build asks for these
    *) have "$1" ;;
  esac
}

# The words for somebody who has to install it by hand.
describe() {
  case $1 in
    cc) echo 'a C compiler with the C library headers (cc)' ;;
    cxx) echo 'a C++ compiler (g++)' ;;
    cmake) echo 'CMake 3.16 or newer (cmake)' ;;
    openssl-headers) echo 'the development files of OpenSSL 3.0 or newer' ;;
    openssl) echo 'the openssl command' ;;
    binutils) echo 'the binutils (nm, readelf)' ;;
    python-venv) echo 'Python 3 with its module venv' ;;
    dpkg-buildpackage) echo "Debian's tools for packages (dpkg-buildpackage)" ;;
    abidiff) echo 'the tools of libabigail (abidiff)' ;;
    gnutls-cli) echo "GnuTLS's client (gnutls-cli)" ;;
    sanitizers) echo "the sanitizers' run-time libraries (libasan, libubsan)" ;;
    libevent-headers) echo 'the development files of libevent, with its OpenSSL part' ;;
    glib-headers) echo 'the development files of GLib' ;;
    libuv-headers) echo 'the development files of libuv' ;;
    boost-headers) echo 'the header files of Boost' ;;
    libclang) echo 'the library of Clang (libclang)' ;;
    testssl) echo 'testssl.sh' ;;
    perl) echo 'Perl with its core modules (perl)' ;;
    *) echo "$1" ;;
  esac
}

missing_of() {
  for item in "$@"; do
    present "$item" || printf ' %s' "$item"
  done
}

describe_all() {
  text=''
  for item in "$@"; do
    text="$text${text:+; }$(describe "$item")"
  done
  echo "$text"
}

# --- What the distributions call it ----------------------------------------------------------------------------

package() { # manager, item
  case $1:$2 in
    apt-get:cc) echo gcc libc6-dev ;;
    apk:cc) echo gcc musl-dev ;;
    *:cc) echo gcc glibc-devel ;;
    apt-get:cxx | apk:cxx) echo g++ ;;
    *:cxx) echo gcc-c++ ;;
    apt-get:openssl-headers) echo libssl-dev ;;
    dnf:openssl-headers) echo openssl-devel ;;
    apk:openssl-headers) echo openssl-dev ;;
    zypper:openssl-headers) echo libopenssl-3-devel ;;
    dnf:pkg-config) echo pkgconf-pkg-config ;;
    apk:pkg-config) echo pkgconf ;;
    dnf:shellcheck | zypper:shellcheck) echo ShellCheck ;;
    dnf:sanitizers) echo libasan libubsan ;;
    apk:sanitizers) ;; # musl has none for gcc
    *:sanitizers) echo gcc ;;
    dnf:perl) echo perl-core ;;
    apt-get:xz) echo xz-utils ;;
    apt-get:dpkg-buildpackage) echo dpkg-dev ;;
    apt-get:python-venv) echo python3-venv ;;
    *:python-venv) echo python3 ;;
    apt-get:abidiff) echo abigail-tools ;;
    zypper:abidiff) echo libabigail-tools ;;
    *:abidiff) echo libabigail ;;
    apt-get:stunnel) echo stunnel4 ;;
    apt-get:libevent-headers | apk:libevent-headers) echo libevent-dev ;;
    *:libevent-headers) echo libevent-devel ;;
    apt-get:glib-headers) echo libglib2.0-dev ;;
    apk:glib-headers) echo glib-dev ;;
    *:glib-headers) echo glib2-devel ;;
    apt-get:libuv-headers) echo libuv1-dev ;;
    apk:libuv-headers) echo libuv-dev ;;
    *:libuv-headers) echo libuv-devel ;;
    apt-get:boost-headers) echo libboost-dev ;;
    apk:boost-headers) echo boost-dev ;;
    dnf:boost-headers) echo boost-devel ;;
    zypper:boost-headers) echo libboost_headers-devel ;;
    apt-get:libclang) echo libclang1 ;;
    dnf:libclang) echo clang-libs ;;
    apk:libclang) echo clang-libclang ;;
    dnf:testssl) echo testssl ;;
    *:testssl) echo testssl.sh ;;
    apt-get:gnutls-cli) echo gnutls-bin ;;
    zypper:gnutls-cli) echo gnutls ;;
    *:gnutls-cli) echo gnutls-utils ;;
    *) echo "$2" ;;
  esac
}

packages_for() { # manager, items
  manager=$1
  shift
  for item in "$@"; do
    # shellcheck disable=SC2046 # several words are several packages
    printf ' %s' $(package "$manager" "$item")
  done
}

find_manager() {
  for candidate in apt-get dnf apk zypper; do
    if have "$candidate"; then
      echo "$candidate"
      return
    fi
  done
}

install_with() { # manager, packages
  manager=$1
  shift
  case $manager in
    apt-get) $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" ;;
    dnf) $sudo dnf install -y "$@" ;;
    apk) $sudo apk add "$@" ;;
    zypper) $sudo zypper --non-interactive install --no-recommends "$@" ;;
  esac </dev/null
}

# The lists of a new machine are empty, and old ones name packages that are gone.
refresh_lists() {
  case $1 in
    apt-get) $sudo apt-get -o DPkg::Lock::Timeout=300 update ;;
    apk) $sudo apk update ;;
    zypper) $sudo zypper --non-interactive refresh ;;
    *) ;;
  esac </dev/null || say "the package lists could not all be refreshed; going on with those that are here"
}

# Prints nothing for root, sudo where it works without a question (or there is somebody to answer it).
find_sudo() {
  [ "$(id -u)" -ne 0 ] || return 0
  have sudo || return 1
  sudo -n true 2>/dev/null || [ -t 0 ] || return 1
  echo sudo
}

install_missing() { # items
  manager=$(find_manager)
  [ -n "$manager" ] || fail "this machine has no apt-get, dnf, apk or zypper. Please install by hand: $(describe_all "$@")."
  # shellcheck disable=SC2046 # several words are several packages
  set -- $(packages_for "$manager" "$@")
  [ $# -gt 0 ] || return 0
  sudo=$(find_sudo) || fail "these packages are missing, and without root or sudo they cannot be installed: $*. Please have them installed with $manager."
  say "installing with $manager: $*"
  refresh_lists "$manager"
  install_with "$manager" "$@" && return 0
  # One name that this release does not know makes most managers refuse all of them.
  say 'that failed as a whole; trying the packages one by one'
  for name in "$@"; do
    install_with "$manager" "$name" || say "$manager could not install $name"
  done
}

# --- Rust ------------------------------------------------------------------------------------------------------

minimum_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
how_to_get_rust="Get it from https://rustup.rs, or from your distribution if its rustc is $minimum_rust or newer"

check_rust() {
  have cargo || have rustup || fail "Rust is missing (cargo, rustc $minimum_rust or newer). $how_to_get_rust."
  # rustup without a toolchain has a cargo that only explains that there is none.
  if ! cargo --version >/dev/null 2>&1; then
    have rustup || fail "cargo is there but does not run: $(cargo --version 2>&1 | head -n 1). $how_to_get_rust."
    say 'rustup has no toolchain yet; installing stable'
    rustup toolchain install stable --profile minimal || fail "rustup could not install the stable toolchain."
    rustup default stable
  fi
  version=$(rustc --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')
  at_least "$version" "$minimum_rust" ||
    fail "Rust $version is too old; tlsloop needs $minimum_rust or newer. With rustup: rustup update stable. $how_to_get_rust."
}

check_rust_parts() { # fmt, clippy
  for part in "$@"; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    component=$part
    [ "$part" != fmt ] || component=rustfmt
    have rustup || fail "cargo $part is missing. Please install $component for Rust $version from where your Rust came."
    say "installing with rustup: $component"
    rustup component add "$component" || fail "rustup could not add $component."
  done
}

# --- Do it -----------------------------------------------------------------------------------------------------

# Before the packages: their installation would be in vain. What is built already needs no compiler: "sudo make install"
# runs as somebody who may have none.
{ [ "$1" = install ] && [ -f build/lib/libtlsloop.so.0 ]; } || check_rust
# shellcheck disable=SC2086 # lists of words, here and below
check_rust_parts $rust_parts

# shellcheck disable=SC2086
missing=$(missing_of $needs $wants)
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086
say "missing: $(describe_all $missing)"
# A subshell, because being unable to install ends the setup only if something necessary is missing.
# shellcheck disable=SC2086
(install_missing $missing) || [ -z "$(missing_of $needs)" ] || exit 1

# shellcheck disable=SC2086
missing=$(missing_of $needs)
# shellcheck disable=SC2086
[ -z "$missing" ] || fail "still missing after the installation: $(describe_all $missing)."

# shellcheck disable=SC2086
missing=$(missing_of $wants)
# shellcheck disable=SC2086
[ -z "$missing" ] || say "not to be had here: $(describe_all $missing). The tests that use them are left out."
