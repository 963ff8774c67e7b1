//! TLS echo with tokio-openssl, on the system's OpenSSL.

use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslMode, SslVersion};
use std::pin::Pin;
use tlsloop_bench_peers::{Arguments, arguments, echo, serve};
use tokio_openssl::SslStream;

fn acceptor(arguments: &Arguments) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("a context");
    builder.set_certificate_chain_file(&arguments.certificate).expect("a certificate");
    builder.set_private_key_file(&arguments.key, SslFiletype::PEM).expect("its key");
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).expect("TLS 1.2");
    builder.set_session_id_context(b"echo").expect("a session context");
    builder.set_mode(SslMode::RELEASE_BUFFERS);
    builder.build()
}

fn main() {
    let arguments = arguments();
    let acceptor = acceptor(&arguments);
    serve(arguments.port, |socket| {
        let ssl = Ssl::new(acceptor.context()).expect("memory");
        async move {
            let mut stream = SslStream::new(ssl, socket).expect("memory");
            if Pin::new(&mut stream).accept().await.is_ok() {
                echo(stream).await;
            }
        }
    });
}
