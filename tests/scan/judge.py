#!/usr/bin/env python3
"""Reads what the scanners have found, and fails where it is ours and above "low".

    judge.py testssl NAME FILE      the flat JSON of testssl.sh
    judge.py sslyze NAME FILE       the JSON of sslyze

A scan that has left something out is no scan: the checks that must be there are named, and so is every finding that is
not ours, with its reason.
"""

import json
import re
import sys

# --- testssl.sh ------------------------------------------------------------------------------------------------------

# It says WARN where a check could not be made, FATAL where the scan could not.
GRAVE = ("MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")

# What 3.0 and later versions report under the same names; each "OK", or the words behind it.
MUST_BE_WELL = {
    "SSLv2": "", "SSLv3": "", "TLS1": "not offered", "TLS1_1": "not offered", "TLS1_2": "", "TLS1_3": "",
    "cipherlist_NULL": "", "cipherlist_aNULL": "", "cipherlist_EXPORT": "", "cipherlist_LOW": "",
    "cipherlist_3DES_IDEA": "not offered", "cipher_order": "",
    "cert_signatureAlgorithm": "", "cert_trust": "", "cert_chain_of_trust": "",
    "heartbleed": "", "CCS": "", "ROBOT": "", "secure_renego": "", "secure_client_renego": "", "CRIME_TLS": "",
    "POODLE_SSL": "", "fallback_SCSV": "", "SWEET32": "", "FREAK": "", "DROWN": "", "LOGJAM": "", "BEAST": "",
    "LUCKY13": "", "RC4": "",
}  # fmt: skip

NOT_OURS = (
    ("cert_revocation", "Neither CRL nor OCSP URI provided",
     "the certificates are made for this run; a public authority's name where they can be asked for"),
    ("sessionresumption_ticket", "connect problem",
     "its client leaves before the ticket of TLS 1.3 has come; sslyze and the balancer test resume"),
)  # fmt: skip


def excuse(finding):
    """Why a finding is not ours; None: it is."""
    for name, words, reason in NOT_OURS:
        if finding["id"] == name and words in finding["finding"]:
            return reason
    return None


def judge_testssl(found):
    """The findings that are ours, and what is to be told of the others."""
    ours, told = [], []
    for finding in found:
        line = "{severity} {id}: {finding}".format(**finding)
        reason = excuse(finding)
        if finding["severity"] == "LOW":
            told.append(line)
        elif finding["severity"] in GRAVE and reason is None:
            ours.append(line)
        elif finding["severity"] in GRAVE:
            told.append(f"{line}\n      not ours: {reason}")
    by_name = {finding["id"].split()[0]: finding for finding in found}
    for name, words in MUST_BE_WELL.items():
        finding = by_name.get(name)
        if finding is None:
            ours.append(f"{name}: not looked at")
        elif finding["severity"] != "OK" and not (words and words in finding["finding"]):
            ours.append("{id}: not well, but {severity}: {finding}".format(**finding))
    if "scanTime" not in by_name:
        ours.append("the scan has not come to its end")
    return ours, told


# --- sslyze ----------------------------------------------------------------------------------------------------------

# It names facts and no severities: what each of them has to be.
FACTS = {
    "ssl_2_0_cipher_suites": {"accepted_cipher_suites": []},
    "ssl_3_0_cipher_suites": {"accepted_cipher_suites": []},
    "tls_1_0_cipher_suites": {"accepted_cipher_suites": []},
    "tls_1_1_cipher_suites": {"accepted_cipher_suites": []},
    "tls_1_2_cipher_suites": {"is_tls_version_supported": True},
    "tls_1_3_cipher_suites": {"is_tls_version_supported": True},
    "tls_compression": {"supports_compression": False},
    "tls_1_3_early_data": {"supports_early_data": False},
    "openssl_ccs_injection": {"is_vulnerable_to_ccs_injection": False},
    "heartbleed": {"is_vulnerable_to_heartbleed": False},
    "robot": {"robot_result": "NOT_VULNERABLE_RSA_NOT_SUPPORTED"},
    "tls_fallback_scsv": {"supports_fallback_scsv": True},
    "tls_extended_master_secret": {"supports_ems_extension": True},
    "session_renegotiation": {
        "supports_secure_renegotiation": True,
        "is_vulnerable_to_client_renegotiation_dos": False,
    },
    "session_resumption": {"tls_ticket_resumption_result": "FULLY_SUPPORTED"},
    "elliptic_curves": {"supports_ecdh_key_exchange": True},
}

