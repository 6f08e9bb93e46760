//! `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use k8s_openapi::jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Serves until `stop` turns true.
///
/// # Errors
/// Fails if the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let router = Router::new()
        // The process runs. A restart would not repair a database that is unavailable.
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/readyz/{database}", get(database_ready))
        .route("/metrics", get(text))
        .with_state(metrics);
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // A dropped sender also means that the process ends.
            drop(stop.wait_for(|s| *s).await);
        })
        .await
}

async fn ready(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    match metrics.ready() {
        Ok(states) => (StatusCode::OK, format!("{states}\n")),
        Err(missing) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
    }
}

async fn database_ready(State(metrics): State<Arc<Metrics>>, Path(database): Path<String>) -> impl IntoResponse {
    match metrics.database_ready(&database) {
        Some(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Some(Err(missing)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
        None => (StatusCode::NOT_FOUND, "this operator does not serve that database\n".to_owned()),
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics.encode(Timestamp::now()) {
        Ok(text) => (StatusCode::OK, kind, text),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, kind, String::new()),
    }
}
