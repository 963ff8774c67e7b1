//! The program that the fuzzer runs, for the harness that TLSLOOP_FUZZ_TARGET names. Built without the fuzzer it runs the
//! files that it is given, once each, and tells what they reach: for a debugger, or to see why a corpus has a file.
//!
//!     TLSLOOP_FUZZ_TARGET=server cargo run -p tlsloop-fuzz -- FILE...
#![cfg_attr(fuzzing, no_main)]

use tlsloop_fuzz::{Harness, harness};

fn chosen() -> &'static Harness {
    let name = std::env::var("TLSLOOP_FUZZ_TARGET").expect("TLSLOOP_FUZZ_TARGET names a harness");
    harness(&name).unwrap_or_else(|| panic!("there is no harness {name}"))
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: std::sync::OnceLock<&Harness> = std::sync::OnceLock::new();
    (CHOSEN.get_or_init(chosen).run)(bytes);
});

#[cfg(not(fuzzing))]
fn main() {
    let harness = chosen();
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).expect("a file");
        let reached = (harness.run)(&bytes);
        println!("{}: {}", path.display(), reached.places().collect::<Vec<_>>().join(", "));
    }
}
