//! Makes the C header in `OUT_DIR` and names the shared library. Nothing is written into the source
//! tree; `scripts/header.sh` copies the header to `include/`.

use std::env;
use std::fs;
use std::path::PathBuf;

/// The files that declare what C sees, in the order in which the header prints them.
const SOURCES: [&str; 11] = [
    "src/ffi/types/constants.rs",
    "src/ffi/types/conn.rs",
    "src/ffi/types/server.rs",
    "src/ffi/types/client.rs",
    "src/ffi/error.rs",
    "src/ffi/tls.rs",
    "src/ffi/tls_trust.rs",
    "src/ffi/tls_protocol.rs",
    "src/ffi/server.rs",
    "src/ffi/conn.rs",
    "src/ffi/client.rs",
];

/// How the shared library is linked: its name in the ABI; it stays mapped after dlclose(3), because
/// OpenSSL and the C library keep pointers to handlers in it; relocations are read-only.
const LINK: [&str; 4] = ["-Wl,-soname,libtlsloop.so.0", "-Wl,-z,nodelete", "-Wl,-z,relro", "-Wl,-z,now"];

fn main() {
    for input in SOURCES.iter().chain(&["build.rs", "cbindgen.toml", "Cargo.toml"]) {
        println!("cargo:rerun-if-changed={input}");
    }
    for argument in LINK {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    let mut config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml");
    config.after_includes = Some(format!(
        "\n/** The version of this header, 0x00MMmmpp; tlsloop_version() tells the library's. */\n\
         #define TLSLOOP_VERSION_NUMBER 0x{:08x}\n\
         \n#ifdef __cplusplus\nextern \"C\" {{\n#endif",
        version_number()
    ));
    let builder = SOURCES.iter().fold(cbindgen::Builder::new(), |b, source| b.with_src(source));
    let header = builder.with_config(config).generate().expect("src/ffi cannot be read as a header");
    let mut text = Vec::new();
    header.write(&mut text);
    let text = String::from_utf8(text).expect("the header is UTF-8");
    let path = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR")).join("tlsloop.h");
    fs::write(path, for_c(&text)).expect("OUT_DIR is writable");
}

/// Leaves out the sections that speak to callers in Rust: what C has to know stands in the prose before them.
fn for_c(header: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut leaving_out = false;
    for line in header.lines() {
        if line.trim() == "* # Safety" {
            leaving_out = true;
            // The empty line that set the section off.
            kept.pop_if(|line| line.trim() == "*");
        }
        leaving_out &= line.trim() != "*/";
        if !leaving_out {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

/// 0x00MMmmpp.
fn version_number() -> u32 {
    ["MAJOR", "MINOR", "PATCH"].into_iter().fold(0, |number, part| {
        let text = env::var(format!("CARGO_PKG_VERSION_{part}")).expect("set by cargo");
        let part: u8 = text.parse().expect("each part of the version fits in a byte");
        number << 8 | u32::from(part)
    })
}
