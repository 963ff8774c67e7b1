//! From the host's pointers to Rust values, or to an error that names the argument.
//!
//! What dereferences is `unsafe` and has one condition, the one that the header states for every
//! pointer: it is NULL, or it points to what its type says, and that stays so and unchanged until the
//! call returns. The lifetimes handed out are the caller's to keep within that call.

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::slice;

use super::types::tlsloop_slice;
use crate::error::{Error, Result};

/// A struct of the header that begins with its `size`.
///
/// # Safety
/// The type is `repr(C)`, its first member is `size: usize`, and every pattern of bytes is a valid
/// value of it, all zeros included.
pub(crate) unsafe trait HostStruct: Copy {
    /// The name of the type in the header.
    const NAME: &'static str;
    /// What `sizeof` said in release 0.1. It stays when the struct grows.
    const SIZE_0_1: usize;
}

/// No struct of any release comes near; a larger `size` is memory that was never set.
pub(super) const SANE_SIZE: usize = 1 << 20;

/// A handle or struct that must be there.
///
/// # Safety
/// `ptr` is NULL or points to a `T` that nobody changes during the call.
pub(crate) unsafe fn host_ref<'a, T>(name: &str, ptr: *const T) -> Result<&'a T> {
    present(name, ptr)?;
    // SAFETY: neither NULL nor misaligned; the rest is the caller's promise.
    Ok(unsafe { &*ptr })
}

/// A place for a result: to be written, on success only, and never to be read.
pub(crate) fn host_out<T>(name: &str, ptr: *mut T) -> Result<NonNull<T>> {
    present(name, ptr)?;
    NonNull::new(ptr).ok_or_else(|| missing(name))
}

/// A C string in UTF-8 that must be there.
///
/// # Safety
/// `ptr` is NULL or a C string.
pub(crate) unsafe fn host_text<'a>(name: &str, ptr: *const c_char) -> Result<&'a str> {
    // SAFETY: as this function.
    unsafe { host_optional_text(name, ptr)? }.ok_or_else(|| missing(name))
}

/// A C string in UTF-8; NULL is `None`.
///
/// # Safety
/// `ptr` is NULL or a C string.
pub(crate) unsafe fn host_optional_text<'a>(name: &str, ptr: *const c_char) -> Result<Option<&'a str>> {
    // SAFETY: as this function.
    let Some(text) = (unsafe { c_string(ptr) }) else { return Ok(None) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(cause) => Err(Error::invalid(format!("{name} is not UTF-8: {cause}"))),
    }
}

/// A path, which is any bytes (path_resolution(7)), that must be there and not empty.
///
/// # Safety
/// `ptr` is NULL or a C string.
pub(crate) unsafe fn host_path<'a>(name: &str, ptr: *const c_char) -> Result<&'a Path> {
    // SAFETY: as this function.
    unsafe { host_optional_path(name, ptr)? }.ok_or_else(|| missing(name))
}

/// A path that is not empty; NULL is `None`.
///
/// # Safety
/// `ptr` is NULL or a C string.
pub(crate) unsafe fn host_optional_path<'a>(name: &str, ptr: *const c_char) -> Result<Option<&'a Path>> {
    // SAFETY: as this function.
    let Some(text) = (unsafe { c_string(ptr) }) else { return Ok(None) };
    if text.is_empty() {
        return Err(Error::invalid(format!("{name} is an empty path")));
    }
    Ok(Some(Path::new(OsStr::from_bytes(text.to_bytes()))))
}

/// The bytes of a C string, in whatever encoding; NULL is `None`.
///
/// # Safety
/// `ptr` is NULL or a C string.
pub(crate) unsafe fn host_optional_secret<'a>(ptr: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as this function.
    unsafe { c_string(ptr) }.map(CStr::to_bytes)
}

/// A range of bytes; NULL is fine if `len` is 0.
///
/// # Safety
/// `ptr` is NULL or points to `len` bytes that nobody changes during the call.
pub(crate) unsafe fn host_bytes<'a>(name: &str, ptr: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: as this function; bytes need no alignment.
    unsafe { host_array(name, ptr.cast::<u8>(), len) }
}

/// Room for bytes; NULL is fine if `len` is 0.
///
/// # Safety
/// `ptr` is NULL or points to `len` bytes that are the call's alone until it returns. They may never
/// have been written: memory from another language holds some value, and every value is a valid byte.
pub(crate) unsafe fn host_room<'a>(name: &str, ptr: *mut c_void, len: usize) -> Result<&'a mut [u8]> {
    if check_array(name, ptr.cast::<u8>(), len)? {
        return Ok(&mut []);
    }
    // SAFETY: not NULL, not longer than an object can be; the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(ptr.cast(), len) })
}

/// An array of C strings that are paths.
///
/// # Safety
/// `ptr` is NULL or points to `n` pointers, each NULL or a C string.
pub(crate) unsafe fn host_paths<'a>(name: &str, ptr: *const *const c_char, n: usize) -> Result<Vec<&'a Path>> {
    // SAFETY: as this function.
    let pointers = unsafe { host_array(name, ptr, n)? };
    let paths = pointers.iter().enumerate().map(|(i, path)| {
        // SAFETY: as this function.
        unsafe { host_path(&format!("{name}[{i}]"), *path) }
    });
    paths.collect()
}

