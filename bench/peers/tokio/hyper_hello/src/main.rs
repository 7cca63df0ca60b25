//! Answers every request with a greeting, as hyper's guide writes it, on the runtime with one thread.
//!
//!   hyper_hello [PORT]     prints "port N"; port 0 or none: the kernel chooses one
use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, World!")));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn listen(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("port {}", listener.local_addr()?.port());
    loop {
        let (peer, _) = listener.accept().await?;
        peer.set_nodelay(true)?;
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(peer), service_fn(hello)).await;
        });
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).map_or(0, |word| word.parse().expect("a port"));
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(listen(port))
}
