//! The watch. One object that cannot be read must not stop it.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, future};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};

use super::index::Index;
use crate::api::Organization;
use crate::cluster::chain;
use crate::metrics::Metrics;

/// Events of the Organizations that this instance serves.
pub(super) fn organizations(
    client: Client,
    database: &str,
    metrics: Arc<Metrics>,
    index: Arc<Index>,
) -> impl Stream<Item = watcher::Result<Event<Organization>>> + Send + 'static {
    let guarded: Api<DeserializeGuard<Organization>> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("spec.database={database}"));
    watch(guarded, config).default_backoff().filter_map(move |event| {
        future::ready(match event {
            Ok(event) => {
                index.unreadable(&event);
                readable(event, &metrics).map(Ok)
            }
            Err(e) => {
                tracing::warn!(error = chain(&e), "the watch was interrupted; the operator starts it again");
                Some(Err(e))
            }
        })
    })
}

fn readable(event: Event<DeserializeGuard<Organization>>, metrics: &Metrics) -> Option<Event<Organization>> {
    let read = |object: DeserializeGuard<Organization>| {
        let name = object.name_any();
        object
            .0
            .map_err(|e| {
                metrics.unreadable.inc();
                tracing::error!(object = name, error = %e.error, "the operator cannot read this object and leaves it alone; is the CRD newer than the operator?");
            })
            .ok()
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}
