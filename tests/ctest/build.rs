//! Makes the questions of `abi.rs` from the Rust source, and C's answers from the committed header.

/// Structs of which C knows the name only.
const OPAQUE: [&str; 3] = ["tlsloop_server", "tlsloop_client", "tlsloop_tls"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=items.rs");
    println!("cargo:rerun-if-changed=../../src/ffi/types");
    println!("cargo:rerun-if-changed=../../include/tlsloop.h");

    let mut questions = ctest::TestGenerator::new();
    questions.header("tlsloop.h").include("../../include").edition(2024).skip_private(true);
    questions.skip_struct(|item| OPAQUE.contains(&item.ident()));
    questions.rename_type(c_name);
    ctest::generate_test(&mut questions, "items.rs", "abi.rs").expect("the types can be read");
}

/// The header's words for types that have another name in Rust; everything else is called the same.
fn c_name(rust: &str) -> Option<String> {
    match rust {
        "u64" => Some("uint64_t".to_owned()),
        "u16" => Some("uint16_t".to_owned()),
        _ => None,
    }
}
