//! TLS echo with tokio-rustls: aws-lc-rs beneath it, stateless tickets.

use std::sync::Arc;
use tlsloop_bench_peers::{Arguments, arguments, echo, serve};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn acceptor(arguments: &Arguments) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&arguments.certificate).expect("a certificate");
    let chain = chain.collect::<Result<_, _>>().expect("a certificate in PEM");
    let key = PrivateKeyDer::from_pem_file(&arguments.key).expect("its key");
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).expect("a certificate and its key");
    config.ticketer = Ticketer::new().expect("random numbers");
    TlsAcceptor::from(Arc::new(config))
}

fn main() {
    let arguments = arguments();
    let acceptor = acceptor(&arguments);
    serve(arguments.port, |socket| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(socket).await {
                echo(stream).await;
            }
        }
    });
}
