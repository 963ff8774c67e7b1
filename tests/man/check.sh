#!/usr/bin/env bash
# Holds the manual to the truth: every function, type, member and constant of the header is in it, as the header has it;
# every function's page has all its parts and an example that uses it; every example compiles, and two of them talk to
# each other; references lead somewhere; mandoc and man have no complaint; the log's events are those of the source.
#
#   tests/man/check.sh DIRECTORY      DIRECTORY holds libtlsloop.so
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/c_blocks.sh
source scripts/c_blocks.sh

[[ $# -eq 1 ]] || fail 'usage: tests/man/check.sh DIRECTORY'
library=$(cd "$1" && pwd)
work=$(mktemp -d)
server_pid=
clean_up() {
  [[ -z $server_pid ]] || kill -KILL "$server_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

of() { awk -v want="$2" -f tests/man/mdoc.awk "$1"; }          # page, what
same() { diff -u "$1" "$2" >&2 || fail "$3"; }                 # file, file, words
is_function() { grep -qxF -- "$1" tests/abi/symbols.txt; }     # name

say 'mandoc, man and the pages that are made of them'
# Matters of style, too. Whether a reference leads somewhere, it asks of the pages that this machine has installed: below.
complaints=$(mandoc -T lint docs/man/*.[37] 2>/dev/null | grep -v ': referenced manual not found: ' || true)
[[ -z $complaints ]] || fail "mandoc complains: $complaints"
if man --warnings -w man >/dev/null 2>&1; then
  for page in docs/man/*.[37]; do
    LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" >/dev/null 2>"$work/complaints"
    [[ ! -s $work/complaints ]] || fail "$page: $(cat "$work/complaints")"
  done
fi
bash scripts/man.sh "$work/pages" "$work/html"

say 'Every function has one page'
for page in docs/man/*.3; do of "$page" NAMES; done | sort >"$work/named"
[[ -z $(uniq -d "$work/named") ]] || fail "on several pages: $(uniq -d "$work/named" | tr '\n' ' ')"
# Names of the manual are functions or types of the header, and none is left out.
sed -n 's/^typedef .* \(tlsloop_[a-z_]*\);$/\1/p; s/^} \(tlsloop_[a-z_]*\);$/\1/p' include/tlsloop.h |
  sort -u - tests/abi/symbols.txt >"$work/declared"
same "$work/declared" "$work/named" 'the manual has not the names of the header'
while read -r name; do
  [[ -s $work/pages/$name.3 && -s $work/html/$name.3.html ]] || fail "$name(3) was not made"
done <"$work/named"

say 'Each page has its parts'
parts='NAME SYNOPSIS DESCRIPTION RETURN VALUES OWNERSHIP THREADS EXAMPLES ERRORS SEE ALSO '
for page in docs/man/*.3; do
  [[ $(of "$page" SECTIONS | tr '\n' ' ') == "$parts" ]] || fail "$page has: $(of "$page" SECTIONS | tr '\n' ' ')"
done

say 'Prototypes, members and constants are those of the header'
{
  echo '#include <tlsloop.h>'
  for page in docs/man/*.3; do of "$page" PROTOTYPES; done
} >"$work/prototypes.c"
# shellcheck disable=SC2086 # CC may hold flags, as it may for make
${CC:-cc} -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$work/prototypes.c" || fail 'a SYNOPSIS is not the header'
sed -n 's/^[^(]*[ *]\(tlsloop_[a-z_0-9]*\)(.*/\1/p' "$work/prototypes.c" | sort >"$work/in_synopsis"
same tests/abi/symbols.txt "$work/in_synopsis" 'a function is in no SYNOPSIS'

members_of() { # struct
  sed -n "/^typedef struct $1 {/,/^} $1;/p" include/tlsloop.h | sed -n 's/struct //; s/^    \([a-z].*;\)$/\1/p'
}
for page in docs/man/*.3; do
  for name in $(of "$page" NAMES); do
    members_of "$name"
  done >"$work/members"
  of "$page" MEMBERS >"$work/told"
  same "$work/members" "$work/told" "$page has not the members of its struct"
done

for page in docs/man/*.[37]; do of "$page" CONSTANTS; done | sort -u >"$work/told"
sed -n 's/^#define \(TLSLOOP_[A-Z0-9_]*\) .*/\1/p' include/tlsloop.h | sort -u >"$work/constants"
same "$work/constants" "$work/told" 'the manual has not the constants of the header'
grep -ohE '^\.Dv [^"]*' docs/man/*.[37] | grep -oE 'TLSLOOP_[A-Z0-9_]+$|TLSLOOP_[A-Z0-9_]+ ' | tr -d ' ' | sort -u >"$work/spoken"
unknown=$(comm -23 "$work/spoken" "$work/constants" | grep -v '_$' || true)
[[ -z $unknown ]] || fail "the header does not have: $unknown"

say 'References lead somewhere'
for page in docs/man/*.[37]; do
  for reference in $(of "$page" REFERENCES | grep '^tlsloop' | sort -u); do
    [[ -e $work/pages/$reference ]] || fail "$page refers to $reference"
  done
done
of docs/man/tlsloop.7 REFERENCES >"$work/tour"
for page in docs/man/*.[37]; do
  [[ $page == docs/man/tlsloop.7 ]] || grep -qxF "${page##*/}" "$work/tour" ||
    fail "tlsloop(7) does not lead to ${page##*/}"
done

! grep -lE 'href="https?://[^"]*tlsloop' "$work"/html/*.html >&2 || fail 'these lead to our pages somewhere else'
grep -ohE 'href="[^"#]+' "$work"/html/*.html | sed 's/^href="//' | sort -u | grep -vE '^https?:' >"$work/leads"
grep -qx 'tlsloop.7.html' "$work/leads" || fail 'no HTML page leads to tlsloop(7)'
while read -r link; do
  [[ -e $work/html/$link ]] || fail "the HTML pages lead to $link, which is not there"
done <"$work/leads"

say 'Every example compiles, and every function has one'
mkdir "$work/examples"
for page in docs/man/*.[37]; do
  awk -v want=EXAMPLES -v dir="$work/examples" -v page="${page##*/}" -f tests/man/mdoc.awk "$page"
done
compile_blocks "$work/examples" "$library"
for page in docs/man/*.3; do
  for name in $(of "$page" NAMES); do
    is_function "$name" || continue
    grep -q "\b$name(" "$work/examples/${page##*/}".*.c || fail "$page has no example with $name"
  done
done

say 'Events of the log are those of the source'
grep -rhoE '(Line::of|\.line)\("[a-z_]+"|log_up\(shard, key, "[a-z_]+"|"(disconnect|handshake_failed)"' src --include=*.rs --exclude=log.rs |
  sed 's/.*"\([a-z_]*\)".*/\1/' | sort -u >"$work/events"
of docs/man/tlsloop-log.7 EVENTS | sort -u >"$work/told"
same "$work/events" "$work/told" 'tlsloop-log(7) has not the events of the source'

say 'The server of tlsloop(7) and the client of tlsloop_client_connect(3) understand each other'
: >"$work/server.log"
TLSLOOP_LOG=info "$work/examples/tlsloop.7.1" 0 >"$work/server.out" 2>"$work/server.log" &
server_pid=$!
port_of() { sed -n 's/.* event=start address=[^ ]*:\([0-9]*\) .*/\1/p' "$work/server.log"; }
has_port() { [[ -n $(port_of) ]]; }
eventually has_port || fail "the server did not start: $(cat "$work/server.log")"
port=$(port_of)
openssl s_client -connect "localhost:$port" </dev/null 2>/dev/null | openssl x509 >"$work/server.crt"
answer=$("$work/examples/tlsloop_client_connect.3.1" localhost "$port" "$work/server.crt")
[[ $answer == hello ]] || fail "the client got: $answer"
kill -INT "$server_pid"
wait "$server_pid" || fail "the server ended with status $?"
server_pid=
grep -q ': TLSv1' "$work/server.out" || fail "the server said: $(cat "$work/server.out")"

say 'The manual is as it should be.'
