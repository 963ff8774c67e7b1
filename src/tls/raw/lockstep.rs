//! For tests: a client and a server that talk over two buffers in memory, in turns, with a bound.

use std::ptr;

use openssl_sys as ffi;

use super::{Ssl, clear_errors, drain_errors};

unsafe extern "C" {
    fn BIO_new_bio_pair(
        one: *mut *mut ffi::BIO,
        room_one: usize,
        two: *mut *mut ffi::BIO,
        room_two: usize,
    ) -> std::ffi::c_int;
}

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
            assert_eq!(BIO_new_bio_pair(&mut one, 0, &mut two, 0), 1);
            ffi::SSL_set_bio(server.as_ptr(), one, one);
            ffi::SSL_set_bio(client.as_ptr(), two, two);
        }
        Pair { server, client }
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

    /// Lets the server say something, so that the client has read its tickets before it.
    pub(crate) fn say(&self, words: &[u8]) -> Vec<u8> {
        let mut heard = vec![0; words.len()];
        let len = words.len().try_into().unwrap();
        // SAFETY: two live connections and `len` bytes each.
        unsafe {
            assert_eq!(ffi::SSL_write(self.server.as_ptr(), words.as_ptr().cast(), len), len);
            assert_eq!(ffi::SSL_read(self.client.as_ptr(), heard.as_mut_ptr().cast(), len), len);
        }
        heard
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
