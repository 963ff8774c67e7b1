//! TLS policy: whom to believe.

use std::ffi::{c_char, c_int, c_void};

use super::guard::guard;
use super::read::{host_bytes, host_optional_path, host_path, host_text};
use super::tls::policy;
use super::types::*;
use crate::error::Error;
use crate::tls::policy::Verify;

/// Believes the certificates of a PEM file, and no others; it replaces what was set before. NULL: those of the system.
///
/// A certificate in it ends a chain whether it is a root or not, so a single server can be trusted by its own certificate.
/// If this is never called, a client believes the system's certificates, and a server none.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that holds no certificate or a
/// damaged one; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `ca_pem` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_trust_file(tls: *mut tlsloop_tls, ca_pem: *const c_char) -> c_int {
    guard("tlsloop_tls_set_trust_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_trust_file(host_optional_path("ca_pem", ca_pem)?) }
    })
}

/// The same from PEM text in memory, of which there must be some.
///
/// Returns as tlsloop_tls_set_trust_file(); TLSLOOP_EINVAL for NULL or a length of 0.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `ca_pem` is NULL or has `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_trust(tls: *mut tlsloop_tls, ca_pem: *const c_void, len: usize) -> c_int {
    guard("tlsloop_tls_set_trust", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_trust(host_bytes("ca_pem", ca_pem, len)?) }
    })
}

/// Refuses peers whose certificate is revoked by the lists of a PEM file; it replaces what was set before.
///
/// Each issuer of a peer's chain must have a list in it, and one that is up to date, else the peer is refused, too.
///
/// Returns as tlsloop_tls_set_trust_file(); TLSLOOP_EINVAL for NULL.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `crl_pem` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_crl_file(tls: *mut tlsloop_tls, crl_pem: *const c_char) -> c_int {
    guard("tlsloop_tls_set_crl_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_crl_file(host_path("crl_pem", crl_pem)?) }
    })
}

/// Says what is asked of the peer's certificate, by one of TLSLOOP_VERIFY_*.
///
/// TLSLOOP_VERIFY_DEFAULT: a server asks for none, a client requires one that is trusted and carries the name it connects
/// to. TLSLOOP_VERIFY_NONE: anybody will do; a client is then open to whoever stands in between, and the `verify_result` of
/// tlsloop_info means something only if a trust was set, NULL for the system's included. TLSLOOP_VERIFY_OPTIONAL, on servers
/// only: a client may come without, but a certificate that it shows must be trusted. TLSLOOP_VERIFY_REQUIRED: no connection
/// without a trusted one.
///
/// The peer's certificates may have 32 KiB in all; more fail the handshake.
///
/// A server that verifies needs a trust to be set, else its start answers TLSLOOP_EINVAL. What one policy lets in is never
/// resumed under another that verifies or trusts differently.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for another number; TLSLOOP_ESTATE if the policy is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_verify(tls: *mut tlsloop_tls, verify: c_int) -> c_int {
    guard("tlsloop_tls_set_verify", || {
        let unknown = || Error::invalid(format!("verify is {verify}, which is none of TLSLOOP_VERIFY_*"));
        let verify = Verify::from_number(verify).ok_or_else(unknown)?;
        // SAFETY: the caller's promise.
        unsafe { policy(tls)?.set_verify(verify) }
    })
}

/// A client with this policy takes the server whose own certificate has this SHA-256, and no other, whatever chain, name and
/// dates it has. Servers do not look at it.
///
/// `sha256_hex` is 64 hexadecimal digits, with or without colons, as `openssl x509 -fingerprint -sha256` and the `sha256`
/// of tlsloop_info tell it.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or another text; TLSLOOP_ESTATE if the policy is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `sha256_hex` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_pin(tls: *mut tlsloop_tls, sha256_hex: *const c_char) -> c_int {
    guard("tlsloop_tls_set_pin", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_pin(host_text("sha256_hex", sha256_hex)?) }
    })
}
