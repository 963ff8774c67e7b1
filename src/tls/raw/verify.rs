//! Whom a connection talks to: the name it asks for, and what is found out about the peer.

use std::ffi::{CString, c_int};
use std::net::IpAddr;

use openssl_sys as ffi;

use super::{Ssl, clear_errors, decl, drain_errors};
use crate::error::{Error, Result};

impl Ssl {
    /// This end answers a handshake.
    pub(crate) fn be_server(&mut self) {
        // SAFETY: a live connection before its handshake.
        unsafe { ffi::SSL_set_accept_state(self.as_ptr()) }
    }

    /// This end begins a handshake.
    pub(crate) fn be_client(&mut self) {
        // SAFETY: a live connection before its handshake.
        unsafe { ffi::SSL_set_connect_state(self.as_ptr()) }
    }

    /// Names the host in the ClientHello, so that the server can pick a certificate.
    pub(crate) fn set_sni(&mut self, host: &str) -> Result<()> {
        let text = CString::new(host).map_err(|_| Error::invalid("server_name: a zero byte in it"))?;
        clear_errors();
        // SAFETY: a live connection before its handshake, and a C string that OpenSSL copies.
        let done = unsafe { ffi::SSL_set_tlsext_host_name(self.as_ptr(), text.as_ptr().cast_mut()) };
        if done == 1 { Ok(()) } else { Err(Error::tls(format!("server_name {host}"), drain_errors())) }
    }

    /// The peer's certificate must carry this DNS name.
    pub(crate) fn expect_host(&mut self, host: &str) -> Result<()> {
        clear_errors();
        // SAFETY: a live connection before its handshake, and `host.len()` bytes that OpenSSL copies.
        let done = unsafe {
            let param = ffi::SSL_get0_param(self.as_ptr());
            decl::no_partial_wildcards(param);
            ffi::X509_VERIFY_PARAM_set1_host(param, host.as_ptr().cast(), host.len())
        };
        if done == 1 { Ok(()) } else { Err(Error::tls(format!("server_name {host}"), drain_errors())) }
    }

    /// The peer's certificate must carry this address.
    pub(crate) fn expect_ip(&mut self, ip: IpAddr) -> Result<()> {
        let (four, sixteen);
        let bytes: &[u8] = match ip {
            IpAddr::V4(v4) => {
                four = v4.octets();
                &four
            }
            IpAddr::V6(v6) => {
                sixteen = v6.octets();
                &sixteen
            }
        };
        clear_errors();
        // SAFETY: a live connection before its handshake, and 4 or 16 bytes that OpenSSL copies.
        let done = unsafe {
            let param = ffi::SSL_get0_param(self.as_ptr());
            ffi::X509_VERIFY_PARAM_set1_ip(param, bytes.as_ptr(), bytes.len())
        };
        if done == 1 { Ok(()) } else { Err(Error::tls(format!("server_name {ip}"), drain_errors())) }
    }

    /// The verdict on the peer's certificate so far, one of `X509_V_…`; 0 also where none was asked.
    pub(crate) fn verify_result(&self) -> i32 {
        // SAFETY: a live connection.
        let verdict = unsafe { decl::SSL_get_verify_result(self.as_ptr()) };
        i32::try_from(verdict).unwrap_or(ffi::X509_V_ERR_UNSPECIFIED)
    }
}

/// OpenSSL's words for a verdict, "self-signed certificate".
pub(crate) fn verdict_words(verdict: i32) -> String {
    decl::verdict_words(verdict)
}

/// Overrules OpenSSL where it asks whether the end of the chain was revoked that the host believes by name, though it is no
/// root: who has issued that is nobody's question any more (RFC 5280 6.1), and its issuer's list cannot be checked.
///
/// # Safety
/// Called by OpenSSL in a verification, for what it finds out about one certificate.
pub(super) unsafe extern "C" fn judge(good: c_int, context: *mut ffi::X509_STORE_CTX) -> c_int {
    const ABOUT_ITS_LIST: [c_int; 6] = [
        ffi::X509_V_ERR_UNABLE_TO_GET_CRL,
        ffi::X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,
        ffi::X509_V_ERR_CRL_SIGNATURE_FAILURE,
        ffi::X509_V_ERR_CRL_NOT_YET_VALID,
        ffi::X509_V_ERR_CRL_HAS_EXPIRED,
        ffi::X509_V_ERR_DIFFERENT_CRL_SCOPE,
    ];
    if good == 1 {
        return good;
    }
    // SAFETY: as promised by OpenSSL; chain and certificate belong to the verification. A chain without a root gets this
    // far only if its end is believed.
    unsafe {
        let (chain, cert) = (ffi::X509_STORE_CTX_get0_chain(context), ffi::X509_STORE_CTX_get_current_cert(context));
        let is_end =
            i64::from(ffi::X509_STORE_CTX_get_error_depth(context)) + 1 == ffi::OPENSSL_sk_num(chain.cast()) as i64;
        let is_forgiven = ABOUT_ITS_LIST.contains(&ffi::X509_STORE_CTX_get_error(context))
            && is_end
            && !cert.is_null()
            && ffi::X509_NAME_cmp(ffi::X509_get_subject_name(cert), ffi::X509_get_issuer_name(cert)) != 0;
        if is_forgiven {
            ffi::X509_STORE_CTX_set_error(context, ffi::X509_V_OK);
        }
        c_int::from(is_forgiven)
    }
}
