#!/usr/bin/env bash
# Whether what is installed can be used: a program outside the tree is built and run in each way that the README names.
#
#   tests/install/check.sh LIBRARY_DIR [FEATURES]      as scripts/build_lib.sh has filled it, with these features
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[[ $# -ge 1 ]] || fail 'usage: tests/install/check.sh LIBRARY_DIR [FEATURES]'
library=$(cd "$1" && pwd)
features=${2:-}
crypto=OpenSSL
[[ $features != *aws-lc* ]] || crypto=AWS-LC
root=$PWD
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
compiler=${CC:-cc}
unset DESTDIR PREFIX LIBDIR LIBRARY_DIR CMAKE_PREFIX_PATH PKG_CONFIG_PATH # this machine's own affairs

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
: >"$work/log"

quietly() { "$@" >"$work/log" 2>&1 || fail "$way: $*: $(tail -n 30 "$work/log")"; }

# --- What is installed, and where ------------------------------------------------------------------------------

configure() { # build directory, options
  quietly cmake -S . -B "$@" -DTLSLOOP_LIBRARY_DIR="$library" -DTLSLOOP_FEATURES="$features" \
    -DTLSLOOP_BUILD_TESTS=OFF -DTLSLOOP_BUILD_EXAMPLES=OFF
}

expected() { # library directory
  printf '%s\n' include/tlsloop.h "$1/libtlsloop.so" "$1/libtlsloop.so.0" "$1/libtlsloop.so.$version" \
    "$1/pkgconfig/tlsloop.pc" "$1/cmake/tlsloop/tlsloopConfig.cmake" "$1/cmake/tlsloop/tlsloopConfigVersion.cmake" \
    share/doc/tlsloop/{README.md,CHANGELOG.md,LICENSE-MIT,LICENSE-APACHE} \
    share/doc/tlsloop/gdb/tlsloop.py
  [[ $features == *vendored* || $features == *aws-lc* ]] || printf '%s\n' "$1/libtlsloop.a"
  (cd c_examples && printf 'share/doc/tlsloop/examples/%s\n' *.c)
  find docs -maxdepth 1 \( -name '*.md' -o -name '*.svg' \) -printf 'share/doc/tlsloop/%p\n'
  [[ -d $work/man ]] || bash scripts/man.sh "$work/man"
  (cd "$work/man" && printf 'share/man/man3/%s\n' *.3 && printf 'share/man/man7/%s\n' *.7)
}

has_all() { # directory, library directory
  diff -u --label expected --label "$way" <(expected "$2" | sort) <(cd "$1" && find . ! -type d -printf '%P\n' | sort) ||
    fail "$way: other files than expected"
  [[ $(readlink "$1/$2/libtlsloop.so") == libtlsloop.so.0 && $(readlink "$1/$2/libtlsloop.so.0") == libtlsloop.so."$version" ]] ||
    fail "$way: the links lead elsewhere"
}

# Of a text that is read where it was installed, every link within the project leads somewhere there.
links_lead() { # directory
  local text link
  for text in "$1"/*.md "$1"/docs/*.md; do
    for link in $(grep -oE '\]\([^)# ]+' "$text" | sed 's/^](//' | grep -vE '^[a-z]+:' || true); do
      [[ -e ${text%/*}/$link ]] || fail "$way: ${text##*/} leads to $link, which is not there"
    done
  done
  grep -qF '](examples/' "$1/README.md" || fail "$way: README.md leads to no example"
}

way='make install'
if [[ -z $features ]]; then
  quietly make --no-print-directory install DESTDIR="$work/stage" PREFIX=/opt/tlsloop LIBDIR=lib LIBRARY_DIR="$library"
  has_all "$work/stage/opt/tlsloop" lib
  [[ $(find "$work/stage" -mindepth 1 -maxdepth 2) == "$work/stage/opt"$'\n'"$work/stage/opt/tlsloop" ]] ||
    fail "$way: something was installed beside the prefix"
  grep -qx 'prefix=/opt/tlsloop' "$work/stage/opt/tlsloop/lib/pkgconfig/tlsloop.pc" || fail "$way: tlsloop.pc knows another prefix"
fi

# The place is named when it is installed, as packagers do, and the libraries lie where this distribution wants them.
way='cmake --install'
configure "$work/build"
quietly cmake --install "$work/build" --prefix "$prefix" --strip
libdir=$(sed -n 's/^CMAKE_INSTALL_LIBDIR:[A-Z]*=//p' "$work/build/CMakeCache.txt")
has_all "$prefix" "$libdir"
links_lead "$prefix/share/doc/tlsloop"
if readelf --sections --wide "$prefix/$libdir/libtlsloop.so.0" | grep -q '\.symtab\|\.debug_'; then
  fail "$way --strip has left symbols"
fi

way='relocatable'
configure "$work/moving" -DTLSLOOP_RELOCATABLE=ON -DCMAKE_INSTALL_LIBDIR=lib
quietly cmake --install "$work/moving" --prefix "$work/before"
mv "$work/before" "$work/after"

# --- Each way of using it --------------------------------------------------------------------------------------

needs_library() { readelf --dynamic --wide "$1" | grep -q 'NEEDED.*\[libtlsloop\.so\.0\]'; }

runs() { # program, shared|static: what it must have become
  local answer
  answer=$("$1" 2>&1) || fail "$way: the program says: $answer"
  [[ $answer == "tlsloop $version ($crypto "* ]] || fail "$way: the program says: $answer"
  case $2 in
    shared) needs_library "$1" || fail "$way: the program does not need libtlsloop.so.0" ;;
    static) ! needs_library "$1" || fail "$way: the program needs libtlsloop.so.0" ;;
  esac
  say "$way: $answer"
}

