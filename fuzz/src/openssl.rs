//! OpenSSL's own client over memory, and random numbers that are the same in each run.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_uchar, c_void};
use std::ptr;
use std::sync::Once;

use openssl_sys as ffi;

/// RAND_METHOD of `<openssl/rand.h>`.
#[repr(C)]
struct RandMethod {
    seed: Option<unsafe extern "C" fn(*const c_void, c_int) -> c_int>,
    bytes: Option<unsafe extern "C" fn(*mut c_uchar, c_int) -> c_int>,
    cleanup: Option<unsafe extern "C" fn()>,
    add: Option<unsafe extern "C" fn(*const c_void, c_int, f64) -> c_int>,
    pseudorand: Option<unsafe extern "C" fn(*mut c_uchar, c_int) -> c_int>,
    status: Option<unsafe extern "C" fn() -> c_int>,
}

unsafe extern "C" {
    fn RAND_set_rand_method(method: *const RandMethod) -> c_int;
    fn SSL_key_update(ssl: *mut ffi::SSL, kind: c_int) -> c_int;
    fn SSL_renegotiate(ssl: *mut ffi::SSL) -> c_int;
    fn SSL_get1_session(ssl: *mut ffi::SSL) -> *mut ffi::SSL_SESSION;
}

static COUNTED: RandMethod = RandMethod {
    seed: None,
    bytes: Some(counted),
    cleanup: None,
    add: None,
    pseudorand: Some(counted),
    status: Some(always),
};

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(SEED) };
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// # Safety
/// `buf` has room for `len` bytes.
unsafe extern "C" fn counted(buf: *mut c_uchar, len: c_int) -> c_int {
    for at in 0..usize::try_from(len).unwrap_or(0) {
        // Xorshift: enough for keys that nobody needs to keep.
        let mut state = STATE.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        STATE.set(state);
        // SAFETY: below `len`.
        unsafe { buf.add(at).write((state >> 32) as u8) };
    }
    1
}

/// # Safety
/// Touches nothing.
unsafe extern "C" fn always() -> c_int {
    1
}

/// From here on OpenSSL's random numbers are those of every other run.
pub fn reseed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ffi::init();
        // SAFETY: a table that lives for ever.
        unsafe { RAND_set_rand_method(&raw const COUNTED) };
    });
    STATE.set(SEED);
}

/// What a client is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// TLS 1.2 at most.
    pub is_old: bool,
    /// It asks for a name.
    pub sni: bool,
    /// It offers protocols.
    pub alpn: bool,
}

/// What a client can come back with.
pub struct Session(*mut ffi::SSL_SESSION);

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: a reference of our own.
        unsafe { ffi::SSL_SESSION_free(self.0) };
    }
}

/// A client that talks through memory.
pub struct Client {
    ssl: *mut ffi::SSL,
    /// What it has said, and still is to say once the handshake is done.
    plain: Vec<u8>,
    /// Whether OpenSSL has given up.
    has_failed: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: ours, with both of its ends.
        unsafe { ffi::SSL_free(self.ssl) };
    }
}

fn context(wish: Wish) -> *mut ffi::SSL_CTX {
    thread_local! {
        static MADE: [Cell<*mut ffi::SSL_CTX>; 2] = const { [Cell::new(ptr::null_mut()), Cell::new(ptr::null_mut())] };
    }
    MADE.with(|made| {
        let place = &made[usize::from(wish.is_old)];
        if place.get().is_null() {
            // SAFETY: a new context, which lives as long as the process. It believes everybody, as OpenSSL's do at first.
            unsafe {
                let context = ffi::SSL_CTX_new(ffi::TLS_client_method());
                assert!(!context.is_null());
                if wish.is_old {
                    assert_eq!(ffi::SSL_CTX_set_max_proto_version(context, ffi::TLS1_2_VERSION), 1);
                }
                place.set(context);
            }
        }
        place.get()
    })
}

impl Client {
    /// Before its handshake; it offers to go on with the session.
    pub fn new(wish: Wish, session: Option<&Session>) -> Client {
        // SAFETY: new objects; the connection takes both ends over.
        let ssl = unsafe {
            let ssl = ffi::SSL_new(context(wish));
            let (from, to) = (ffi::BIO_new(ffi::BIO_s_mem()), ffi::BIO_new(ffi::BIO_s_mem()));
            assert!(!ssl.is_null() && !from.is_null() && !to.is_null());
            ffi::SSL_set_bio(ssl, from, to);
            ffi::SSL_set_connect_state(ssl);
            if let Some(session) = session {
                ffi::SSL_set_session(ssl, session.0);
            }
            if wish.sni {
                ffi::SSL_set_tlsext_host_name(ssl, c"localhost".as_ptr().cast_mut());
            }
            if wish.alpn {
                let offered = b"\x02h2\x08http/1.1";
                ffi::SSL_set_alpn_protos(ssl, offered.as_ptr(), offered.len() as u32);
            }
            ssl
        };
        Client { ssl, plain: Vec::new(), has_failed: false }
    }

