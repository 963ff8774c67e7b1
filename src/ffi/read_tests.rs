use std::ptr;

use super::*;
use crate::error::Code;

/// A struct as a later release might have it: `added` came after 0.1.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    size: usize,
    first: u32,
    second: u32,
    added: usize,
}

// SAFETY: repr(C), begins with its size, and numbers have no invalid bytes.
unsafe impl HostStruct for Sample {
    const NAME: &'static str = "sample";
    const SIZE_0_1: usize = 16;
}

fn read(memory: &[usize]) -> Result<Sample> {
    // SAFETY: every test hands in as many bytes as it declares, or a size that is refused.
    unsafe { host_struct("config", memory.as_ptr().cast()) }
}

fn sentence<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Code::Invalid);
    error.sentence().to_owned()
}

#[test]
fn a_struct_of_this_release_is_read_whole() {
    let both = 1 | (2_usize << 32);
    let sample = read(&[24, both, 3, usize::MAX]).unwrap();
    assert_eq!(sample, Sample { size: 24, first: 1, second: 2, added: 3 });
}

#[test]
fn members_that_an_older_struct_lacks_count_as_zero() {
    let sample = read(&[16, 1, usize::MAX]).unwrap();
    assert_eq!(sample, Sample { size: 16, first: 1, second: 0, added: 0 });
}

#[test]
fn a_size_below_that_of_release_0_1_is_refused() {
    for size in [1, 8, 15] {
        let sentence = sentence(read(&[size, 0, 0]));
        assert!(sentence.starts_with(&format!("config->size is {size}, less than")), "{sentence}");
        assert!(sentence.contains("sample"), "{sentence}");
    }
    assert!(sentence(read(&[0, 0, 0])).contains("config->size is 0: set it to sizeof(sample)"));
    assert!(sentence(read(&[usize::MAX, 0, 0])).contains("set it to sizeof(sample)"));
}

#[test]
fn a_larger_struct_is_read_if_what_is_not_known_is_zero() {
    let sample = read(&[40, 1, 3, 0, 0, usize::MAX]).unwrap();
    assert_eq!(sample, Sample { size: 40, first: 1, second: 0, added: 3 });
    for memory in [[40, 1, 3, 1, 0], [40, 1, 3, 0, 1 << 63]] {
        let sentence = sentence(read(&memory));
        assert!(sentence.starts_with("config->size is 40: a newer header"), "{sentence}");
    }
}

#[test]
fn a_struct_must_be_there_and_aligned() {
    // SAFETY: NULL is allowed.
    let missing = unsafe { host_struct::<Sample>("config", ptr::null()) };
    assert_eq!(sentence(missing), "config is NULL");
    let memory = [24_usize, 0, 0, 0];
    // SAFETY: it is refused before it is read.
    let odd = unsafe { host_struct::<Sample>("config", memory.as_ptr().byte_add(1).cast()) };
    assert!(sentence(odd).starts_with("config is not aligned"));
}

#[test]
fn text_is_checked_and_named() {
    // SAFETY: C strings, or NULL.
    unsafe {
        assert_eq!(host_text("names", c"localhost".as_ptr()), Ok("localhost"));
        assert_eq!(host_text("names", c"".as_ptr()), Ok(""));
        assert_eq!(sentence(host_text("names", ptr::null())), "names is NULL");
        let latin1 = host_text("names", c"caf\xe9".as_ptr());
        assert!(sentence(latin1).starts_with("names is not UTF-8: "));
        assert_eq!(host_optional_text("names", ptr::null()), Ok(None));
        assert_eq!(host_optional_text("names", c"a".as_ptr()), Ok(Some("a")));
        assert!(host_optional_text("names", c"\xff".as_ptr()).is_err());
    }
}

#[test]
fn paths_are_any_bytes_but_not_none() {
    // SAFETY: C strings, or NULL.
    unsafe {
        let path = host_path("key", c"/tmp/caf\xe9".as_ptr()).unwrap();
        assert_eq!(path.as_os_str().as_bytes(), b"/tmp/caf\xe9");
        assert_eq!(sentence(host_path("key", ptr::null())), "key is NULL");
        assert_eq!(sentence(host_path("key", c"".as_ptr())), "key is an empty path");
        assert_eq!(host_optional_path("key", ptr::null()), Ok(None));
        let array = [c"a".as_ptr(), c"b".as_ptr(), ptr::null()];
        let paths = host_paths("paths", array.as_ptr(), 2).unwrap();
        assert_eq!(paths, [Path::new("a"), Path::new("b")]);
        assert_eq!(sentence(host_paths("paths", array.as_ptr(), 3)), "paths[2] is NULL");
        assert_eq!(host_paths("paths", ptr::null(), 0), Ok(vec![]));
    }
}

#[test]
fn bytes_may_be_null_only_if_there_are_none() {
    let data = *b"hello";
    let start = data.as_ptr().cast();
    // SAFETY: lengths that are true, or that are refused.
    unsafe {
        assert_eq!(host_bytes("data", start, 5), Ok(&b"hello"[..]));
        assert_eq!(host_bytes("data", start, 0), Ok(&b""[..]));
        assert_eq!(host_bytes("data", ptr::null(), 0), Ok(&b""[..]));
        let missing = host_bytes("data", ptr::null(), 5);
        assert_eq!(sentence(missing), "data is NULL, but its length is 5");
        let endless = host_bytes("data", start, usize::MAX);
        assert!(sentence(endless).starts_with("data has a length that nothing can have"));
    }
}

#[test]
fn room_is_written_in_place() {
    let mut memory = [0_u8; 3];
    let start = memory.as_mut_ptr();
    // SAFETY: lengths that are true, or that are refused.
    unsafe {
        host_room("buf", start.cast(), 2).unwrap().copy_from_slice(b"hi");
        assert!(host_room("buf", ptr::null_mut(), 0).unwrap().is_empty());
        assert_eq!(sentence(host_room("buf", ptr::null_mut(), 1)), "buf is NULL, but its length is 1");
    }
    assert_eq!(memory, *b"hi\0");
}

#[test]
fn parts_are_named_by_their_place() {
    let part = |text: &[u8]| tlsloop_slice { data: text.as_ptr().cast(), len: text.len() };
    let empty = tlsloop_slice { data: ptr::null(), len: 0 };
    let bad = tlsloop_slice { data: ptr::null(), len: 4 };
    let parts = [part(b"GET "), empty, part(b"/"), bad];
    // SAFETY: each part is true, or refused.
    unsafe {
        let slices = host_slices("parts", parts.as_ptr(), 3).unwrap();
        assert_eq!(slices, [&b"GET "[..], b"", b"/"]);
        let wrong = host_slices("parts", parts.as_ptr(), 4);
        assert_eq!(sentence(wrong), "parts[3] is NULL, but its length is 4");
        let endless = host_slices("parts", parts.as_ptr(), usize::MAX / 8);
        assert!(sentence(endless).starts_with("parts has a length that nothing can have"));
        assert_eq!(host_slices("parts", ptr::null(), 0), Ok(vec![]));
    }
}

#[test]
fn handles_and_places_must_be_there() {
    let mut number = 5_u64;
    // SAFETY: NULL or a live number.
    unsafe {
        assert_eq!(host_ref("server", &raw const number), Ok(&5));
        assert_eq!(sentence(host_ref::<u64>("server", ptr::null())), "server is NULL");
        host_out("out", &raw mut number).unwrap().write(6);
    }
    assert_eq!(number, 6);
    assert_eq!(sentence(host_out::<u64>("out", ptr::null_mut())), "out is NULL");
}
