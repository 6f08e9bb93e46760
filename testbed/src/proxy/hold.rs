//! Holds watches and lists back, as a network or an API server does that is slow.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use hyper::Uri;
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::{mpsc, watch};

/// Whether answers are held back.
#[derive(Debug, Default)]
pub(super) struct Hold(watch::Sender<bool>);

/// Whether a request begins a watch.
pub(super) fn is_watch(uri: &Uri) -> bool {
    let mut parameters = uri.query().unwrap_or_default().split('&');
    parameters.any(|p| matches!(p.split_once('='), Some(("watch", "1" | "true"))))
}

/// Whether a request that begins no watch lists selected objects.
pub(super) fn is_list(uri: &Uri) -> bool {
    uri.query().unwrap_or_default().split('&').any(|p| p.starts_with("fieldSelector="))
}

impl Hold {
    pub(super) fn set(&self, held: bool) {
        self.0.send_replace(held);
    }

    /// The same body, of which nothing passes while answers are held back. Nothing is lost, and the order stays.
    pub(super) fn body<B>(&self, body: B) -> BoxBody<Bytes, B::Error>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send + 'static,
    {
        let mut held = self.0.subscribe();
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut body = Box::pin(body);
            loop {
                let frame = tokio::select! {
                    frame = body.frame() => frame,
                    // The client has gone.
                    () = sender.closed() => return,
                };
                let Some(frame) = frame else { return };
                // It fails when the proxy ends, and then nobody reads.
                let _ = held.wait_for(|held| !held).await;
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        BoxBody::new(Frames(receiver))
    }
}

struct Frames<E>(mpsc::Receiver<Result<Frame<Bytes>, E>>);

impl<E> Body for Frames<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.0.poll_recv(cx)
    }
}
