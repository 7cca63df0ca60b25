//! The echo server as one writes it with Tokio: a task for each connection, on the runtime with one thread.
//!
//!   tokio_echo [PORT]     prints "port N"; port 0 or none: the kernel chooses one
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn serve(mut peer: TcpStream) {
    let mut buffer = vec![0u8; 16 * 1024];
    loop {
        match peer.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if peer.write_all(&buffer[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn listen(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("port {}", listener.local_addr()?.port());
    loop {
        let (peer, _) = listener.accept().await?;
        peer.set_nodelay(true)?;
        tokio::spawn(serve(peer));
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).map_or(0, |word| word.parse().expect("a port"));
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(listen(port))
}