DEPLOYMENT = {
    "received_chain_contains_anchor_certificate": False,
    "received_chain_has_valid_order": True,
    "verified_chain_has_sha1_signature": False,
    "verified_chain_has_legacy_symantec_anchor": False,
}

OWN_STORE = "Supplied CA file"

# Forward secrecy, and encryption that authenticates; the kind of key is the certificate's.
SUITES = re.compile(r"TLS_(ECDHE_(ECDSA|RSA)_WITH_)?(AES_(128|256)_GCM|CHACHA20_POLY1305)_SHA(256|384)")


def differences(where, expected, actual):
    """One line for each fact that is not as it has to be."""
    for name, value in expected.items():
        if actual.get(name, "not looked at") != value:
            yield f"{where}: {name} is {actual.get(name, 'not looked at')!r:.200}, not {value!r}"


def judge_certificates(deployments):
    """The same as judge_testssl does, of what sslyze says about certificates."""
    ours, told = [], []
    for deployment in deployments:
        ours.extend(differences("certificate", DEPLOYMENT, deployment))
        if len(deployment["received_certificate_chain"]) != 2:
            ours.append("certificate: not sent with its intermediate one and nothing else")
        results = deployment["path_validation_results"]
        trusted = {result["trust_store"]["name"]: result["was_validation_successful"] for result in results}
        if not trusted.pop(OWN_STORE, False):
            ours.append("certificate: its own authority, which the scanner was given, does not make it trusted")
        strangers = ", ".join(sorted(trusted))
        told.append(f"certificate not trusted by {strangers}\n      not ours: its authority is made for this run")
        if deployment["leaf_certificate_signed_certificate_timestamps_count"] == 0:
            told.append("no Certificate Transparency\n      not ours: what a public authority adds to its certificates")
        if deployment["ocsp_response"] is None:
            told.append("no OCSP staple\n      not ours: its authority, made for this run, has no responder")
    if not deployments:
        ours.append("certificate: none was looked at")
    return ours, told


def judge_sslyze(document):
    """The same as judge_testssl does; sslyze leaves the server out of its results where it cannot reach it."""
    servers = document["server_scan_results"]
    if len(servers) != 1 or servers[0]["scan_status"] != "COMPLETED":
        return ["the server was not scanned"], []
    results = servers[0]["scan_result"]
    scanned = {name: result["result"] or {} for name, result in results.items() if result["status"] == "COMPLETED"}
    ours = [
        f"{name}: {result['status']} {result['error_reason'] or ''}"
        for name, result in results.items()
        if name in FACTS and name not in scanned
    ]
    for name, expected in FACTS.items():
        ours.extend(differences(name, expected, scanned.get(name, {})))
    for version in ("tls_1_2_cipher_suites", "tls_1_3_cipher_suites"):
        accepted = scanned.get(version, {}).get("accepted_cipher_suites", [])
        names = [suite["cipher_suite"]["name"] for suite in accepted]
        ours.extend(f"{version}: {name} is accepted" for name in names if not SUITES.fullmatch(name))
    in_certificates, told = judge_certificates(scanned.get("certificate_info", {}).get("certificate_deployments", []))
    return ours + in_certificates, told


# --- The verdict -----------------------------------------------------------------------------------------------------


def main():
    judges = {"testssl": judge_testssl, "sslyze": judge_sslyze}
    if len(sys.argv) != 4 or sys.argv[1] not in judges:
        sys.exit(__doc__)
    scanner, name, path = sys.argv[1:]
    try:
        with open(path, encoding="utf-8") as file:
            ours, told = judges[scanner](json.load(file))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{scanner}, {name}: its findings cannot be read: {error!r}")
    print(f"{scanner}, {name}: {len(ours)} findings that are ours")
    for line in told:
        print(f"    {line}")
    for line in ours:
        print(f"  FOUND {line}")
    sys.exit(1 if ours else 0)


if __name__ == "__main__":
    main()
