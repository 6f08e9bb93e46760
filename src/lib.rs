//! Kubernetes operator that deletes, deactivates or retains the tenants of a workflow platform kept in PostgreSQL.
//!
//! `api <- domain <- { db <- cascade, cluster } <- controller, commands <- main`: nothing depends to the left, and a test checks it.
//! `docs/architecture.md` shows the way of the data on one screen.

pub mod api;
pub mod background;
pub mod cascade;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod controller;
pub mod db;
pub mod domain;
pub mod metrics;
pub mod server;
pub mod telemetry;
