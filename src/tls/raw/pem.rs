//! Certificates, keys and revocation lists out of PEM text.
//!
//! Invariant: every reader gets a password callback of ours, so that OpenSSL never asks on the
//! terminal (`PEM_read_bio_PrivateKey(3)`: without one it prompts).

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use openssl_sys as ffi;

use super::handle::{Cert, Chain, Crl, Key, MemBio, Secret};
use super::{clear_errors, contain, drain_errors, init};
use crate::error::{Error, Result};

/// The longest password that OpenSSL's PEM reader takes.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// A leaf certificate and what stands between it and its root.
pub(crate) struct CertChain {
    /// The certificate that names the server or client.
    pub(crate) leaf: Cert,
    /// Its issuer, the issuer's issuer, and so on.
    pub(crate) rest: Chain,
}

/// Reads a chain; the first certificate is the leaf. `source` names the text in errors.
pub(crate) fn chain_from_pem(pem: &[u8], source: &str) -> Result<CertChain> {
    let mut certs = certs_from_pem(pem, source)?.into_iter();
    let Some(leaf) = certs.next() else {
        return Err(Error::tls(source, "there is no certificate in it"));
    };
    let mut rest = Chain::new()?;
    certs.try_for_each(|cert| rest.push(cert))?;
    Ok(CertChain { leaf, rest })
}

/// Reads all certificates of `pem`, at least one.
pub(crate) fn certs_from_pem(pem: &[u8], source: &str) -> Result<Vec<Cert>> {
    read_all(pem, source, "certificate", |bio| {
        let none = ptr::null_mut::<c_void>();
        // SAFETY: the memory object is alive, the callback takes no data, the result is ours alone.
        unsafe { Cert::own(ffi::PEM_read_bio_X509(bio, none.cast(), Some(refuse), none)) }
    })
}

/// Reads all revocation lists of `pem`, at least one.
pub(crate) fn crls_from_pem(pem: &[u8], source: &str) -> Result<Vec<Crl>> {
    read_all(pem, source, "certificate revocation list", |bio| {
        let none = ptr::null_mut::<c_void>();
        // SAFETY: the memory object is alive, the callback takes no data, the result is ours alone.
        unsafe { Crl::own(ffi::PEM_read_bio_X509_CRL(bio, none.cast(), Some(refuse), none)) }
    })
}

/// Reads objects until the text holds no more of them; a damaged one is an error, not the end.
fn read_all<T>(pem: &[u8], source: &str, what: &str, read: impl Fn(*mut ffi::BIO) -> Option<T>) -> Result<Vec<T>> {
    init();
    clear_errors();
    MemBio::over(pem, |bio| {
        let mut found = Vec::new();
        while let Some(object) = read(bio.as_ptr()) {
            found.push(object);
        }
        let ended = is_no_start_line() && !breaks_off(pem);
        let words = drain_errors();
        match (ended, found.len()) {
            (true, 0) => Err(Error::tls(source, format!("there is no {what} in it: {words}"))),
            (true, _) => Ok(found),
            (false, n) => Err(Error::tls(source, format!("{what} {} is damaged: {words}", n + 1))),
        }
    })
}

/// Whether the text ends within the line that begins a block: somebody is still writing the file. OpenSSL takes such a
/// line for a comment, and a chain would lose its rest in silence.
fn breaks_off(pem: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let last = pem.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    !last.is_empty() && last.iter().zip(BEGIN).all(|(byte, begin)| byte == begin)
}

/// Whether the newest error says that the text has no further PEM block.
fn is_no_start_line() -> bool {
    // SAFETY: looks at the calling thread's queue.
    let code = unsafe { ffi::ERR_peek_last_error() };
    ffi::ERR_GET_LIB(code) == ffi::ERR_LIB_PEM && ffi::ERR_GET_REASON(code) == ffi::PEM_R_NO_START_LINE
}

/// Reads the first private key of `pem`; `password` opens it if it is encrypted.
pub(crate) fn key_from_pem(pem: &[u8], password: Option<&Secret>, source: &str) -> Result<Key> {
    init();
    clear_errors();
    let mut door = Door { password, asked: false };
    let key = MemBio::over(pem, |bio| {
        let (none, data) = (ptr::null_mut(), ptr::from_mut(&mut door).cast());
        // SAFETY: the memory object is alive, `data` is the `Door` that `open` expects and outlives the
        // call, and the result is ours alone.
        Ok(unsafe { Key::own(ffi::PEM_read_bio_PrivateKey(bio.as_ptr(), none, Some(open), data)) })
    })?;
    let words = drain_errors();
    match (key, door.asked, password) {
        (Some(key), _, _) => Ok(key),
        (None, true, None) => Err(Error::tls(source, format!("the key is encrypted and no password was set: {words}"))),
        (None, true, Some(_)) => Err(Error::tls(source, format!("the password does not open the key: {words}"))),
        (None, false, _) => Err(Error::tls(source, format!("no private key can be read: {words}"))),
    }
}

/// What the password callback of a key is given.
struct Door<'a> {
    password: Option<&'a Secret>,
    asked: bool,
}

/// Hands out the password that the host has set.
///
/// # Safety
/// As OpenSSL promises: `buf` has room for `size` bytes; `data` is the `Door` given to the reader.
unsafe extern "C" fn open(buf: *mut c_char, size: c_int, _: c_int, data: *mut c_void) -> c_int {
    contain(-1, || {
        // SAFETY: `data` is the exclusive borrow of `key_from_pem`, which is suspended in its call.
        let door = unsafe { &mut *data.cast::<Door<'_>>() };
        door.asked = true;
        let Some(password) = door.password.map(Secret::bytes) else { return -1 };
        if usize::try_from(size).is_ok_and(|room| password.len() <= room) {
            // SAFETY: the bytes fit, as just compared, and the two places are distinct objects.
            unsafe { ptr::copy_nonoverlapping(password.as_ptr(), buf.cast(), password.len()) };
            return c_int::try_from(password.len()).unwrap_or(-1);
        }
        -1
    })
}

/// Refuses a password for what should not need one.
///
/// # Safety
/// Touches nothing.
unsafe extern "C" fn refuse(_: *mut c_char, _: c_int, _: c_int, _: *mut c_void) -> c_int {
    -1
}
