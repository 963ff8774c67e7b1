# shellcheck shell=bash
# What the scripts here share. Sourced in the project's root, behind scripts/common.sh.

# shellcheck disable=SC2034 # used by those who source this
version=$(sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)
# shellcheck disable=SC2034
name=tlsloop-$version
# shellcheck disable=SC2034
out=$PWD/build/package

# The same sources make the same archives, byte for byte.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH

reproducible_tar() { # archive, directory, what in it
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w \
    -C "$2" --auto-compress -cf "$1" "$3"
}

# The newest C library that a file asks for: it runs on that one and on every later one.
highest_glibc() { objdump --dynamic-syms "$1" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort --unique | tail -n 1 | cut -d_ -f2; }

is_newer() { [[ $1 != "$2" && $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | tail -n 1) == "$1" ]]; }

# Whose work becomes a part of the library: the names of the crates.
built_in() { cargo tree --package tlsloop --edges normal --prefix none --format '{p}' | awk '{ print $1 "-" substr($2, 2) }' | sort -u; }
