# shellcheck shell=bash
# Certificates as a careful authority issues them, for clients that look closely. Sourced after common.sh by a script
# that has set "work".
# shellcheck disable=SC2154 # work comes from the script that sources this

quietly() { "$@" 2>"$work/openssl.log" || fail "$* failed: $(cat "$work/openssl.log")"; }

# A key, and a certificate for it, NAME.key and NAME.crt.
issue() { # name, kind of key as openssl genpkey has it, subject, issuer's name, lines of X.509v3
  # shellcheck disable=SC2086 # the kind is several words
  quietly openssl genpkey $2 -out "$work/$1.key"
  printf '%s\n' authorityKeyIdentifier=keyid subjectKeyIdentifier=hash "${@:5}" >"$work/$1.ext"
  quietly openssl req -new -key "$work/$1.key" -subj "$3" -out "$work/$1.csr"
  quietly openssl x509 -req -in "$work/$1.csr" -days 2 -CA "$work/$4.crt" -CAkey "$work/$4.key" -CAcreateserial \
    -extfile "$work/$1.ext" -out "$work/$1.crt"
}

# A root, which clients trust, and one that nobody does.
make_root() { # name, subject
  quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "$2" \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$work/$1.key" -out "$work/$1.crt"
}

ec='-algorithm EC -pkeyopt ec_paramgen_curve:P-256'
rsa='-algorithm RSA -pkeyopt rsa_keygen_bits:2048'

make_authority() {
  make_root root /CN=root
  make_root stranger /CN=stranger
  issue middle "$ec" /CN=middle root 'basicConstraints=critical,CA:TRUE' 'keyUsage=critical,keyCertSign,cRLSign'
  local server=('keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth')
  issue leaf "$ec" /CN=leaf middle "${server[@]}" 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  issue other "$rsa" /CN=other middle "${server[@]}" 'subjectAltName=DNS:other.example'
  issue alice "$ec" /CN=alice root 'keyUsage=critical,digitalSignature' 'extendedKeyUsage=clientAuth'
  issue mallory "$ec" /CN=mallory stranger 'keyUsage=critical,digitalSignature' 'extendedKeyUsage=clientAuth'
  local name
  for name in leaf other; do cat "$work/$name.crt" "$work/middle.crt" >"$work/$name.chain"; done
}

# What the issuer's responder says about a certificate, in DER: NAME.ocsp.
make_response() { # name, issuer's name
  local serial end
  serial=$(openssl x509 -in "$work/$1.crt" -noout -serial | sed 's/.*=//')
  end=$(date -u -d '+2 days' +%y%m%d%H%M%SZ)
  printf 'V\t%s\t\t%s\tunknown\t/CN=%s\n' "$end" "$serial" "$1" >"$work/index"
  quietly openssl ocsp -index "$work/index" -rsigner "$work/$2.crt" -rkey "$work/$2.key" -CA "$work/$2.crt" \
    -issuer "$work/$2.crt" -cert "$work/$1.crt" -ndays 2 -respout "$work/$1.ocsp" >"$work/ocsp.log"
}
