//! Lets requests that change something pass only while this process may act as the leader.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{Method, Request};
use tower::{BoxError, Layer, Service};

use crate::tenure::{Ended, Tenure};

/// The layer around the client. Also a request that is tried again, and one of a process that was frozen, ends with the tenure.
#[derive(Clone, Debug)]
pub struct Fence(pub Tenure);

/// A service behind the fence.
#[derive(Clone, Debug)]
pub struct Fenced<S> {
    tenure: Tenure,
    inner: S,
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced { tenure: self.0.clone(), inner }
    }
}

impl<S, B> Service<Request<B>> for Fenced<S>
where
    S: Service<Request<B>, Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let tenure = self.tenure.clone();
        if !reads && !tenure.holds() {
            return Box::pin(async { Err(Ended.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            if reads {
                return answer.await.map_err(Into::into);
            }
            match tenure.guard(answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(ended) => Err(ended.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_leader_writes_and_everybody_reads() {
        let tenure = Tenure::not_yet();
        let echo =
            tower::service_fn(|request: Request<()>| async move { Ok::<_, Infallible>(request.method().clone()) });
        let fenced = Fence(tenure.clone()).layer(echo);
        let send = |method: Method| {
            let request = Request::builder().method(method).body(()).expect("a request");
            fenced.clone().oneshot(request)
        };
        let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        for method in changes.clone() {
            let refused = send(method).await.expect_err("it does not pass");
            assert!(refused.is::<Ended>(), "{refused}");
        }
        assert_eq!(send(Method::GET).await.expect("it passes"), Method::GET);
        tenure.begin(tokio::time::Instant::now() + std::time::Duration::from_mins(1));
        for method in changes {
            assert_eq!(send(method.clone()).await.expect("it passes"), method);
        }
    }
}
