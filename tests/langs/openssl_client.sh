# shellcheck shell=bash
# OpenSSL's own client, as the checks of this directory and of tests/activation use it. Sourced after common.sh by a
# script that has set "work", a directory for the run, and "target", the options that say whom to connect to; on failure
# it calls "said" for the server's last words.
# shellcheck disable=SC2154 # work and target come from the script that sources this

declare -A feed

# A client that sends what is written to ${feed[name]} until that is closed. What it receives is its standard output.
connect() { # name, options of s_client
  local name=$1 fd
  exec {fd}> >(exec openssl s_client -quiet -no_ign_eof -nocommands "${target[@]}" "${@:2}" 2>"$work/$name.log")
  feed[$name]=$fd
}

is_back() { cmp -s "$1" "$work/$2.back"; }
echoed() { # name, file
  cat "$2" >&"${feed[$1]}"
  eventually is_back "$2" "$1" || fail "$2 did not come back to $1 as it was: $(cat "$work/$1.log"; said)"
}

leave() { # name
  local fd=${feed[$1]}
  exec {fd}>&-
  unset "feed[$1]"
}
