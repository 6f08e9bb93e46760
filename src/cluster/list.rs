//! All objects page by page, and what Events say about one.

use k8s_openapi::api::core::v1::Event as Told;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;

use super::failure::failure_of_person;
use super::{Cluster, escape_selector, unreadable};
use crate::api::Organization;
use crate::domain::Failure;

/// Events of cluster-scoped objects live in this namespace.
const NAMESPACE: &str = "default";
/// Objects that are read at a time.
const PAGE: u32 = 500;

/// An Event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// When it happened.
    pub time: Timestamp,
    /// One word.
    pub reason: String,
    /// What the operator was doing, in one word.
    pub action: String,
    /// In words.
    pub note: String,
}

impl Cluster {
    /// The next objects of the cluster, and where the rest begins: `from` is `None` for the first page, and what is returned is
    /// `None` after the last one.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked, or if an object cannot be read.
    pub async fn page(&self, from: Option<&str>) -> Result<(Vec<Organization>, Option<String>), Failure> {
        let guarded: Api<DeserializeGuard<Organization>> = Api::all(self.client.clone());
        let mut params = ListParams::default().limit(PAGE);
        if let Some(from) = from {
            params = params.continue_token(from);
        }
        let list = guarded.list(&params).await.map_err(|e| failure_of_person(&e, "listing organizations"))?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        let objects = list.items.into_iter().map(|object| object.0.map_err(|e| unreadable(&e)));
        Ok((objects.collect::<Result<_, _>>()?, next))
    }

    /// What Events say about an object of this name, oldest first; about that very object, if its uid is known. The API server
    /// drops Events after an hour.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked, or forbids it.
    pub async fn events_about(&self, name: &str, uid: Option<&str>) -> Result<Vec<Noted>, Failure> {
        let events: Api<Told> = Api::namespaced(self.client.clone(), NAMESPACE);
        let selector = format!("involvedObject.kind=Organization,involvedObject.name={}", escape_selector(name));
        let list = events.list(&ListParams::default().fields(&selector)).await;
        let list = list.map_err(|e| failure_of_person(&e, "listing Events"))?.items.into_iter();
        let of_object = list.filter(|e| uid.is_none_or(|uid| e.involved_object.uid.as_deref() == Some(uid)));
        let mut noted: Vec<Noted> = of_object
            .filter_map(|event| {
                Some(Noted {
                    time: event.event_time?.0,
                    reason: event.reason?,
                    action: event.action.unwrap_or_default(),
                    note: event.message.unwrap_or_default(),
                })
            })
            .collect();
        noted.sort_by_key(|event| event.time);
        Ok(noted)
    }
}
