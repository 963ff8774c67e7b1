//! For tests: a client and a server that talk over two buffers in memory, in turns, with a bound.

use std::ptr;

use openssl_sys as ffi;

use super::decl::testing;
use super::{Ssl, clear_errors, drain_errors};

/// More turns than any handshake takes.
const ROUNDS: usize = 100;

/// Two ends of one connection.
pub(crate) struct Pair {
    pub(crate) server: Ssl,
    pub(crate) client: Ssl,
}

impl Pair {
    /// Joins the two ends.
    pub(crate) fn new(server: Ssl, client: Ssl) -> Pair {
        let (mut one, mut two) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: two places to write to; 0 asks for the default room. Each connection takes over both
        // references to its end (SSL_set_bio(3): one object for reading and writing costs one).
        unsafe {
            assert_eq!(testing::BIO_new_bio_pair(&mut one, 0, &mut two, 0), 1);
            ffi::SSL_set_bio(server.as_ptr(), one, one);
            ffi::SSL_set_bio(client.as_ptr(), two, two);
        }
        Pair { server, client }
    }

    /// The client can verify these signatures only, "RSA-PSS+SHA256".
    pub(crate) fn limit_signatures(&self, list: &str) {
        let text = std::ffi::CString::new(list).unwrap();
        // SAFETY: a live connection before its handshake.
        let done = unsafe { testing::limit_signatures(self.client.as_ptr(), &text) };
        assert_eq!(done, 1, "{list}");
    }

    /// The client asks for an OCSP response with the certificate.
    pub(crate) fn ask_for_staple(&self) {
        // SAFETY: a live connection before its handshake.
        let done = unsafe { ffi::SSL_set_tlsext_status_type(self.client.as_ptr(), ffi::TLSEXT_STATUSTYPE_ocsp) };
        assert_eq!(done, 1);
    }

    /// The OCSP response that the client was sent.
    pub(crate) fn staple(&self) -> Option<Vec<u8>> {
        let mut start: *mut u8 = ptr::null_mut();
        // SAFETY: a live connection, which owns the response; it is copied at once.
        unsafe {
            let len = ffi::SSL_get_tlsext_status_ocsp_resp(self.client.as_ptr(), (&raw mut start).cast());
            let len = usize::try_from(len).ok()?;
            (!start.is_null()).then(|| std::slice::from_raw_parts(start, len).to_vec())
        }
    }

    /// Lets the client, which refuses for itself, ask for a second handshake of TLS 1.2. The error has
    /// the client's words.
    #[cfg(not(feature = "aws-lc"))]
    pub(crate) fn renegotiate(&self) -> Result<(), String> {
        // SAFETY: a live connection after its handshake.
        assert_eq!(unsafe { testing::renegotiate(self.client.as_ptr()) }, 1);
        for _ in 0..ROUNDS {
            if step("client", &self.client)? {
                return Ok(());
            }
            self.server_hears()?;
        }
        Err("no end after 100 rounds".to_owned())
    }

    /// Shakes hands. The error has the side and OpenSSL's words.
    pub(crate) fn handshake(&self) -> Result<(), String> {
        let (mut server, mut client) = (false, false);
        for _ in 0..ROUNDS {
            client = client || step("client", &self.client)?;
            server = server || step("server", &self.server)?;
            if server && client {
                return Ok(());
            }
        }
        Err("no end after 100 rounds".to_owned())
    }

    /// What the client makes of what has come in, after a handshake that failed or ended.
    pub(crate) fn client_hears(&self) -> Result<(), String> {
        hear("client", &self.client)
    }

    /// The same for the server.
    pub(crate) fn server_hears(&self) -> Result<(), String> {
        hear("server", &self.server)
    }

    /// Lets the server say something, so that the client has read its tickets before it.
    pub(crate) fn say(&self, words: &[u8]) -> Vec<u8> {
        let mut heard = vec![0; words.len()];
        let len = words.len().try_into().unwrap();
        // SAFETY: two live connections and `len` bytes each.
        unsafe {
            assert_eq!(ffi::SSL_write(self.server.as_ptr(), words.as_ptr().cast(), len), len);
            // A read may come back behind each ticket.
            let mut read = || ffi::SSL_read(self.client.as_ptr(), heard.as_mut_ptr().cast(), len);
            assert!((0..ROUNDS).any(|_| read() == len));
        }
        heard
    }
}

/// Reads until there is nothing left; an alert is an error.
fn hear(side: &str, ssl: &Ssl) -> Result<(), String> {
    let mut byte = 0_u8;
    clear_errors();
    // SAFETY: a live connection, and room for one byte.
    let got = unsafe { ffi::SSL_read(ssl.as_ptr(), ptr::from_mut(&mut byte).cast(), 1) };
    // SAFETY: as above, directly after the call that it explains.
    match unsafe { ffi::SSL_get_error(ssl.as_ptr(), got) } {
        ffi::SSL_ERROR_NONE | ffi::SSL_ERROR_WANT_READ => Ok(()),
        _ => Err(format!("{side}: {}", drain_errors())),
    }
}

/// One turn of one side: whether its handshake is done.
fn step(side: &str, ssl: &Ssl) -> Result<bool, String> {
    clear_errors();
    // SAFETY: a live connection.
    let done = unsafe { ffi::SSL_do_handshake(ssl.as_ptr()) };
    if done == 1 {
        return Ok(true);
    }
    // SAFETY: as above, directly after the call that it explains.
    match unsafe { ffi::SSL_get_error(ssl.as_ptr(), done) } {
        ffi::SSL_ERROR_WANT_READ | ffi::SSL_ERROR_WANT_WRITE => Ok(false),
        _ => Err(format!("{side}: {}", drain_errors())),
    }
}
