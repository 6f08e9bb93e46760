//! The watch. One object that cannot be read must not stop it.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, future};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, ResourceExt as _};

use super::cached::Cached;
use super::index::Index;
use crate::cluster::chain;
use crate::metrics::DatabaseMetrics;

/// Objects in a page of the first list. A page is held as text, with all managed fields, while its objects are read.
const PAGE: u32 = 100;

/// Events of the Organizations that this instance serves.
pub(super) fn organizations(
    client: Client,
    database: &str,
    metrics: Arc<DatabaseMetrics>,
    index: Arc<Index>,
) -> impl Stream<Item = watcher::Result<Event<Cached>>> + Send + 'static {
    events(client, watcher::Config::default().fields(&format!("spec.database={database}")), move |event| {
        index.unreadable(&event);
        readable(event, &metrics)
    })
}

/// Events of the Organizations that name none of these databases. Those that cannot be read are left out.
pub(super) fn others(
    client: Client,
    databases: &[String],
) -> impl Stream<Item = watcher::Result<Event<Cached>>> + Send + 'static {
    let selector: Vec<String> = databases.iter().map(|name| format!("spec.database!={name}")).collect();
    events(client, watcher::Config::default().fields(&selector.join(",")), |event| match &event {
        Event::Apply(object) | Event::Delete(object) | Event::InitApply(object) => {
            object.unreadable().is_none().then_some(event)
        }
        Event::Init | Event::InitDone => Some(event),
    })
}

/// Events of the objects that a selector selects, as `passed` lets them pass.
fn events(
    client: Client,
    selected: watcher::Config,
    passed: impl Fn(Event<Cached>) -> Option<Event<Cached>> + Send + 'static,
) -> impl Stream<Item = watcher::Result<Event<Cached>>> + Send + 'static {
    let all: Api<Cached> = Api::all(client);
    watch(all, selected.page_size(PAGE)).default_backoff().filter_map(move |event| {
        future::ready(match event {
            Ok(event) => passed(event).map(Ok),
            Err(e) => {
                tracing::warn!(error = chain(&e), "the watch was interrupted; the operator starts it again");
                Some(Err(e))
            }
        })
    })
}

fn readable(event: Event<Cached>, metrics: &DatabaseMetrics) -> Option<Event<Cached>> {
    let read = |object: Cached| {
        let Some(error) = object.unreadable() else { return Some(object) };
        metrics.unreadable();
        tracing::error!(
            object = object.name_any(),
            error,
            "the operator cannot read this object and leaves it alone; is the CRD newer than the operator?"
        );
        None
    };
    Some(match event {
        Event::Apply(object) => Event::Apply(read(object)?),
        Event::Delete(object) => Event::Delete(read(object)?),
        Event::InitApply(object) => Event::InitApply(read(object)?),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    })
}
