//! Which certificates a client can take: AWS-LC is asked for the parts, and the whole is put together here.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use openssl_sys as ffi;

use crate::tls::raw::{hello, x509::KeyKind};

/// SSL_check_chain(3): the peer takes signature and parameters of the certificate.
const CERT_PKEY_VALID: c_int = 0x1;

/// Signatures by the numbers of RFC 8446 4.2.3: of RSA by PKCS #1, which TLS 1.2 alone takes, and by PSS.
const RSA_PKCS1: [u16; 3] = [0x0401, 0x0501, 0x0601];
const RSA_PSS: [u16; 3] = [0x0804, 0x0805, 0x0806];
/// The same of elliptic curves. TLS 1.3 ties each to its curve.
const ECDSA: [(c_int, u16, u16); 3] =
    [(ffi::NID_X9_62_prime256v1, 0x0403, 23), (ffi::NID_secp384r1, 0x0503, 24), (ffi::NID_secp521r1, 0x0603, 25)];
const ED25519: u16 = 0x0807;

type CertCb = unsafe extern "C" fn(*mut ffi::SSL, *mut c_void) -> c_int;

/// What of the ClientHello is out of reach at the time of the callback was kept by [`note_suites`].
///
/// # Safety
/// `ctx` is a live context that is not shared yet; `data` is what the callback takes.
pub(in crate::tls::raw) unsafe fn SSL_CTX_set_cert_cb(
    ctx: *mut ffi::SSL_CTX,
    callback: Option<CertCb>,
    data: *mut c_void,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        // Where this fails there is a certificate too many, and the connections of clients that cannot take it fail.
        let chooses: *const () = &CHOOSES;
        ffi::SSL_CTX_set_ex_data(ctx, context_index(), chooses.cast_mut().cast());
        ffi::SSL_CTX_set_cert_cb(ctx, callback, data);
    }
}

/// What the extra data of a context points to if its certificates are chosen in each handshake.
static CHOOSES: () = ();

fn context_index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    // SAFETY: a static needs no function that frees it.
    *INDEX.get_or_init(|| unsafe { ffi::SSL_CTX_get_ex_new_index(0, ptr::null_mut(), ptr::null_mut(), None, None) })
}

/// Whether certificates are chosen in each handshake.
///
/// # Safety
/// `ctx` is a live context.
pub(super) unsafe fn chooses(ctx: *const ffi::SSL_CTX) -> bool {
    // SAFETY: as promised by the caller.
    !unsafe { ffi::SSL_CTX_get_ex_data(ctx, context_index()) }.is_null()
}

/// There are none: see [`super::SSL_CTX_use_cert_and_key`].
///
/// # Safety
/// None is needed.
pub(in crate::tls::raw) unsafe fn SSL_certs_clear(_: *mut ffi::SSL) {}

/// The place, among the extra data of a connection, of a set of bits: the proofs that the client's suites offer.
fn index() -> c_int {
    static INDEX: OnceLock<c_int> = OnceLock::new();
    // SAFETY: numbers need no function that frees them.
    *INDEX.get_or_init(|| unsafe { ffi::SSL_get_ex_new_index(0, ptr::null_mut(), ptr::null_mut(), None, None) })
}

fn bit_of(auth: c_int) -> usize {
    match auth {
        ffi::NID_auth_rsa => 1,
        ffi::NID_auth_ecdsa => 2,
        _ => 0,
    }
}

/// Keeps what kinds of proof the client's suites offer; false if that fails.
///
/// # Safety
/// `hello` is a ClientHello that AWS-LC has just read, for a live connection.
pub(super) unsafe fn note_suites(hello: *const ffi::SSL_CLIENT_HELLO) -> bool {
    // SAFETY: as promised by the caller; suites that AWS-LC knows are static tables.
    unsafe {
        let suites = std::slice::from_raw_parts((*hello).cipher_suites, (*hello).cipher_suites_len);
        let bits = suites.chunks_exact(2).fold(0, |bits, suite| {
            let suite = ffi::SSL_get_cipher_by_value(u16::from_be_bytes([suite[0], suite[1]]));
            bits | if suite.is_null() { 0 } else { bit_of(ffi::SSL_CIPHER_get_auth_nid(suite)) }
        });
        ffi::SSL_set_ex_data((*hello).ssl, index(), ptr::without_provenance_mut(bits)) == 1
    }
}

