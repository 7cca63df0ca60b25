//! hyper_hello with hyper 0.14, for machines that have no newer one.
//!
//!   hyper_hello_0 [PORT]     prints "port N"; port 0 or none: the kernel chooses one
use std::convert::Infallible;
use std::net::Ipv4Addr;

use hyper::header::{HeaderValue, CONTENT_TYPE};
use hyper::server::conn::Http;
use hyper::service::service_fn;
use hyper::{Body, Request, Response};
use tokio::net::TcpListener;

async fn hello(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::from("Hello, World!"));
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
            let _ = Http::new().http1_only(true).serve_connection(peer, service_fn(hello)).await;
        });
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).map_or(0, |word| word.parse().expect("a port"));
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(listen(port))
}
