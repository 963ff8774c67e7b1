//! TLS policy: versions, suites, protocols, tickets.

use std::ffi::{c_char, c_int};

use super::guard::guard;
use super::read::{host_optional_text, host_path, host_paths, host_text};
use super::tls::policy;
use super::types::*;
use crate::error::{Error, Result};
use crate::tls::policy::Version;

fn version(name: &str, number: c_int) -> Result<Version> {
    let unknown = || Error::invalid(format!("{name} is {number:#x}, neither TLSLOOP_TLS1_2 nor TLSLOOP_TLS1_3"));
    Version::from_number(number).ok_or_else(unknown)
}

/// Sets the oldest and the newest version, TLSLOOP_TLS1_2 or TLSLOOP_TLS1_3 each. Older ones cannot be had.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for another number, or if `min` is newer than `max`; TLSLOOP_ESTATE if the policy is in
/// use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_versions(tls: *mut tlsloop_tls, min: c_int, max: c_int) -> c_int {
    guard("tlsloop_tls_set_versions", || {
        let (min, max) = (version("min", min)?, version("max", max)?);
        // SAFETY: the caller's promise.
        unsafe { policy(tls)?.set_versions(min, max) }
    })
}

/// Sets the suites of TLS 1.2 ("ECDHE+AESGCM", ciphers(1)) and of TLS 1.3 ("TLS_AES_256_GCM_SHA384:..."), the preferred first.
/// NULL: as they are. The defaults need no change for security.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL if a list names one that this OpenSSL does not know, or leaves none;
/// TLSLOOP_ESTATE if the policy is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; the lists are NULL or C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_ciphers(
    tls: *mut tlsloop_tls,
    tls12_list: *const c_char,
    tls13_suites: *const c_char,
) -> c_int {
    guard("tlsloop_tls_set_ciphers", || {
        // SAFETY: the caller's promises.
        unsafe {
            let tls12 = host_optional_text("tls12_list", tls12_list)?;
            policy(tls)?.set_ciphers(tls12, host_optional_text("tls13_suites", tls13_suites)?)
        }
    })
}

/// Sets the groups of the key exchange, the preferred first, as in "X25519:P-256". The default begins with
/// X25519MLKEM768, which a quantum computer does not break, where OpenSSL has it (3.5). TLS 1.2 takes certificates only on a
/// curve of this list (RFC 8422, 5.1.1); P-521 is not in the default.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL or for a group that this OpenSSL does not know; TLSLOOP_ESTATE if the policy is
/// in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `groups` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_groups(tls: *mut tlsloop_tls, groups: *const c_char) -> c_int {
    guard("tlsloop_tls_set_groups", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_groups(host_text("groups", groups)?) }
    })
}

/// Sets the application protocols of ALPN, as in "h2,http/1.1", the preferred first: a server picks the first of its own
/// list that the client offers, too. tlsloop_info tells which it was.
///
/// `required` 0: a connection without a common protocol goes on without one. Else it is refused, by a server with the alert
/// no_application_protocol.
///
/// Returns TLSLOOP_OK; TLSLOOP_EINVAL for NULL, or for a name of 0 or more than 255 bytes; TLSLOOP_ESTATE if the policy is in
/// use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `comma_separated` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_alpn(
    tls: *mut tlsloop_tls,
    comma_separated: *const c_char,
    required: c_int,
) -> c_int {
    guard("tlsloop_tls_set_alpn", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_alpn(host_text("comma_separated", comma_separated)?, required != 0) }
    })
}

/// Takes the keys of session tickets from files, so that other processes with the same files can resume the sessions of this
/// one, and this one after a restart.
///
/// A file is raw: 48 bytes (name 16, AES 16, HMAC 16) or 80 bytes (name 16, HMAC 32, AES 32), as nginx has them; make one by
/// `openssl rand 80`. All have the same size. The first encrypts; all decrypt, and a ticket of an older key is renewed under
/// the first. To rotate, put a new file in front, drop the oldest, and hand a new policy to tlsloop_server_set_tls(): about
/// once a day, for whoever has the keys can read recorded connections of TLS 1.2.
///
/// Without this, each policy has random keys, which are gone with it. It replaces them by itself: one encrypts for twelve
/// hours and decrypts for a day.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be read; TLSLOOP_EINVAL for a wrong size, mixed sizes, NULL or no
/// file; TLSLOOP_ESTATE if the policy is in use. tlsloop_last_error() names the file.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `paths` is NULL or has `n` pointers, each NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_ticket_key_files(
    tls: *mut tlsloop_tls,
    paths: *const *const c_char,
    n: usize,
) -> c_int {
    guard("tlsloop_tls_set_ticket_key_files", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_ticket_key_files(&host_paths("paths", paths, n)?) }
    })
}

/// Appends the secrets of all connections to a file, in the format that Wireshark reads. Whoever has the file can read the
/// connections: for debugging only. It is opened by this call, and made for its owner alone if it is not there.
///
/// Returns TLSLOOP_OK; TLSLOOP_ESYS for a file that cannot be opened; TLSLOOP_EINVAL for NULL; TLSLOOP_ESTATE if the policy
/// is in use.
///
/// # Safety
/// `tls` as for `tlsloop_tls_free`; `path` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tlsloop_tls_set_keylog_file(tls: *mut tlsloop_tls, path: *const c_char) -> c_int {
    guard("tlsloop_tls_set_keylog_file", || {
        // SAFETY: the caller's promises.
        unsafe { policy(tls)?.set_keylog_file(host_path("path", path)?) }
    })
}
