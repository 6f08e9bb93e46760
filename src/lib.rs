//! Kubernetes operator that deletes, deactivates or retains the tenants of a workflow platform kept in PostgreSQL.
//!
//! `{ api, pace } <- domain <- { db <- catalog, store <- cascade; cluster } <- controller, commands <- main`: no layer depends on one
//! to its right, and a test checks it. `docs/architecture.md` shows the flow of the data on one screen.

pub mod api;
pub mod background;
pub mod cascade;
pub mod catalog;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod controller;
pub mod db;
pub mod domain;
pub mod leadership;
pub mod metrics;
pub mod pace;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tenure;
