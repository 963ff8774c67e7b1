#!/usr/bin/env bash
# Builds the library for old distributions: it asks for no newer C library than 2.28 (RHEL 8, Ubuntu 20.04, Debian 10), and
# holds an OpenSSL of its own, because theirs is older than 3.0. zig brings the old C library's names, cargo-zigbuild makes
# cargo use it as the linker.
#
#   packaging/portable.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=packaging/common.sh
source packaging/common.sh

glibc=2.28
target=$(uname -m)-unknown-linux-gnu

tools=build/zig
if ! cmp -s packaging/requirements.txt "$tools/requirements.txt"; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --requirement packaging/requirements.txt
  cp packaging/requirements.txt "$tools/"
fi
PATH=$PWD/$tools/bin:$PATH

CARGO_TARGET_DIR="$(cargo_target_dir)/portable"
export CARGO_TARGET_DIR
cargo zigbuild --release --package tlsloop --lib "${locked[@]}" --features vendored --target "$target.$glibc"

library=$out/work/portable
rm -rf "$library"
mkdir -p "$library"
cp "$CARGO_TARGET_DIR/$target/release/libtlsloop.so" "$library/libtlsloop.so.0"
cp "$CARGO_TARGET_DIR/$target/release/libtlsloop.a" "$library/libtlsloop.a" # looked for, and not installed

# The same names as the ordinary library, and not one of OpenSSL's: nothing inside is shown, nothing outside is taken.
bash tests/abi/check.sh "$library/libtlsloop.so.0"
needed=$(readelf --dynamic --wide "$library/libtlsloop.so.0" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
! grep -E 'ssl|crypto' <<<"$needed" || fail 'it asks for the system'"'"'s OpenSSL'
taken=$(nm --dynamic --undefined-only "$library/libtlsloop.so.0" | awk '{ print $2 }' | grep -E '^(SSL|CRYPTO|EVP|X509|OPENSSL|ERR|BIO|OSSL)_' || true)
[[ -z $taken ]] || fail "it takes OpenSSL's names from outside: $(xargs <<<"$taken")"

# This linker brings an unwinder of its own into the library: a panic has to be caught with that one as well.
probe=$out/work/portable-probe
rm -rf "$probe"
mkdir -p "$probe"
cat >"$probe/Cargo.toml" <<END
[package]
name = "contains"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
path = "$PWD/tests/abi/contains.rs"
[workspace]
END
cat >"$probe/main.c" <<END
int other_contains(int number);
int main(void) { return other_contains(12345) == 5 && other_contains(1) == -1 && other_contains(2) == -1 ? 0 : 1; }
END
cargo zigbuild --quiet --release --manifest-path "$probe/Cargo.toml" --target "$target.$glibc"
"${CC:-cc}" -o "$probe/main" "$probe/main.c" "$CARGO_TARGET_DIR/$target/release/libcontains.so"
"$probe/main" || fail 'a panic is not contained in what zig links'

bash packaging/tarball.sh "$library" vendored "$glibc"
