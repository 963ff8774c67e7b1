//! Places where a tracer can look on (USDT, <https://sourceware.org/systemtap/wiki/UserSpaceProbeImplementation>).
//!
//! A probe is one `nop`, and a note in the file that says where it is and in which registers its arguments stand. While
//! nobody traces, the `nop` is all that it costs; a tracer puts a breakpoint there. The numbers are at hand anyway.

use std::ffi::c_int;

use crate::id::Id;

/// A probe, with the form of its arguments ("8@": 64 bits, "-8@": signed) and their values.
#[cfg(all(target_arch = "x86_64", not(miri)))]
macro_rules! probe {
    ($name:literal, $form:literal, $($value:expr),*) => {
        // SAFETY: a `nop` that reads registers; all else is in sections that are not loaded, and a byte that marks a place.
        unsafe {
            std::arch::asm!(
                "990: nop",
                ".pushsection .note.stapsdt, \"\", @note",
                ".balign 4",
                ".4byte 992f-991f, 994f-993f, 3",
                "991: .asciz \"stapsdt\"",
                "992: .balign 4",
                "993: .8byte 990b",
                ".8byte _.stapsdt.base",
                ".8byte 0",
                ".asciz \"tlsloop\"",
                concat!(".asciz \"", $name, "\""),
                concat!(".asciz \"", $form, "\""),
                "994: .balign 4",
                ".popsection",
                ".ifndef _.stapsdt.base",
                ".pushsection .stapsdt.base, \"aGR\", @progbits, .stapsdt.base, comdat",
                ".weak _.stapsdt.base",
                ".hidden _.stapsdt.base",
                "_.stapsdt.base: .space 1",
                ".size _.stapsdt.base, 1",
                ".popsection",
                ".endif",
                $(in(reg) $value,)*
                options(att_syntax, readonly, nostack, preserves_flags)
            );
        }
    };
}

/// Elsewhere there is none.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
macro_rules! probe {
    ($name:literal, $form:literal, $($value:expr),*) => {
        let _not_looked_at = ($($value,)*);
    };
}

/// Before `on_connect`.
pub(crate) fn connect(id: Id) {
    probe!("connect", "8@{0}", id.to_u64());
}

/// Before `on_data`, with the number of bytes.
pub(crate) fn data(id: Id, len: usize) {
    probe!("data", "8@{0} 8@{1}", id.to_u64(), len);
}

/// After `on_data` has returned.
pub(crate) fn data_done(id: Id, len: usize) {
    probe!("data__done", "8@{0} 8@{1}", id.to_u64(), len);
}

/// Before `on_drain`.
pub(crate) fn drain(id: Id) {
    probe!("drain", "8@{0}", id.to_u64());
}

/// Before `on_disconnect`, with the reason.
pub(crate) fn disconnect(id: Id, reason: c_int) {
    probe!("disconnect", "8@{0} -4@{1:e}", id.to_u64(), reason);
}

/// Before `on_handshake_failed`, with the code.
pub(crate) fn handshake_failed(id: Id, code: c_int) {
    probe!("handshake_failed", "8@{0} -4@{1:e}", id.to_u64(), code);
}
