//! Each harness over its kept corpus, without the fuzzer: nothing is found, and each gets as far as it must.

use std::fs;
use std::path::Path;

use tlsloop_fuzz::reached::Reached;
use tlsloop_fuzz::{HARNESSES, Harness};

/// The corpora are small: what covers the same is not kept twice.
const MOST_BYTES: usize = 300_000;

/// The files of a corpus, in the order of their names.
fn corpus(harness: &Harness) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(harness.name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths.map(|path| (path.display().to_string(), fs::read(&path).expect("a file"))).collect();
    files.sort();
    files
}

fn replay(harness: &Harness) -> Reached {
    let mut reached = Reached::default();
    for (path, bytes) in corpus(harness) {
        // Shown if it is the one that fails.
        println!("{path}");
        reached.join((harness.run)(&bytes));
    }
    reached
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// One test: descriptors are counted for the whole process.
#[test]
fn nothing_is_found_and_each_harness_reaches_what_it_must() {
    let mut missed = Vec::new();
    for harness in &HARNESSES {
        let reached = replay(harness);
        missed.extend(reached.missed(harness.must_reach).into_iter().map(|place| format!("{}: {place}", harness.name)));
        let before = descriptors();
        replay(harness);
        assert_eq!(descriptors(), before, "{}: descriptors are left", harness.name);
    }
    assert_eq!(missed, Vec::<String>::new(), "places that no file of the corpus comes to any more");
}

#[test]
fn the_corpora_stay_small() {
    let bytes: usize = HARNESSES.iter().flat_map(corpus).map(|(_, bytes)| bytes.len()).sum();
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}
