// What the generator reads: the files of src/ffi/types, laid out as they are there.
#![allow(non_camel_case_types)]

#[path = "../../src/ffi/types/client.rs"]
mod client;
#[path = "../../src/ffi/types/conn.rs"]
mod conn;
#[path = "../../src/ffi/types/constants.rs"]
mod constants;
#[path = "../../src/ffi/types/server.rs"]
mod server;
