#!/usr/bin/env bash
# What packaging/check.sh does inside the fresh root: installs the packages, uses them in each way, upgrades the library
# under a program, removes everything, and tries the archives.
#
#   /try/stranger.sh VERSION
set -euo pipefail
cd /try

version=$1
say() { printf '%s\n' "$*"; }
fail() {
  printf 'stranger.sh: %s\n' "$*" >&2
  exit 1
}
quietly() { "$@" >/try/log 2>&1 || fail "$*: $(tail -n 30 /try/log)"; }
apt() { quietly apt-get -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"; }

try_it() { # way, program, arguments: as somebody without rights
  local way=$1 answer
  shift
  answer=$(setpriv --reuid=65534 --regid=65534 --clear-groups "$@" 2>&1) || fail "$way: $answer"
  say "$way: ${answer:-ok}"
}

compile() { quietly cc -Wall -Wextra -o "$@"; }
multiarch=$(dpkg --print-architecture)

# --- The packages --------------------------------------------------------------------------------------------------

apt update
apt install "./libtlsloop0_${version}_$multiarch.deb" "./libtlsloop-dev_${version}_$multiarch.deb" gcc libc6-dev pkg-config cmake make openssl
! command -v rustc >/dev/null || fail 'this root has Rust; it proves nothing'

compile plain install/program.c -ltlsloop
try_it 'cc -ltlsloop' ./plain
compile archive install/program.c -l:libtlsloop.a -lssl -lcrypto -lm
try_it 'the archive' ./archive
# shellcheck disable=SC2046 # words are arguments
compile by_pkg install/program.c $(pkg-config --cflags --libs tlsloop)
try_it 'pkg-config' ./by_pkg
# shellcheck disable=SC2046
compile all_static -static install/program.c $(pkg-config --static --cflags --libs tlsloop)
try_it 'pkg-config --static' ./all_static
for way in package package-static; do
  quietly cmake -S install/stranger -B "$way" -DWAY="$way"
  quietly cmake --build "$way"
  try_it "find_package ($way)" "$way/program"
done
for example in /usr/share/doc/libtlsloop-dev/examples/*.c; do
  compile example "$example" -ltlsloop -lpthread
done

# The first server of the manual, as somebody takes it who has nothing else.
zcat /usr/share/man/man7/tlsloop.7.gz | awk '
  /^\.Ed/ && inside { exit }
  inside { gsub(/\\e/, "\\"); print }
  /^\.Bd -literal -offset/ { inside = 1 }' >manual.c
compile manual manual.c -ltlsloop

# An issuer that this machine believes, as an administrator adds one.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=our own issuer' \
  -keyout ca.key -out /usr/local/share/ca-certificates/own.crt 2>/try/log || fail "openssl: $(cat /try/log)"
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout leaf.key -out leaf.csr 2>/try/log
openssl x509 -req -in leaf.csr -CA /usr/local/share/ca-certificates/own.crt -CAkey ca.key -CAcreateserial -days 2 \
  -extfile <(printf 'subjectAltName=DNS:localhost\n') -out leaf.crt 2>/try/log || fail "openssl: $(cat /try/log)"
chmod a+r leaf.key
compile trusting install/trusting.c -ltlsloop
! ./trusting leaf.crt leaf.key 2>/try/log || fail 'an issuer is believed that nobody named'
quietly update-ca-certificates
try_it "the system's trust" ./trusting leaf.crt leaf.key

# The debug symbols are those of the library that is installed.
apt install "./libtlsloop0-dbgsym_${version}_$multiarch.deb"
id=$(readelf --notes "$(echo /usr/lib/*/libtlsloop.so.0)" | sed -n 's/.*Build ID: //p')
[[ -f /usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug ]] || fail "there are no debug symbols for $id"

# Where only the library is installed, a later one comes under programs that were linked before: under one that runs,
# which keeps its connection, and under those that start then.
apt purge libtlsloop-dev libtlsloop0-dbgsym
dpkg-deb --raw-extract "libtlsloop0_${version}_$multiarch.deb" later
sed -i "s/^Version: .*/Version: $version+later/" later/DEBIAN/control
(
  cd later/usr/lib/*/
  mv "libtlsloop.so.$version" "libtlsloop.so.$version+later"
  ln -sf "libtlsloop.so.$version+later" libtlsloop.so.0
)
quietly dpkg-deb --build --root-owner-group later later.deb

TLSLOOP_LOG=info setpriv --reuid=65534 --regid=65534 --clear-groups ./manual 0 >served 2>server.log &
server=$!
port=
until [[ -n $port ]]; do
  kill -0 "$server" || fail "the server of the manual does not run: $(cat server.log)"
  sleep 0.1
  port=$(sed -n 's/.* event=start address=[^ ]*:\([0-9]*\) .*/\1/p' server.log)
done
coproc client { openssl s_client -quiet -connect "localhost:$port" 2>/dev/null; }
to=${client[1]} from=${client[0]}
echoed() { # word
  local answer=
  echo "$1" >&"$to"
  read -r -t 60 answer <&"$from" || true
  [[ $answer == "$1" ]] || fail "$1: the echo is \"$answer\""
}
echoed before
apt install ./later.deb
[[ $(dpkg-query -W -f '${Version}' libtlsloop0) == "$version+later" ]] || fail 'the library was not upgraded'
echoed after
say 'a server keeps its connection while the library is upgraded'
try_it 'after the upgrade' ./plain
kill -INT "$server"
wait "$server" || fail "the server of the manual ended with status $?: $(cat server.log)"
grep -q '^stopped: ' served || fail "the server of the manual says: $(cat served)"

apt purge libtlsloop0
[[ -z $(find /usr /etc -name '*tlsloop*') ]] || fail "something stays behind: $(find /usr /etc -name '*tlsloop*')"

# --- The archives ----------------------------------------------------------------------------------------------------

apt install libssl-dev # was there for the package, and may be gone with it
for archive in ./*.tar.gz; do
  quietly tar -xf "$archive"
  here=$PWD/$(basename "$archive" .tar.gz)
  compile from_archive install/program.c -I"$here/include" -L"$here/lib" -ltlsloop -Wl,-rpath,"$here/lib"
  try_it "$(basename "$here")" ./from_archive
  compile trusting install/trusting.c -I"$here/include" -L"$here/lib" -ltlsloop -Wl,-rpath,"$here/lib"
  try_it "$(basename "$here"), the system's trust" ./trusting leaf.crt leaf.key
  compile beside install/beside.c -I"$here/include" -L"$here/lib" -ltlsloop -lssl -lcrypto -Wl,-rpath,"$here/lib"
  try_it "$(basename "$here")" ./beside
  # Programs that use the system's OpenSSL themselves, in the same process and on the same threads.
  mapfile -t helpers < <(find c -name '*.c' ! -name 'test_*')
  for test in openssl_host client tickets; do
    compile "$test" -std=c11 -DTEST_HOST_DRIVEN -I"$here/include" "c/test_$test.c" "${helpers[@]}" -L"$here/lib" -ltlsloop \
      -lssl -lcrypto -lpthread -Wl,-rpath,"$here/lib"
    quietly "./$test"
    say "$(basename "$here"): $test, a host with the system's OpenSSL"
  done
done
