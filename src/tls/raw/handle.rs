//! Owned pointers of OpenSSL's, each with the function that releases it.

use std::ptr::NonNull;

use openssl_sys as ffi;

use super::decl;
use crate::error::{Code, Error, Result};

/// Declares an owner of one C object: made from a pointer, released by `$free` when dropped.
macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $c:ty, $free:path) => {
        $(#[$doc])*
        pub(crate) struct $name {
            ptr: NonNull<$c>,
        }

        impl $name {
            /// Takes over one reference to the object, or gives `None` for NULL.
            ///
            /// # Safety
            /// `ptr` is NULL or a live object of which the caller gives up one reference.
            pub(super) unsafe fn own(ptr: *mut $c) -> Option<$name> {
                NonNull::new(ptr).map(|ptr| $name { ptr })
            }

            /// The object for calls within this door.
            pub(super) fn as_ptr(&self) -> *mut $c {
                self.ptr.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: one reference is owned here, and given back only here.
                unsafe { $free(self.as_ptr()) }
            }
        }

        // SAFETY: the object has no tie to a thread; its reference count is atomic, and it is changed
        // only before it is shared (what OpenSSL caches in it later, it guards by a lock of its own).
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}
    };
}

/// Declares `Clone` as one more reference to the same object.
macro_rules! counted {
    ($name:ident, $up_ref:path) => {
        impl Clone for $name {
            fn clone(&self) -> $name {
                // SAFETY: the object is alive; raising an atomic count cannot fail but by overflow.
                unsafe { $up_ref(self.as_ptr()) };
                $name { ptr: self.ptr }
            }
        }
    };
}

handle!(
    /// One X.509 certificate.
    Cert, ffi::X509, ffi::X509_free
);
counted!(Cert, ffi::X509_up_ref);

impl Cert {
    /// One more reference to a certificate that somebody else owns; `None` for NULL.
    ///
    /// # Safety
    /// `ptr` is NULL or a live certificate.
    pub(super) unsafe fn share(ptr: *mut ffi::X509) -> Option<Cert> {
        // SAFETY: as promised by the caller; the owner's reference is left alone.
        let owner = std::mem::ManuallyDrop::new(unsafe { Cert::own(ptr)? });
        Some(Cert::clone(&owner))
    }
}

handle!(
    /// One private key (with its public half).
    Key, ffi::EVP_PKEY, ffi::EVP_PKEY_free
);
counted!(Key, ffi::EVP_PKEY_up_ref);
handle!(
    /// One certificate revocation list.
    Crl, ffi::X509_CRL, ffi::X509_CRL_free
);
counted!(Crl, ffi::X509_CRL_up_ref);
handle!(
    /// Trust anchors and revocation lists.
    Store, ffi::X509_STORE, ffi::X509_STORE_free
);
handle!(
    /// Bytes in memory, to read from or to write to.
    MemBio, ffi::BIO, ffi::BIO_free_all
);
handle!(
    /// The certificates between a leaf and its root, the leaf's issuer first. Holds a reference to each.
    Chain, ffi::stack_st_X509, free_chain
);
handle!(
    /// One TLS session, to be resumed by a client.
    Session, ffi::SSL_SESSION, ffi::SSL_SESSION_free
);
handle!(
    /// An OCSP response as it came from a file.
    OcspResponse, ffi::OCSP_RESPONSE, ffi::OCSP_RESPONSE_free
);
handle!(
    /// The part of an OCSP response that speaks of certificates.
    OcspBasic, ffi::OCSP_BASICRESP, ffi::OCSP_BASICRESP_free
);

/// # Safety
/// `chain` is an owned stack that holds one reference to each of its certificates.
unsafe fn free_chain(chain: *mut ffi::stack_st_X509) {
    /// # Safety
    /// `cert` is an owned reference to a certificate.
    unsafe extern "C" fn free_one(cert: *mut std::ffi::c_void) {
        // SAFETY: as promised by the caller.
        unsafe { ffi::X509_free(cert.cast()) }
    }
    // SAFETY: as promised by the caller; a typed stack is an OPENSSL_STACK by OpenSSL's own macros.
    unsafe { decl::OPENSSL_sk_pop_free(chain.cast(), Some(free_one)) }
}

impl Chain {
    /// An empty chain.
    pub(crate) fn new() -> Result<Chain> {
        // SAFETY: a new stack, owned by nobody yet.
        unsafe { Chain::own(ffi::OPENSSL_sk_new_null().cast()) }.ok_or_else(|| no_memory("a chain"))
    }

    /// Puts a certificate at the root's end.
    pub(crate) fn push(&mut self, cert: Cert) -> Result<()> {
        // SAFETY: both are alive; the stack takes over the reference, which `forget` gives up.
        let count = unsafe { ffi::OPENSSL_sk_push(self.as_ptr().cast(), cert.as_ptr().cast()) };
        if count < 1 {
            return Err(no_memory("a certificate chain"));
        }
        std::mem::forget(cert);
        Ok(())
    }
}

impl MemBio {
    /// Lets OpenSSL read `bytes`; the object must not outlive them, which [`MemBio::over`] sees to.
    pub(super) fn over<T>(bytes: &[u8], read: impl FnOnce(&MemBio) -> Result<T>) -> Result<T> {
        let len = i32::try_from(bytes.len()).map_err(|_| Error::invalid("more than 2 GiB of PEM"))?;
        // SAFETY: `bytes` outlives the object, which is dropped at the end of this function.
        let bio = unsafe { MemBio::own(decl::BIO_new_mem_buf(bytes.as_ptr().cast(), len)) };
        let bio = bio.ok_or_else(|| no_memory("a memory BIO"))?;
        read(&bio)
    }

    /// Collects what OpenSSL writes.
    pub(super) fn collector() -> Result<MemBio> {
        // SAFETY: a new object over a static method table.
        unsafe { MemBio::own(ffi::BIO_new(ffi::BIO_s_mem())) }.ok_or_else(|| no_memory("a memory BIO"))
    }

    /// A copy of what was written.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut start = std::ptr::null_mut();
        // SAFETY: asks a live memory object for the address of its bytes.
        let len = unsafe { ffi::BIO_get_mem_data(self.as_ptr(), &mut start) };
        match usize::try_from(len) {
            // SAFETY: the object says that `len` bytes lie at `start`; they are copied at once.
            Ok(len) if len > 0 => unsafe { std::slice::from_raw_parts(start.cast(), len) }.to_vec(),
            _ => Vec::new(),
        }
    }
}

/// OpenSSL could not make an object.
pub(super) fn no_memory(what: &str) -> Error {
    Error::new(Code::NoMemory, format!("OpenSSL could not make {what}: {}", super::drain_errors()))
}

/// Bytes that are overwritten before their memory is given back: keys and passwords.
#[derive(Clone)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes over.
    pub(crate) fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // SAFETY: overwrites exactly the bytes that the vector owns.
        unsafe { decl::OPENSSL_cleanse(self.0.as_mut_ptr().cast(), self.0.len()) }
    }
}
