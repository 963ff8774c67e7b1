#!/usr/bin/env bash
# Whether setup.sh installs what is missing, only that, and says so in words where it cannot. It sees a machine
# made of small stand-ins: PATH holds nothing else, and the package managers only write down what they are told.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
machine=$work/bin
asked=$work/asked
status=0
output=

# --- The machine of stand-ins --------------------------------------------------------------------------------------

tool() { # name, line of shell
  printf '#!/bin/sh\n%s\n' "${2:-exit 0}" >"$machine/$1"
  chmod +x "$machine/$1"
}

# A package manager that notes its arguments; whatever it is told to install under a tool's own name is there then.
manager() { # name
  tool "$1" "echo \"$1 \$*\" >>$asked
for word in \"\$@\"; do
  case \$word in tcc | valgrind | clang | haproxy) printf '#!/bin/sh\n' >$machine/\$word; chmod +x $machine/\$word ;; esac
done"
}

new_machine() {
  rm -rf "$machine" "$asked"
  mkdir -p "$machine"
  local name
  for name in sh env dirname sed mktemp cat rm head chmod; do
    ln -s "$(command -v "$name")" "$machine/$name"
  done
  for name in bash cc g++ clang tcc valgrind haproxy abidiff pkg-config openssl shellcheck readelf nm perl python3 strace \
    stunnel4 testssl llvm-config curl gnutls-cli mandoc gdb xz dh lintian dpkg-buildpackage debootstrap; do
    tool "$name"
  done
  tool cmake 'echo "cmake version 3.25.1"'
  tool cargo 'echo "cargo 1.95.0"'
  tool rustc 'echo "rustc 1.95.0 (0000000 2026-01-01)"'
  tool id 'echo 0'
}

setup() { # arguments of setup.sh
  status=0
  output=$(PATH=$machine CC='' CI="${ci:-}" OPENSSL_DIR='' "$machine/sh" scripts/setup.sh "$@" 2>&1 </dev/null) || status=$?
}

# --- What is expected of it ----------------------------------------------------------------------------------------

expect_status() { [[ $status -eq $1 ]] || fail "$case_name: status $status and not $1. It said: $output"; }
expect_said() { [[ $output == *"$1"* ]] || fail "$case_name: it did not say \"$1\" but: $output"; }
expect_asked() { grep -qxF -- "$1" "$asked" || fail "$case_name: nobody asked \"$1\" but: $(cat "$asked")"; }
expect_nothing_asked() { [[ ! -e $asked ]] || fail "$case_name: a package manager was called: $(cat "$asked")"; }
case_is() {
  case_name=$1
  new_machine
}

case_is 'nothing is missing: no package manager is called and nothing is said'
for name in apt-get dnf apk zypper; do manager "$name"; done
for set_name in lib demo install lint man test full fuzz bench counts scan package; do
  setup "$set_name"
  expect_status 0
  expect_nothing_asked
  [[ -z $output ]] || fail "$case_name: $output"
done

for name in apt-get dnf apk zypper; do
  case_is "tcc and valgrind are missing and $name is there: it installs these two"
  manager "$name"
  rm "$machine/tcc" "$machine/valgrind"
  setup test
  expect_status 0
  expect_said "installing with $name: tcc valgrind"
  case $name in
    apt-get) expect_asked 'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends tcc valgrind' ;;
    dnf) expect_asked 'dnf install -y tcc valgrind' ;;
    apk) expect_asked 'apk add tcc valgrind' ;;
    zypper) expect_asked 'zypper --non-interactive install --no-recommends tcc valgrind' ;;
  esac
done

case_is 'an ordinary user is served by sudo'
manager apt-get
tool id 'echo 1000'
# shellcheck disable=SC2016 # it is the stand-in that expands this
tool sudo '[ "$1" != -n ] || shift; "$@"'
rm "$machine/valgrind"
setup test
expect_status 0
expect_asked 'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends valgrind'

case_is 'an ordinary user without sudo is told the packages'
manager dnf
tool id 'echo 1000'
tool pkg-config 'exit 1'
setup demo
expect_status 1
expect_nothing_asked
expect_said 'without root or sudo they cannot be installed: openssl-devel'

case_is 'a machine without a known package manager is told what to install'
rm "$machine/cmake" "$machine/openssl"
setup test
expect_status 1
expect_said 'no apt-get, dnf, apk or zypper'
expect_said 'the openssl command; CMake 3.16 or newer (cmake)'

case_is 'a package that does not bring what was missing is an error'
manager apt-get
tool cmake 'echo "cmake version 3.10.2"'
setup test
expect_status 1
expect_said 'still missing after the installation: CMake 3.16 or newer'

case_is 'a tool that only widens the tests may be out of reach at the desk'
rm "$machine/tcc"
setup test
expect_status 0
expect_said 'not to be had here: tcc'

case_is 'but not in continuous integration'
rm "$machine/tcc"
ci=true setup test
expect_status 1
expect_said 'tcc'

case_is 'a scanner may be out of reach at the desk, and another name of it will do'
rm "$machine/testssl"
setup scan
expect_status 0
expect_said 'not to be had here: testssl.sh'
tool testssl.sh
setup scan
expect_status 0
[[ -z $output ]] || fail "$case_name: $output"

case_is 'the scanners are asked for under the names that the distribution has for them'
manager apt-get
rm "$machine/testssl"
tool python3 'exit 1'
setup scan
expect_asked 'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends testssl.sh python3-venv'

case_is 'Rust is missing'
rm "$machine/cargo" "$machine/rustc"
setup lib
expect_status 1
expect_said 'Rust is missing'
expect_said 'https://rustup.rs'

case_is 'Rust is too old'
tool rustc 'echo "rustc 1.63.0"'
setup lib
expect_status 1
expect_said 'Rust 1.63.0 is too old'

case_is 'what is built already is installed without Rust'
rm "$machine/cargo" "$machine/rustc"
setup install
if [[ -f build/lib/libtlsloop.so.0 ]]; then expect_status 0; else expect_said 'Rust is missing'; fi

case_is 'rustup has no toolchain yet'
tool cargo "[ -e $work/toolchain ]"
tool rustup "echo \"rustup \$*\" >>$asked; : >$work/toolchain"
setup lib
expect_status 0
expect_asked 'rustup toolchain install stable --profile minimal'

case_is 'a component of the toolchain is missing'
tool cargo "[ \"\$1\" != clippy ] || [ -e $work/clippy ]"
tool rustup "echo \"rustup \$*\" >>$asked; : >$work/clippy"
setup lint
expect_status 0
expect_asked 'rustup component add clippy'

case_is 'the peers of the benchmarks, under the names of the distribution'
tool apt-get "echo \"apt-get \$*\" >>$asked; : >$machine/stunnel4; chmod +x $machine/stunnel4"
tool pkg-config "[ \"\$2\" != libuv ] || [ -e $machine/stunnel4 ]"
rm "$machine/stunnel4"
setup bench
expect_status 0
expect_asked 'apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends libuv1-dev stunnel4'

case_is 'an unknown set'
setup everything
expect_status 1
expect_said 'usage:'

say 'setup.sh: every case as expected'