    /// Takes what has come from the server; `at` is handed what that says, if it says anything.
    pub fn hear(&mut self, wire: &[u8], mut at: impl FnMut(&[u8])) {
        // SAFETY: a live connection; `wire` is readable for its length, which is a buffer's.
        unsafe { ffi::BIO_write(ffi::SSL_get_rbio(self.ssl), wire.as_ptr().cast(), wire.len() as c_int) };
        self.go_on();
        let mut room = [0_u8; 4096];
        while self.is_up() {
            // SAFETY: a live connection, and room for as many bytes as are asked for.
            let got = unsafe { ffi::SSL_read(self.ssl, room.as_mut_ptr().cast(), room.len() as c_int) };
            if !self.may_go_on(got) || got <= 0 {
                break;
            }
            at(&room[..got as usize]);
        }
    }

    /// Says something, once it can.
    pub fn say(&mut self, plain: &[u8]) {
        self.plain.extend_from_slice(plain);
        self.go_on();
    }

    /// The handshake, as far as it goes, and what waits for its end.
    pub fn go_on(&mut self) {
        // SAFETY: a live connection.
        let done = unsafe { ffi::SSL_do_handshake(self.ssl) };
        if !self.may_go_on(done) || !self.is_up() || self.plain.is_empty() || self.has_said_goodbye() {
            return;
        }
        // Into memory all of it goes, up to what one call takes.
        // SAFETY: a live connection, and a buffer of this length.
        let said = unsafe { ffi::SSL_write(self.ssl, self.plain.as_ptr().cast(), self.plain.len() as c_int) };
        if self.may_go_on(said) && said > 0 {
            self.plain.drain(..said as usize);
        }
    }

    /// close_notify.
    pub fn end(&mut self) {
        if self.is_up() {
            // SAFETY: a live connection after its handshake.
            let done = unsafe { ffi::SSL_shutdown(self.ssl) };
            self.may_go_on(done.max(1));
        }
    }

    /// New keys (TLS 1.3), or what was another handshake before (TLS 1.2).
    pub fn renew(&mut self, asks_back: bool) {
        if self.is_up() {
            // SAFETY: a live connection after its handshake. Where it is refused, nothing changes.
            unsafe {
                SSL_key_update(self.ssl, asks_back.into());
                SSL_renegotiate(self.ssl);
            }
            self.go_on();
        }
    }

    /// What is to go to the server.
    pub fn take(&mut self) -> Vec<u8> {
        let (mut taken, mut room) = (Vec::new(), [0_u8; 4096]);
        loop {
            // SAFETY: a live connection, and room for as many bytes as are asked for.
            let got = unsafe { ffi::BIO_read(ffi::SSL_get_wbio(self.ssl), room.as_mut_ptr().cast(), 4096) };
            if got <= 0 {
                return taken;
            }
            taken.extend_from_slice(&room[..got as usize]);
        }
    }

    /// How much it was given to say and has not said.
    pub fn unsaid(&self) -> usize {
        self.plain.len()
    }

    /// What it can come back with, as of now.
    pub fn session(&self) -> Option<Session> {
        // SAFETY: a live connection; the reference is ours.
        let session = unsafe { SSL_get1_session(self.ssl) };
        (self.is_up() && !session.is_null()).then_some(Session(session))
    }

    /// Whether the handshake is done, and nothing has failed.
    pub fn is_up(&self) -> bool {
        // SAFETY: a live connection.
        !self.has_failed && unsafe { ffi::SSL_is_init_finished(self.ssl) } == 1
    }

    /// Whether the server has said goodbye.
    pub fn has_heard_goodbye(&self) -> bool {
        // SAFETY: a live connection.
        !self.has_failed && unsafe { ffi::SSL_get_shutdown(self.ssl) } & ffi::SSL_RECEIVED_SHUTDOWN != 0
    }

    fn has_said_goodbye(&self) -> bool {
        const SENT: c_int = 1;
        // SAFETY: a live connection.
        unsafe { ffi::SSL_get_shutdown(self.ssl) & SENT != 0 }
    }

    /// Whether the answer of a call lets the connection live; the error queue is left empty.
    fn may_go_on(&mut self, answer: c_int) -> bool {
        if answer <= 0 {
            // SAFETY: a live connection, directly after the call.
            let error = unsafe { ffi::SSL_get_error(self.ssl, answer) };
            let wants = [ffi::SSL_ERROR_WANT_READ, ffi::SSL_ERROR_WANT_WRITE, ffi::SSL_ERROR_ZERO_RETURN];
            self.has_failed |= !wants.contains(&error);
        }
        // SAFETY: the calling thread's queue.
        unsafe { ffi::ERR_clear_error() };
        !self.has_failed
    }
}
