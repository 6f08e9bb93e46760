//! A web server on loopback for the archives that Flux's source-controller would serve.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::ports::free_port;

type Files = Arc<Mutex<HashMap<String, Bytes>>>;

/// Serves files from memory until it is dropped.
#[derive(Debug)]
pub(super) struct Artifacts {
    files: Files,
    port: u16,
    server: JoinHandle<()>,
}

impl Artifacts {
    pub(super) async fn start() -> Result<Self> {
        let port = free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|source| Error::Listen { port, source })?;
        let files = Files::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&files)));
        Ok(Self { files, port, server })
    }

    /// Serves `content` from now on, and returns its URL.
    pub(super) fn put(&self, name: &str, content: Vec<u8>) -> String {
        let path = format!("/{name}");
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, content.into());
        url
    }
}

impl Drop for Artifacts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, files: Files) {
    loop {
        // A connection that failed before it was accepted is its client's to make again.
        let Ok((client, _)) = listener.accept().await else { continue };
        let files = Arc::clone(&files);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &files);
                async move { Ok::<_, Infallible>(answer) }
            });
            // The client sees the connection end; there is nobody else to tell.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>, files: &Files) -> Response<Full<Bytes>> {
    let found = files.lock().unwrap_or_else(PoisonError::into_inner).get(request.uri().path()).cloned();
    let mut answer = Response::new(Full::new(found.clone().unwrap_or_default()));
    if found.is_none() {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    }
    answer
}
