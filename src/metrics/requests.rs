//! Requests to the API server: a layer around the client counts and times them.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::http::{Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tower::{Layer, Service};

/// Methods that the operator uses. Shown before they are used: Prometheus sees no increase in a counter that begins at 1.
const VERBS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerbLabel {
    verb: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    verb: String,
    code: String,
}

/// Metrics of the requests.
#[derive(Clone)]
pub(super) struct Requests {
    calls: Family<VerbLabel, Counter>,
    refused: Family<CodeLabel, Counter>,
    duration: Family<VerbLabel, Histogram, fn() -> Histogram>,
}

impl Requests {
    pub(super) fn new() -> Self {
        let buckets = || Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let requests = Self {
            calls: Family::default(),
            refused: Family::default(),
            duration: Family::new_with_constructor(buckets),
        };
        for verb in VERBS {
            drop(requests.calls.get_or_create(&VerbLabel { verb: verb.to_owned() }));
            drop(requests.duration.get_or_create(&VerbLabel { verb: verb.to_owned() }));
            for code in ["401", "403", "422", "500", "503", "none"] {
                drop(requests.refused.get_or_create(&CodeLabel { verb: verb.to_owned(), code: code.to_owned() }));
            }
        }
        requests
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("api_calls", "Requests to the API server", self.calls.clone());
        registry.register(
            "api_errors",
            "Requests that the API server answered with an error, by status code; none if it gave no answer",
            self.refused.clone(),
        );
        registry.register(
            "api_request_duration_seconds",
            "Time until the API server's answer began; a watch is answered when it begins",
            self.duration.clone(),
        );
    }

    pub(super) fn layer(&self) -> Metered {
        Metered(self.clone())
    }

    /// Records an answer. `None` if there was none.
    fn answered(&self, verb: String, code: Option<u16>, seconds: f64) {
        if code.is_none_or(|code| code >= 400) {
            let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
            self.refused.get_or_create(&CodeLabel { verb: verb.clone(), code }).inc();
        }
        self.duration.get_or_create(&VerbLabel { verb }).observe(seconds);
    }
}

/// Counts and times requests: a layer around a client.
#[derive(Clone)]
pub struct Metered(Requests);

impl<S> Layer<S> for Metered {
    type Service = MeteredService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MeteredService { inner, requests: self.0.clone() }
    }
}

/// A client whose requests are counted and timed.
#[derive(Clone)]
pub struct MeteredService<S> {
    inner: S,
    requests: Requests,
}

impl<S, B, R> Service<Request<B>> for MeteredService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (requests, verb) = (self.requests.clone(), request.method().to_string());
        requests.calls.get_or_create(&VerbLabel { verb: verb.clone() }).inc();
        let began = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().ok().map(|response| response.status().as_u16());
            requests.answered(verb, code, began.elapsed().as_secs_f64());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[tokio::test]
    async fn each_request_is_counted_and_timed_with_its_answer() {
        let metrics = Metrics::new([]);
        let client = tower::service_fn(|request: Request<u16>| async move {
            let code = *request.body();
            if code == 0 { Err("lost") } else { Ok(Response::builder().status(code).body(()).expect("an answer")) }
        });
        let mut client = metrics.metered().layer(client);
        for (verb, code) in [("GET", 200), ("GET", 404), ("PATCH", 403), ("PATCH", 403), ("PATCH", 0)] {
            let request = Request::builder().method(verb).body(code).expect("a request");
            assert_eq!(client.call(request).await.is_ok(), code != 0);
        }
        let shown = metrics.encode(k8s_openapi::jiff::Timestamp::UNIX_EPOCH).expect("text");
        for line in [
            "api_calls_total{verb=\"GET\"} 2",
            "api_calls_total{verb=\"PATCH\"} 3",
            "api_errors_total{verb=\"GET\",code=\"404\"} 1",
            "api_errors_total{verb=\"PATCH\",code=\"403\"} 2",
            "api_errors_total{verb=\"PATCH\",code=\"none\"} 1",
            "api_errors_total{verb=\"DELETE\",code=\"403\"} 0",
            "api_request_duration_seconds_count{verb=\"PATCH\"} 3",
        ] {
            assert!(shown.contains(&format!("organization_operator_{line}\n")), "{line}: {shown}");
        }
        assert!(!shown.contains("code=\"200\""), "{shown}");
    }
}
