//! TLS policy: its handle, and the certificates in it.

use std::ffi::{c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;

use super::guard::{guard, guard_ptr, guard_void, visiting};
use super::read::{host_bytes, host_optional_secret, host_path, host_text};
use super::types::*;
use crate::error::{Error, Result};
use crate::exit;
use crate::tls::policy::Policy;

/// The policy behind a handle; the handle keeps its reference.
///
/// # Safety
/// `tls` is NULL or came from `tlsloop_tls_new` and was not freed.
pub(crate) unsafe fn policy(tls: *const tlsloop_tls) -> Result<Held> {
    if tls.is_null() {
        return Err(Error::invalid("tls is NULL"));
    }
    let visit = exit::visit()?;
    // SAFETY: the caller's promise; the reference that the handle holds is not given up.
    Ok(Held { policy: ManuallyDrop::new(unsafe { Arc::from_raw(tls.cast::<Policy>()) }), _visit: visit })
}

/// A policy in use by a call, which may use OpenSSL for as long as it has it.
pub(crate) struct Held {
    policy: ManuallyDrop<Arc<Policy>>,
    _visit: exit::Visit,
}

impl Deref for Held {
    type Target = Arc<Policy>;

    fn deref(&self) -> &Arc<Policy> {
        &self.policy
    }
}

/// Makes a policy: no certificate, and good defaults for everything else.
///
/// Defaults: TLS 1.2 and 1.3; suites with forward secrecy and authenticated encryption; the server's order decides; one
/// stateless ticket per handshake, under random keys that are replaced in time; no renegotiation, no compression, no early
/// data. A server asks clients for no certificate; a client verifies the server against the system's trust.
///
/// Servers and clients are given it in their configs; the first of them to use it freezes it: every function that would
/// change it then answers TLSLOOP_ESTATE. To change something, make a new one and hand it to tlsloop_server_set_tls(). Any
/// thread may use any policy. All functions that change one leave it as it was if they fail.
///
/// Returns the policy, which the host frees by tlsloop_tls_free(); NULL only in a forked child, and in
/// an exit handler that was registered before the first call of tlsloop.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_tls_new() -> *mut tlsloop_tls {
    guard_ptr("tlsloop_tls_new", visiting(|| Ok(Arc::into_raw(Arc::new(Policy::new())).cast_mut().cast())))
}

/// Gives up the host's reference. Servers, clients and connections that use the policy keep their own, so it may be freed
/// as soon as they were started. NULL: nothing happens. Not to be used afterwards, nor freed twice.
///
/// # Safety
/// `tls` is NULL or came from `tlsloop_tls_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_free(tls: *mut tlsloop_tls) {
    guard_void(
        "tlsloop_tls_free",
        visiting(|| {
            if !tls.is_null() {
                // SAFETY: the caller gives up the handle's reference.
                drop(unsafe { Arc::from_raw(tls.cast::<Policy>()) });
            }
            Ok(())
        }),
    );
}

/// Sets the password that opens encrypted keys. It counts for keys that are added after this call; NULL: there is none.
///
/// The text is copied, and overwritten before its memory is given back. tlsloop never asks on the terminal: an encrypted key
/// without a password is an error.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for more than 1024 bytes; TLSLOOP_ESTATE if the policy is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `password` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_key_password(tls: *mut tlsloop_tls, password: *const c_char) -> c_int {
    guard("tlsloop_tls_set_key_password", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_key_password(host_optional_secret(password)) }
    })
}

/// Adds a certificate from two files in PEM, which may be the same one: `chain_pem` with the certificate first and then its
/// issuers up to, but not necessarily with, the root; `key_pem` with its private key (RSA of 2048 bits or more, ECDSA,
/// Ed25519).
///
/// A server that has several picks one by the name that a client asks for, from the names that the certificates carry
/// themselves: an exact name before a wildcard, ECDSA before RSA where the client takes both. If no name fits, or none is
/// asked for, it is the first that was added. A client shows its certificate to a server that asks for one.
///
/// A certificate that has expired is taken; each tlsloop_server_start() and tlsloop_server_set_tls() that uses it logs a
/// warning.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that holds no certificate or no key,
/// is damaged, is encrypted and not opened by the password, or for a key that does not belong to the certificate;
/// TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; the paths are NULL or C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_add_certificate_file(
    tls: *mut tlsloop_tls,
    chain_pem: *const c_char,
    key_pem: *const c_char,
) -> c_int {
    guard("tlsloop_tls_add_certificate_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.add_certificate_file(host_path("chain_pem", chain_pem)?, host_path("key_pem", key_pem)?) }
    })
}

/// The same from PEM text in memory. It needs no zero at its end, and the host may overwrite it when the call returns.
///
/// Returns as tlsloop_tls_add_certificate_file().
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `chain` and `key` are NULL or have as many readable bytes as their length says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_add_certificate(
    tls: *mut tlsloop_tls,
    chain: *const c_void,
    chain_len: usize,
    key: *const c_void,
    key_len: usize,
) -> c_int {
    guard("tlsloop_tls_add_certificate", || {
        // SAFETY: the caller's promises.
        unsafe {
            policy(tls)?.add_certificate(host_bytes("chain", chain, chain_len)?, host_bytes("key", key, key_len)?)
        }
    })
}

/// Makes a certificate for `names`, host names and addresses as in "localhost,127.0.0.1,*.dev.test", and adds it. It
/// lives in memory only, is valid for 30 days, and nobody vouches for it: for first runs and tests.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or for what is neither a host name nor an address; TLSLOOP_ETLS;
/// TLSLOOP_ESTATE if the policy is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `names` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_add_self_signed(tls: *mut tlsloop_tls, names: *const c_char) -> c_int {
    guard("tlsloop_tls_add_self_signed", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.add_self_signed(host_text("names", names)?) }
    })
}

/// Sends an OCSP response, a file in DER as the certificate's issuer gives it, to clients that ask for one with the
/// certificate that was added last. Once it is out of date it is no longer sent, and using the policy logs a warning.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_ETLS for one that is no successful response or
/// speaks of another certificate; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if no certificate was added, or the policy is in
/// use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `der` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_ocsp_file(tls: *mut tlsloop_tls, der: *const c_char) -> c_int {
    guard("tlsloop_tls_set_ocsp_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_ocsp_file(host_path("der", der)?) }
    })
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
