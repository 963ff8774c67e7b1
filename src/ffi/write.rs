//! From Rust values to the host's structs.

use std::ffi::c_char;

use super::read::{HostStruct, declared_size};
use crate::error::{Error, Result};

/// Fills a struct of the host's: as many bytes as it has and this release knows; what is behind them
/// becomes 0, and `size` stays as the host set it.
///
/// # Safety
/// `out` is NULL or points to as many bytes as its first member, a `size_t`, says, and they are the
/// call's alone.
pub(crate) unsafe fn fill_struct<T: HostStruct>(name: &str, out: *mut T, value: &T) -> Result<()> {
    // SAFETY: as this function.
    let size = unsafe { declared_size(name, out)? };
    if size < size_of::<usize>() {
        let kind = T::NAME;
        return Err(Error::invalid(format!("{name}->size is {size}: set it to sizeof({kind})")));
    }
    let known = size.min(size_of::<T>());
    let head = size_of::<usize>();
    let (to, from) = (out.cast::<u8>(), (&raw const *value).cast::<u8>());
    // SAFETY: `known` is at least `head` and at most the bytes on either side; `value` is ours and
    // cannot overlap with what is the call's alone.
    unsafe {
        from.add(head).copy_to_nonoverlapping(to.add(head), known - head);
        to.add(known).write_bytes(0, size - known);
    }
    Ok(())
}

/// Writes text into an array of a struct: cut to fit between two characters, ended by 0, the rest 0.
///
/// A NUL inside becomes a space: a certificate may hold one, and text cut there would pass for
/// another name.
pub(crate) fn fill_text(array: &mut [c_char], text: &str) {
    let Some(room) = array.len().checked_sub(1) else { return };
    array.fill(0);
    for (to, from) in array.iter_mut().zip(fitting(text, room).bytes()) {
        *to = if from == 0 { b' ' as c_char } else { from as c_char };
    }
}

/// The longest beginning of `text` that has at most `room` bytes and ends between two characters.
pub(crate) fn fitting(text: &str, room: usize) -> &str {
    let mut end = text.len().min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::super::read::zeroed;
    use super::super::types::tlsloop_stats;
    use super::*;

    const KNOWN: usize = size_of::<tlsloop_stats>();

    /// A struct of `words` words as a host has it on its stack: `size` set, rubbish behind.
    fn host(words: usize, size: usize) -> Vec<usize> {
        let mut memory = vec![usize::MAX; words];
        memory[0] = size;
        memory
    }

    fn fill(memory: &mut [usize], value: &tlsloop_stats) -> Result<()> {
        // SAFETY: every test hands in as many bytes as it declares, or a size that is refused.
        unsafe { fill_struct("out", memory.as_mut_ptr().cast(), value) }
    }

    fn counted() -> tlsloop_stats {
        tlsloop_stats { size: 0, accepted: 1, queued_bytes: 2, ..zeroed() }
    }

    #[test]
    fn a_struct_of_this_release_is_filled_whole_and_keeps_its_size() {
        let mut memory = host(KNOWN / 8 + 1, KNOWN);
        fill(&mut memory, &counted()).unwrap();
        assert_eq!(memory[..2], [KNOWN, 1]);
        assert_eq!(memory[KNOWN / 8 - 1], 2);
        assert_eq!(memory[KNOWN / 8], usize::MAX, "nothing behind the struct is touched");
    }

    #[test]
    fn an_older_struct_gets_what_it_has_room_for() {
        let mut memory = host(3, 16);
        fill(&mut memory, &counted()).unwrap();
        assert_eq!(memory, [16, 1, usize::MAX]);
        let mut memory = host(2, 8);
        fill(&mut memory, &counted()).unwrap();
        assert_eq!(memory, [8, usize::MAX]);
    }

    #[test]
    fn the_rest_of_a_newer_struct_becomes_zero() {
        let mut memory = host(KNOWN / 8 + 3, KNOWN + 16);
        fill(&mut memory, &counted()).unwrap();
        assert_eq!(memory[0], KNOWN + 16);
        assert_eq!(memory[KNOWN / 8 - 1..], [2, 0, 0, usize::MAX]);
    }

    #[test]
    fn a_size_that_is_none_is_refused_and_nothing_is_written() {
        for size in [0, 1, 7, (1 << 20) + 1, usize::MAX] {
            let mut memory = host(2, size);
            let error = fill(&mut memory, &counted()).unwrap_err();
            assert_eq!(error.code(), crate::error::Code::Invalid);
            assert!(error.sentence().starts_with(&format!("out->size is {size}")), "{error}");
            assert!(error.sentence().contains("sizeof(tlsloop_stats)"), "{error}");
            assert_eq!(memory, [size, usize::MAX]);
        }
        // SAFETY: NULL is allowed.
        let error = unsafe { fill_struct("out", ptr::null_mut(), &counted()) }.unwrap_err();
        assert_eq!(error.sentence(), "out is NULL");
    }

    #[test]
    fn text_is_cut_between_characters_and_always_ended() {
        let cases: [(&str, [u8; 4]); 6] = [
            ("", *b"\0\0\0\0"),
            ("ab", *b"ab\0\0"),
            ("abc", *b"abc\0"),
            ("abcd", *b"abc\0"),
            ("abö", *b"ab\0\0"),
            ("a\0b", *b"a b\0"),
        ];
        for (text, expected) in cases {
            let mut array = [1 as c_char; 4];
            fill_text(&mut array, text);
            assert_eq!(array.map(|byte| byte as u8), expected, "{text:?}");
        }
        fill_text(&mut [], "no room at all");
    }
}
