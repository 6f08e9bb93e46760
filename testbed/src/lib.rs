//! Real servers on loopback for the tests, the demo and the benchmarks of organization-operator.
//!
//! - [`ControlPlane`]: etcd and kube-apiserver with RBAC and an audit log, and `kubectl`;
//! - [`Postgres`]: the server of `DATABASE_URL`, or one of its own that may be stopped and killed;
//! - [`PgBouncer`]: a transaction pooler in front of it;
//! - [`Flux`] and [`ArgoCd`]: the engines of GitOps that people use;
//! - [`Prometheus`]: scrapes a process and evaluates alerts;
//! - [`Image`]: built from the Dockerfile without a daemon; a [`Container`] runs it;
//! - [`proxy`]: stands between the operator and either of them, numbers what passes, and does
//!   something at exactly the n-th write or statement;
//! - [`Tool`]: programs that are used beside the servers;
//! - [`ProcessGuard`]: any other program, such as the operator itself, that must not outlive its test.
//!
//! Every process is ended by its process id by the process that started it, also when a test
//! panics or is killed.

mod cache;
mod container;
mod control_plane;
mod debian;
mod error;
mod gitops;
mod http;
mod image;
mod pgbouncer;
mod ports;
mod postgres;
mod process_guard;
pub mod programs;
mod progress;
mod prometheus;
pub mod proxy;
mod scratch;
mod secret;
mod tool;

pub use cache::cache_directory;
pub use container::{Container, ContainerOptions, Mount};
pub use control_plane::{AuditEvent, ControlPlane, ControlPlaneOptions};
pub use error::{Error, Result};
pub use gitops::{Application, ArgoCd, ArgoCdCommit, Flux, Health, ObjectHealth, SyncedObject};
pub use image::{Image, ImageOptions, compiled_here};
pub use pgbouncer::{PgBouncer, PgBouncerOptions};
pub use postgres::{Kept, Postgres, PostgresOptions, PostgresVersion, quote};
pub use process_guard::{Account, Exit, Launch, ProcessGuard, Signal};
pub use progress::Progress;
pub use prometheus::{Prometheus, PrometheusOptions};
pub use tool::Tool;

/// A control plane and a database, together.
#[derive(Debug)]
pub struct Testbed {
    /// The Kubernetes control plane.
    pub control_plane: ControlPlane,
    /// The database server.
    pub postgres: Postgres,
}

impl Testbed {
    /// Starts both with their default options.
    ///
    /// # Errors
    ///
    /// See [`ControlPlane::start`] and [`Postgres::start`].
    pub async fn start() -> Result<Self> {
        Self::start_with(ControlPlaneOptions::default(), PostgresOptions::default()).await
    }

    /// Starts both at the same time.
    ///
    /// # Errors
    ///
    /// See [`ControlPlane::start`] and [`Postgres::start`].
    pub async fn start_with(control_plane: ControlPlaneOptions, postgres: PostgresOptions) -> Result<Self> {
        let (control_plane, postgres) =
            tokio::try_join!(ControlPlane::start(control_plane), Postgres::start(postgres))?;
        Ok(Self { control_plane, postgres })
    }
}
