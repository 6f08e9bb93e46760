//! One object from now on, for a person who waits for it.

use futures::{Stream, StreamExt as _, future};
use k8s_openapi::api::core::v1::Event as Told;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};

use super::failure::failure;
use super::{Cluster, chain, escape_selector};
use crate::api::Organization;
use crate::api::status::Outcome;
use crate::domain::Failure;

/// Events of cluster-scoped objects live in this namespace.
const NAMESPACE: &str = "default";

/// What is seen of one object.
#[derive(Clone, Debug)]
pub enum Followed {
    /// It is there, and this is how it is now.
    There(Box<Organization>),
    /// It is not there, with its last state if it was seen to go.
    Gone(Option<Box<Organization>>),
    /// The API server gives no answer for the moment; the words say why.
    Unreachable(String),
}

/// How the deletion of an object that is gone ended, as its Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// In words.
    pub note: String,
}

impl Cluster {
    /// Follows one object until the stream is dropped.
    pub fn follow(&self, name: &str) -> impl Stream<Item = Result<Followed, Failure>> + Send + 'static {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", escape_selector(name)));
        let (mut answered, mut listed) = (false, false);
        watch(self.organizations.clone(), config).default_backoff().filter_map(move |event| {
            future::ready(match event {
                Ok(Event::Apply(object)) => Some(Ok(Followed::There(Box::new(object)))),
                Ok(Event::InitApply(object)) => {
                    listed = true;
                    Some(Ok(Followed::There(Box::new(object))))
                }
                Ok(Event::Delete(object)) => Some(Ok(Followed::Gone(Some(Box::new(object))))),
                Ok(Event::Init) => {
                    listed = false;
                    None
                }
                Ok(Event::InitDone) => {
                    answered = true;
                    (!listed).then_some(Ok(Followed::Gone(None)))
                }
                Err(error) => Some(interrupted(error, answered)),
            })
        })
    }

    /// How the last deletion of an object of that name ended; of that very object, if its uid is known. Returns `None` if no
    /// Event says so: the API server drops Events after an hour.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked, or forbids it.
    pub async fn ending(&self, name: &str, uid: Option<&str>) -> Result<Option<Ending>, Failure> {
        let events: Api<Told> = Api::namespaced(self.client.clone(), NAMESPACE);
        let selector = format!("involvedObject.kind=Organization,involvedObject.name={}", escape_selector(name));
        let list = events.list(&ListParams::default().fields(&selector)).await;
        let mut list = list.map_err(|e| failure(&e, "listing Events"))?.items;
        list.retain(|event| uid.is_none_or(|uid| event.involved_object.uid.as_deref() == Some(uid)));
        list.sort_by_key(|event| event.event_time.as_ref().map(|t| t.0));
        Ok(list.into_iter().rev().find_map(|event| {
            // The same words say that the operator carried out `spec.state`.
            let outcome = event.reason.as_deref().filter(|_| event.action.as_deref() == Some("Delete"));
            let note = event.message.unwrap_or_default();
            outcome.and_then(Outcome::parse).map(|outcome| Ending { outcome, note })
        }))
    }
}

/// Before the first answer every error is final, as for any command. After it only those that trying again does not change.
fn interrupted(error: watcher::Error, answered: bool) -> Result<Followed, Failure> {
    let words = chain(&error);
    let source = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => return Ok(Followed::Unreachable(words)),
    };
    let lasting = matches!(&source, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404));
    if answered && !lasting { Ok(Followed::Unreachable(words)) } else { Err(failure(&source, "watching the object")) }
}
