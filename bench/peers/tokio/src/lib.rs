//! What both peers have in common: the arguments, the accept loop, the echo.

use std::env;
use std::future::Future;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// `PORT CERTIFICATE KEY`, as the other peers take them.
pub struct Arguments {
    pub port: u16,
    pub certificate: String,
    pub key: String,
}

pub fn arguments() -> Arguments {
    let words: Vec<String> = env::args().skip(1).collect();
    let [port, certificate, key] = words.try_into().expect("use: PORT CERTIFICATE KEY");
    Arguments { port: port.parse().expect("a port"), certificate, key }
}

/// One thread, one task for each connection, for ever.
pub fn serve<F>(port: u16, connection: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::bind(("0.0.0.0", port)).await.expect("the port is free");
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let _ = socket.set_nodelay(true);
            tokio::spawn(connection(socket));
        }
    });
}

pub async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut buffer = vec![0; 16384];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            let _ = stream.shutdown().await;
            return;
        }
        if stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
