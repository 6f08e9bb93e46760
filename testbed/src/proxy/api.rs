//! In front of the API server.

use std::fmt;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::hold::{Hold, is_list, is_watch};
use super::trigger::{Moment, Trigger};
use super::{Protocol, Proxy};
use crate::control_plane::ControlPlane;
use crate::error::Result;
use crate::http;

/// The protocol of the API server: HTTP, of which every POST, PUT, PATCH and DELETE counts.
pub struct Api {
    server: String,
    client: reqwest::Client,
    tls: TlsAcceptor,
    watches: Hold,
    lists: Hold,
}

/// Stands between a client and the API server and numbers its writes.
///
/// It shows the API server's own certificate, so that clients need nothing but another URL, and
/// passes the bearer token on. Watches work: answers are passed on as they come.
pub type ApiProxy = Proxy<Api>;

impl Proxy<Api> {
    /// Starts a proxy in front of the API server.
    ///
    /// # Errors
    ///
    /// Fails when there is no free port or the API server's certificate cannot be read.
    pub async fn start(control_plane: &ControlPlane) -> Result<Self> {
        Self::over(Api {
            server: control_plane.url(),
            client: http::client_trusting(&control_plane.ca_file())?,
            tls: http::acceptor(&control_plane.ca_file(), &control_plane.key_file())?,
            watches: Hold::default(),
            lists: Hold::default(),
        })
        .await
    }

    /// The proxy's URL, for [`ControlPlane::kubeconfig`].
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port())
    }

    /// Holds back what watches send from now on, until [`Proxy::release_watches`].
    pub fn hold_watches(&self) {
        self.protocol().watches.set(true);
    }

    /// Holds back what answers a list of selected objects from now on.
    pub fn hold_lists(&self) {
        self.protocol().lists.set(true);
    }

    /// Lets watches send what was held back, and everything after it.
    pub fn release_watches(&self) {
        self.protocol().watches.set(false);
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("a fault closes the connection")]
    Fault,
    #[error(transparent)]
    Upstream(#[from] reqwest::Error),
    #[error(transparent)]
    Client(#[from] hyper::Error),
}

type Answer = Response<BoxBody<Bytes, reqwest::Error>>;

impl Protocol for Api {
    async fn serve(&self, client: TcpStream, trigger: Arc<Trigger>) {
        // A client that does not trust the certificate knows best why.
        let Ok(client) = self.tls.accept(client).await else {
            return;
        };
        let service = service_fn(|request| self.forward(request, &trigger));
        // The client sees the connection end; there is nobody else to tell.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service).await;
    }
}

impl Api {
    async fn forward(&self, request: Request<Incoming>, trigger: &Arc<Trigger>) -> Result<Answer, Closed> {
        let (head, body) = request.into_parts();
        // Requests are small; answers may be endless.
        let body = body.collect().await?.to_bytes();
        let mut strike = None;
        if matches!(head.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
            strike = trigger.observe(&format!("{} {}", head.method, head.uri.path()));
        }
        if let Some(before) = strike.take_if(|strike| strike.moment == Moment::Before) {
            before.carry_out(trigger).await;
            return Err(Closed::Fault);
        }
        let hold = match &head.uri {
            uri if is_watch(uri) => Some(&self.watches),
            uri if is_list(uri) => Some(&self.lists),
            _ => None,
        };
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let answer = self
            .client
            .request(head.method, format!("{}{target}", self.server))
            .headers(end_to_end(&head.headers))
            .body(body)
            .send()
            .await?;
        let (head, body) = Response::<reqwest::Body>::from(answer).into_parts();
        if let Some(after) = strike {
            // Not before the API server has finished.
            body.collect().await?;
            after.carry_out(trigger).await;
            return Err(Closed::Fault);
        }
        let body = match hold {
            Some(hold) => hold.body(body),
            None => BoxBody::new(body),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = end_to_end(&head.headers);
        Ok(answer)
    }
}

/// The headers that concern more than one of the two connections.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