/// Whether a client of TLS 1.2 offers a suite with this kind of proof.
///
/// # Safety
/// `ssl` is a live connection that has read its ClientHello.
pub(in crate::tls::raw) unsafe fn offers_suites_of(ssl: *const ffi::SSL, auth: c_int) -> bool {
    // SAFETY: as promised by the caller.
    unsafe { ffi::SSL_get_ex_data(ssl, index()).addr() & bit_of(auth) != 0 }
}

/// [`SSL_check_chain`] has looked.
///
/// # Safety
/// None is needed.
pub(in crate::tls::raw) unsafe fn offers_signatures_of(_: *const ffi::SSL, _: KeyKind) -> bool {
    true
}

/// Whether the client can verify a signature of this certificate's key. The chain behind it is the client's to judge.
///
/// # Safety
/// `ssl` is a live connection in the callback that picks its certificate, the others are alive.
pub(in crate::tls::raw) unsafe fn SSL_check_chain(
    ssl: *mut ffi::SSL,
    _: *mut ffi::X509,
    key: *mut ffi::EVP_PKEY,
    _: *mut ffi::stack_st_X509,
) -> c_int {
    // SAFETY: as promised by the caller; the list belongs to the handshake.
    let (offered, newer) = unsafe {
        let mut start = ptr::null();
        let len = ffi::SSL_get0_peer_verify_algorithms(ssl, &mut start);
        let offered = if len == 0 { &[][..] } else { std::slice::from_raw_parts(start, len) };
        (offered, ffi::SSL_version(ssl) >= ffi::TLS1_3_VERSION)
    };
    let any_of = |wanted: &[u16]| wanted.iter().any(|one| offered.contains(one));
    // SAFETY: as promised by the caller.
    let taken = match unsafe { ffi::EVP_PKEY_id(key) } {
        ffi::EVP_PKEY_RSA => any_of(&RSA_PSS) || !newer && any_of(&RSA_PKCS1),
        ffi::EVP_PKEY_ED25519 => any_of(&[ED25519]),
        // SAFETY: as promised by the caller, and the key is on a curve.
        ffi::EVP_PKEY_EC => unsafe { takes_curve(ssl, key, newer, any_of) },
        _ => false,
    };
    if taken { CERT_PKEY_VALID } else { 0 }
}

/// Whether the client takes a key on this curve, and a signature that such a key can make.
///
/// # Safety
/// As for [`SSL_check_chain`]; the key is on a curve.
unsafe fn takes_curve(
    ssl: *mut ffi::SSL,
    key: *const ffi::EVP_PKEY,
    newer: bool,
    any_of: impl Fn(&[u16]) -> bool,
) -> bool {
    // SAFETY: as promised by the caller; the group belongs to the key.
    let curve = unsafe { ffi::EC_GROUP_get_curve_name(ffi::EC_KEY_get0_group(ffi::EVP_PKEY_get0_EC_KEY(key))) };
    let Some((_, signature, group)) = ECDSA.iter().find(|(nid, ..)| *nid == curve) else { return false };
    if newer {
        return any_of(&[*signature]);
    }
    // SAFETY: as promised by the caller.
    any_of(&ECDSA.map(|(_, signature, _)| signature)) && unsafe { names_group(ssl, *group) }
}

/// Whether the client's list of groups, which TLS 1.2 has for certificates too (RFC 8422 4), names this one.
///
/// # Safety
/// `ssl` is a live connection in the callback that picks its certificate.
unsafe fn names_group(ssl: *mut ffi::SSL, group: u16) -> bool {
    const SUPPORTED_GROUPS: std::ffi::c_uint = 10;
    // SAFETY: as promised by the caller.
    match unsafe { hello::extension(ssl, SUPPORTED_GROUPS) } {
        // Behind the length of the list stand the groups.
        Some([_, _, groups @ ..]) => groups.chunks_exact(2).any(|one| one == group.to_be_bytes()),
        // A client without such a list takes all (RFC 8422 4).
        _ => true,
    }
}
