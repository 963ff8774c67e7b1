//! TLS policy: certificates, trust, verification.

use std::ffi::{c_char, c_int};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use super::guard::{guard, guard_ptr, guard_void};
use super::read::{host_optional_path, host_path, host_text};
use super::types::*;
use crate::error::{Error, Result};
use crate::tls::policy::{Policy, Verify};

/// The policy behind a handle; the handle keeps its reference.
///
/// # Safety
/// `tls` is NULL or came from `tlsloop_tls_new` and was not freed.
pub(crate) unsafe fn policy(tls: *const tlsloop_tls) -> Result<ManuallyDrop<Arc<Policy>>> {
    if tls.is_null() {
        return Err(Error::invalid("tls is NULL"));
    }
    // SAFETY: the caller's promise; the reference that the handle holds is not given up.
    Ok(ManuallyDrop::new(unsafe { Arc::from_raw(tls.cast::<Policy>()) }))
}

/// Makes a policy with the defaults.
#[unsafe(no_mangle)]
pub extern "C" fn tlsloop_tls_new() -> *mut tlsloop_tls {
    guard_ptr("tlsloop_tls_new", || Ok(Arc::into_raw(Arc::new(Policy::new())).cast_mut().cast()))
}

/// Frees a policy.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_free(tls: *mut tlsloop_tls) {
    guard_void("tlsloop_tls_free", || {
        if !tls.is_null() {
            // SAFETY: the caller gives up the handle's reference.
            drop(unsafe { Arc::from_raw(tls.cast::<Policy>()) });
        }
        Ok(())
    });
}

/// Adds a certificate with its chain and key.
///
/// # Safety
/// As the header says.
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

/// Adds a self-signed certificate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_add_self_signed(tls: *mut tlsloop_tls, names: *const c_char) -> c_int {
    guard("tlsloop_tls_add_self_signed", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.add_self_signed(host_text("names", names)?) }
    })
}

/// Sets whom to trust.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_trust_file(tls: *mut tlsloop_tls, ca_pem: *const c_char) -> c_int {
    guard("tlsloop_tls_set_trust_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_trust_file(host_optional_path("ca_pem", ca_pem)?) }
    })
}

/// Sets what is verified.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_verify(tls: *mut tlsloop_tls, verify: c_int) -> c_int {
    guard("tlsloop_tls_set_verify", || {
        let wanted = Verify::from_number(verify).ok_or_else(|| Error::invalid(format!("verify is {verify}")))?;
        // SAFETY: the caller's promise.
        unsafe { policy(tls)?.set_verify(wanted) }
    })
}

/// Pins the server's certificate.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_pin(tls: *mut tlsloop_tls, sha256_hex: *const c_char) -> c_int {
    guard("tlsloop_tls_set_pin", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_pin(host_text("sha256_hex", sha256_hex)?) }
    })
}
