# shellcheck shell=bash
# C programs that stand in texts: the manual, the README, the guides. Sourced after common.sh.

# Compiles every .c file of a directory as a stranger would who copied it from the text, without a warning. A file
# that has a main is linked, too, if there is a library to link it to.
compile_blocks() { # directory, directory of libtlsloop.so or nothing
  local source flags libraries
  for source in "$1"/*.c; do
    [[ -e $source ]] || fail "there is no C in $1"
    flags=(-std=c11 -O1 -Wall -Wextra -Wshadow -Werror -pedantic -Iinclude)
    # shellcheck disable=SC2086 # CC may hold flags, as it may for make
    ${CC:-cc} "${flags[@]}" -c -o "${source%.c}.o" "$source" || fail "${source##*/} does not compile"
    if [[ -n ${2:-} ]] && grep -q "^int main(" "$source" && grep -q "tlsloop.h" "$source"; then
      libraries=(-L"$2" -ltlsloop -lpthread "-Wl,-rpath,$2")
      ! grep -q '^#include <event2/' "$source" || libraries+=(-levent)
      # shellcheck disable=SC2086
      ${CC:-cc} -o "${source%.c}" "${source%.c}.o" "${libraries[@]}" ||
        fail "${source##*/} does not link"
    fi
  done
}
