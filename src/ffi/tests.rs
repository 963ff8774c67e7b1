//! The header that the build has just made, read as text; `tests/header` compiles it.

use std::ffi::CStr;

const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/tlsloop.h"));

/// The text behind `#define name`.
fn defined(name: &str) -> &'static str {
    let start = format!("#define {name} ");
    let mut lines = HEADER.lines().filter_map(|line| line.strip_prefix(start.as_str()));
    let value = lines.next().unwrap_or_else(|| panic!("{name} is not defined"));
    assert_eq!(lines.next(), None, "{name} is defined twice");
    value
}

/// "`TLSLOOP_VERSION_NUMBER` (0x00MMmmpp) and `tlsloop_version()` agree."
#[test]
fn the_number_of_the_version_agrees_with_its_text() {
    // SAFETY: never NULL, always terminated, and kept for the whole life.
    let text = unsafe { CStr::from_ptr(super::error::tlsloop_version()) }.to_str().unwrap();
    let release = text.split(' ').next().unwrap();
    let parts: Vec<u32> = release.split('.').map(|part| part.parse().unwrap()).collect();
    let [major, minor, patch] = parts[..] else { panic!("{release}") };
    assert!(major < 256 && minor < 256 && patch < 256, "{release} does not fit");
    assert_eq!(defined("TLSLOOP_VERSION_NUMBER"), format!("0x{:08x}", major << 16 | minor << 8 | patch));
}

/// "No enums, no trailing commas, no `//`, no name that is both a typedef and a function".
#[test]
fn the_header_has_nothing_that_an_old_compiler_refuses() {
    assert!(!HEADER.contains("//"));
    assert!(!HEADER.contains("enum "));
    assert!(HEADER.is_ascii());
    let includes: Vec<&str> = HEADER.lines().filter(|line| line.starts_with("#include")).collect();
    assert_eq!(includes, ["#include <stddef.h>", "#include <stdint.h>"]);
}

/// The prose is written for Rust and C alike: no links that only rustdoc understands.
#[test]
fn the_comments_of_the_header_are_prose() {
    assert!(!HEADER.contains("[`"), "a link of rustdoc's");
    assert!(!HEADER.contains("# Safety"), "a heading of rustdoc's");
    assert!(!HEADER.contains("crate::"));
}
