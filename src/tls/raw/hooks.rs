//! Where OpenSSL calls back: one trait per context, and the functions that OpenSSL is given for it.
//!
//! The implementor lives as long as the `SSL_CTX`, in whose extra data it is kept, hence longer than
//! every connection. A panic inside is caught here and answered by a refusal, for unwinding through C
//! is undefined.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::OnceLock;

use openssl_sys as ffi;

use super::handle::Cert;
use super::{contain, decl};

/// What a context is asked while a handshake runs. Several threads may ask at once.
pub(crate) trait Hooks: Send + Sync {
    /// Whether a client takes the server's leaf certificate with this SHA-256, whatever else it says.
    fn accepts_leaf(&self, _sha256: &[u8; 32]) -> bool {
        false
    }
}

/// The place of the hooks among the extra data of every `SSL_CTX`; negative if OpenSSL has none left.
fn index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    *INDEX.get_or_init(|| {
        super::init();
        // SAFETY: registers a function that lives as long as the process (the library stays mapped).
        unsafe { ffi::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), None, None, Some(free_hooks)) }
    })
}

/// Hands the hooks over to the context.
///
/// # Safety
/// `ctx` is a live context, not shared yet, that has no hooks.
pub(super) unsafe fn attach(ctx: *mut ffi::SSL_CTX, hooks: Box<dyn Hooks>) -> bool {
    // A pointer to a trait object is two words; extra data holds one.
    let boxed = Box::into_raw(Box::new(hooks));
    // SAFETY: as promised by the caller; on success `free_hooks` owns the box.
    let kept = unsafe { ffi::SSL_CTX_set_ex_data(ctx, index(), boxed.cast()) } == 1;
    if !kept {
        // SAFETY: nobody has taken it over.
        drop(unsafe { Box::from_raw(boxed) });
    }
    kept
}

/// The hooks of the context that a connection was made from.
///
/// # Safety
/// `ssl` is a live connection; the result is not used after it.
pub(super) unsafe fn of<'a>(ssl: *const ffi::SSL) -> Option<&'a dyn Hooks> {
    // SAFETY: a connection holds a reference to its context, which owns the hooks; what lies at our
    // index was put there by `attach`.
    unsafe {
        let ctx = ffi::SSL_get_SSL_CTX(ssl);
        let boxed = ffi::SSL_CTX_get_ex_data(ctx, index()).cast::<Box<dyn Hooks>>();
        boxed.as_ref().map(|hooks| &**hooks)
    }
}

/// # Safety
/// Called by OpenSSL when a context is freed, with what `attach` left at our index, or NULL.
unsafe extern "C" fn free_hooks(
    _: *mut c_void,
    boxed: *mut c_void,
    _: *mut ffi::CRYPTO_EX_DATA,
    _: c_int,
    _: c_long,
    _: *mut c_void,
) {
    if !boxed.is_null() {
        // SAFETY: made by `attach`, and OpenSSL calls this once.
        contain((), || drop(unsafe { Box::from_raw(boxed.cast::<Box<dyn Hooks>>()) }));
    }
}

/// Decides about the peer's certificate by its digest alone.
///
/// # Safety
/// Called by OpenSSL in a handshake, with a live verification context.
pub(super) unsafe extern "C" fn verify_by_pin(ctx: *mut ffi::X509_STORE_CTX, _: *mut c_void) -> c_int {
    contain(0, || {
        // SAFETY: the context belongs to the handshake of a live connection (SSL_CTX_set_cert_verify_
        // callback(3)), which owns the leaf.
        let accepted = unsafe {
            let place = ffi::SSL_get_ex_data_X509_STORE_CTX_idx();
            let ssl = ffi::X509_STORE_CTX_get_ex_data(ctx, place).cast::<ffi::SSL>();
            let leaf = decl::X509_STORE_CTX_get0_cert(ctx);
            let digest = Cert::share(leaf).and_then(|leaf| leaf.sha256());
            match digest {
                Some(digest) if !ssl.is_null() => of(ssl).is_some_and(|hooks| hooks.accepts_leaf(&digest)),
                _ => false,
            }
        };
        let verdict = if accepted { ffi::X509_V_OK } else { ffi::X509_V_ERR_CERT_REJECTED };
        // SAFETY: the live context of this call.
        unsafe { ffi::X509_STORE_CTX_set_error(ctx, verdict) };
        c_int::from(accepted)
    })
}
