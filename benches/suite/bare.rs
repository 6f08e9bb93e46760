//! The operator with which the real one is compared: it deletes the rows by SQL written for this schema, patches the status,
//! and drops its finalizer. No ledger, no claim, no Event, no check, no retry.

use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::Action;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{Controller, PredicateConfig, WatchStreamExt as _, predicates, reflector, watcher};
use kube::{Api, ResourceExt as _};
use organization_operator::api::Organization;
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{by_hand, progress};
use crate::support::Scene;

/// Its finalizer.
pub const FINALIZER: &str = "bare.example/rows";

/// As many connections as the real one has by default.
const CONNECTIONS: u32 = 8;

/// A bare operator that runs. It ends when this value goes.
pub struct Bare(JoinHandle<()>);

struct Context {
    api: Api<Organization>,
    database: PgPool,
}

impl Bare {
    /// Starts it with the same rights, in the cluster and in the database, as the real one, and waits until it has read all
    /// objects.
    pub async fn start(scene: &Scene) -> Self {
        let kubeconfig = scene.world.control_plane().kubeconfig(&scene.world.token, None);
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let api: Api<Organization> =
            Api::all(kube::Client::try_from(config.expect("a configuration")).expect("a client"));
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).min_connections(CONNECTIONS);
        let database = pool.connect(&scene.url()).await.expect("connected");
        let (store, writer) = reflector::store();
        // `Store::wait_until_ready` wakes one task, which would not always be this one: the controller waits, too.
        let ready = Arc::new(Notify::new());
        let told = ready.clone();
        let objects = watcher(api.clone(), Config::default())
            .default_backoff()
            .inspect(move |event| {
                if matches!(event, Ok(Event::InitDone)) {
                    told.notify_one();
                }
            })
            .reflect(writer)
            .applied_objects()
            .predicate_filter(predicates::generation, PredicateConfig::default());
        let controller = Controller::for_stream(objects, store)
            .run(reconcile, |_, _, _| Action::await_change(), Arc::new(Context { api, database }))
            .for_each(|done| async move {
                if let Err(error) = done {
                    eprintln!("bench: the bare operator: {error}");
                }
            });
        let running = Self(tokio::spawn(controller));
        progress().during("the bare operator starts", ready.notified()).await;
        running
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn reconcile(object: Arc<Organization>, context: Arc<Context>) -> Result<Action, kube::Error> {
    let mine = object.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    if object.metadata.deletion_timestamp.is_none() || !mine {
        return Ok(Action::await_change());
    }
    let mut connection = context.database.acquire().await.expect("a connection");
    by_hand::children_first(&mut connection, &object.spec.organization_id).await;
    drop(connection);
    let name = object.name_any();
    let deleted = json!({"status": {"observedGeneration": object.metadata.generation, "state": "Absent"}});
    context.api.patch_status(&name, &PatchParams::default(), &Patch::Merge(deleted)).await?;
    let release = json!({"metadata": {"uid": object.uid(), "finalizers": null}});
    context.api.patch(&name, &PatchParams::default(), &Patch::Merge(release)).await?;
    Ok(Action::await_change())
}
