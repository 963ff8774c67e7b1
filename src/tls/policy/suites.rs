//! Lists of suites and groups, checked when they are set: OpenSSL skips an unknown name in silence.

use super::settings::NoHooks;
use crate::error::{Error, Result};
use crate::tls::raw::{Side, SslCtx};

/// A context on which a list is only tried.
fn trial() -> Result<SslCtx> {
    SslCtx::new(Side::Server, Box::new(NoHooks))
}

/// Checks a list of TLS 1.2 in OpenSSL's notation, "ECDHE+AESGCM:!aNULL".
pub(super) fn check_ciphers(list: &str) -> Result<()> {
    let mut ctx = trial()?;
    let refuse = |what: &str| Error::invalid(format!("tls12_list: \"{what}\" is no cipher of TLS 1.2"));
    for word in list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty()) {
        // What removes or moves ciphers may name some that this OpenSSL was built without.
        if !word.starts_with(['!', '-', '+', '@']) {
            ctx.set_cipher_list(word).map_err(|_| refuse(word))?;
        }
    }
    ctx.set_cipher_list(list).map_err(|_| refuse(list))
}

/// Checks a list of TLS 1.3, "TLS_AES_128_GCM_SHA256:…".
pub(super) fn check_suites(list: &str) -> Result<()> {
    let mut ctx = trial()?;
    let refuse = |what: &str| Error::invalid(format!("tls13_suites: \"{what}\" is no suite of TLS 1.3"));
    for suite in list.split(':') {
        let known = suite.starts_with("TLS_") && ctx.set_suites(suite).is_ok() && ctx.offers(suite);
        if !known {
            return Err(refuse(suite));
        }
    }
    ctx.set_suites(list).map_err(|_| refuse(list))
}

/// Checks a list of groups, "X25519:P-256". An empty one stands for OpenSSL's own list in some versions of it.
pub(super) fn check_groups(list: &str) -> Result<()> {
    let known = !list.is_empty() && trial()?.set_groups(list).is_ok();
    if known { Ok(()) } else { Err(Error::invalid(format!("groups: this OpenSSL does not know all of \"{list}\""))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_found_among_known_ones() {
        for good in ["ECDHE+AESGCM", "HIGH:!aNULL:!RC4:@STRENGTH", "ECDHE-RSA-AES128-GCM-SHA256"] {
            assert_eq!(check_ciphers(good), Ok(()), "{good}");
        }
        for bad in ["", "ECDHE+AESGCM:NOSUCH", "NOSUCH", "TLS_AES_128_GCM_SHA256", "!ALL"] {
            assert!(check_ciphers(bad).is_err(), "{bad}");
        }
        for good in ["TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"] {
            assert_eq!(check_suites(good), Ok(()), "{good}");
        }
        let known = "TLS_AES_128_GCM_SHA256";
        for bad in ["", "TLS_NO_SUCH", &format!("{known}:TLS_NO_SUCH"), &format!("{known}:"), "ECDHE"] {
            assert!(check_suites(bad).is_err(), "{bad}");
        }
        assert_eq!(check_groups("X25519:P-256"), Ok(()));
        for bad in ["", "NOSUCH", "X25519:NOSUCH"] {
            let sentence = check_groups(bad).unwrap_err().sentence().to_owned();
            assert!(sentence.contains(bad), "{sentence}");
        }
    }
}