/// An array of byte ranges.
///
/// # Safety
/// `ptr` is NULL or points to `n` slices, each of which describes bytes as [`host_bytes`] wants them.
pub(crate) unsafe fn host_slices<'a>(name: &str, ptr: *const tlsloop_slice, n: usize) -> Result<Vec<&'a [u8]>> {
    // SAFETY: as this function.
    let parts = unsafe { host_array(name, ptr, n)? };
    let mut slices = Vec::with_capacity(n);
    let mut sum = Some(0_usize);
    for (i, part) in parts.iter().enumerate() {
        // SAFETY: as this function.
        slices.push(unsafe { host_array(format_args!("{name}[{i}]"), part.data.cast::<u8>(), part.len)? });
        sum = sum.and_then(|sum| sum.checked_add(part.len)).filter(|sum| isize::try_from(*sum).is_ok());
    }
    match sum {
        Some(_) => Ok(slices),
        None => Err(Error::invalid(format!("{name}: the lengths have a sum that nothing can have"))),
    }
}

/// A struct that the host filled; what it does not have yet counts as 0, and what this release does
/// not know must be 0.
///
/// # Safety
/// `ptr` is NULL or points to as many bytes as its first member, a `size_t`, says.
pub(crate) unsafe fn host_struct<T: HostStruct>(name: &str, ptr: *const T) -> Result<T> {
    // SAFETY: as this function; the trait promises the form.
    unsafe { read_sized(name, ptr, T::SIZE_0_1) }
}

/// [`host_struct`] with the size of release 0.1 given.
///
/// # Safety
/// As [`host_struct`].
unsafe fn read_sized<T: HostStruct>(name: &str, ptr: *const T, size_0_1: usize) -> Result<T> {
    // SAFETY: as this function.
    let size = unsafe { declared_size(name, ptr)? };
    if size < size_0_1 {
        let kind = T::NAME;
        let wrong = format!("{name}->size is {size}, less than {kind} ever had ({size_0_1})");
        return Err(Error::invalid(wrong));
    }
    let known = size.min(size_of::<T>());
    // SAFETY: the caller promises `size` bytes, and `known` is not more.
    let excess = unsafe { slice::from_raw_parts(ptr.cast::<u8>().add(known), size - known) };
    if excess.iter().any(|byte| *byte != 0) {
        return Err(Error::invalid(format!(
            "{name}->size is {size}: a newer header, and a member that this release does not know is set"
        )));
    }
    let mut value = zeroed::<T>();
    // SAFETY: `known` bytes are there on both sides, and any bytes are a `T` (HostStruct).
    unsafe { ptr.cast::<u8>().copy_to_nonoverlapping((&raw mut value).cast(), known) };
    Ok(value)
}

/// The `size` that a struct of the host's begins with; checked as far as every struct needs it.
///
/// # Safety
/// `ptr` is NULL or begins with a `size_t`.
pub(super) unsafe fn declared_size<T: HostStruct>(name: &str, ptr: *const T) -> Result<usize> {
    present(name, ptr)?;
    // SAFETY: neither NULL nor misaligned, and the first member is a `usize` (HostStruct).
    match unsafe { ptr.cast::<usize>().read() } {
        0 => Err(Error::invalid(format!("{name}->size is 0: set it to sizeof({})", T::NAME))),
        size if size > SANE_SIZE => {
            let kind = T::NAME;
            Err(Error::invalid(format!("{name}->size is {size}: set it to sizeof({kind})")))
        }
        size => Ok(size),
    }
}

/// A struct whose members are all 0.
pub(crate) fn zeroed<T: HostStruct>() -> T {
    // SAFETY: all zeros are a `T` (HostStruct).
    unsafe { std::mem::zeroed() }
}

/// # Safety
/// `ptr` is NULL or points to `n` values that nobody changes during the call.
unsafe fn host_array<'a, T>(name: impl Display, ptr: *const T, n: usize) -> Result<&'a [T]> {
    if check_array(name, ptr, n)? {
        return Ok(&[]);
    }
    // SAFETY: neither NULL nor misaligned, not longer than an object can be; the rest is the caller's
    // promise.
    Ok(unsafe { slice::from_raw_parts(ptr, n) })
}

/// Whether the array is empty, in which case its pointer may be anything.
fn check_array<T>(name: impl Display, ptr: *const T, n: usize) -> Result<bool> {
    if n == 0 {
        return Ok(true);
    }
    if ptr.is_null() {
        return Err(Error::invalid(format!("{name} is NULL, but its length is {n}")));
    }
    if n > isize::MAX as usize / size_of::<T>() {
        return Err(Error::invalid(format!("{name} has a length that nothing can have: {n}")));
    }
    present(name, ptr)?;
    Ok(false)
}

fn present<T>(name: impl Display, ptr: *const T) -> Result<()> {
    if ptr.is_null() {
        return Err(missing(name));
    }
    if !ptr.is_aligned() {
        return Err(Error::invalid(format!("{name} is not aligned as its type must be")));
    }
    Ok(())
}

fn missing(name: impl Display) -> Error {
    Error::invalid(format!("{name} is NULL"))
}

/// # Safety
/// `ptr` is NULL or a C string.
unsafe fn c_string<'a>(ptr: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not NULL, so a C string.
    (!ptr.is_null()).then(|| unsafe { CStr::from_ptr(ptr) })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
