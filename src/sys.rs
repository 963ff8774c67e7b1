//! The door to the kernel and the C library.
#![allow(unsafe_code)]

#[cfg_attr(not(test), expect(dead_code, reason = "some exports are still to come"))]
pub(crate) mod fork;