by_cc() { # shared|static, arguments of the compiler
  rm -f "$work/program"
  quietly "$compiler" -Wall -Wextra -Werror -o "$work/program" tests/install/program.c "${@:2}"
  LD_LIBRARY_PATH=$prefix/$libdir runs "$work/program" "$1"
}

flags() { # directory of libraries, options of pkg-config
  local text
  text=$(PKG_CONFIG_PATH=$1/pkgconfig pkg-config --cflags --libs "${@:2}" 'tlsloop >= 0.1') || fail "$way: pkg-config fails"
  read -ra flags <<<"$text"
}

by_cmake() { # shared|static, way, options
  rm -rf "$work/stranger"
  quietly cmake -S tests/install/stranger -B "$work/stranger" -DWAY="$2" "${@:3}"
  quietly cmake --build "$work/stranger"
  runs "$work/stranger/program" "$1"
}

way='two plain arguments'
by_cc shared -I"$prefix/include" -L"$prefix/$libdir" -ltlsloop

way='pkg-config'
flags "$prefix/$libdir"
[[ " ${flags[*]} " != *' -lssl '* ]] || fail "$way: who links the shared library is told of OpenSSL"
by_cc shared "${flags[@]}"

way='pkg-config, moved'
flags "$work/after/lib"
[[ ${flags[*]} == *"$work/after"* ]] || fail "$way: tlsloop.pc has not moved along: ${flags[*]}"
by_cc shared "${flags[@]}"

way='find_package'
by_cmake shared package -DCMAKE_PREFIX_PATH="$prefix"
way='find_package, moved'
by_cmake shared package -DCMAKE_PREFIX_PATH="$work/after"

if [[ -z $features ]]; then
  way='two plain arguments, static'
  by_cc static -I"$prefix/include" "$prefix/$libdir/libtlsloop.a" -lssl -lcrypto -lpthread -ldl -lm

  way='find_package, static'
  by_cmake static package-static -DCMAKE_PREFIX_PATH="$prefix"

  # Installed without the shared library, so that the linker takes the archive.
  way='pkg-config --static'
  rm "$work"/after/lib/libtlsloop.so*
  flags "$work/after/lib" --static
  by_cc static "${flags[@]}"

  # A program without any shared library, where OpenSSL can be had in that form.
  way='pkg-config --static, cc -static'
  if printf 'int main(void) { return 0; }\n' | "$compiler" -static -xc - -lssl -lcrypto -ldl -lpthread -o "$work/probe" 2>"$work/log"; then
    flags "$prefix/$libdir" --static
    # The C library warns of getaddrinfo, which takes its shared parts along at run time.
    by_cc static -static -Wno-error "${flags[@]}"
  else
    say "$way: left out, OpenSSL's archive is missing"
  fi
fi

# As a part of somebody else's build, which builds the library itself.
way='add_subdirectory'
by_cmake shared subdirectory -DTLSLOOP_SOURCE="$root" -DTLSLOOP_FEATURES="$features"
way='FetchContent'
by_cmake shared fetch -DTLSLOOP_SOURCE="$root" -DTLSLOOP_FEATURES="$features"

say 'installed, found and used in every way'
