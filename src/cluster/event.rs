//! Events. An Event says what happened and never decides anything: a failure to write one is logged, not returned. If the
//! answer to a write is lost, the Event is written again under the same name, so it exists once.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};

use super::{Cluster, chain};
use crate::api::condition::truncate;
use crate::api::{FIELD_MANAGER, GROUP, Organization};
use crate::domain::announcement::{Announcement, Severity};

/// Events of cluster-scoped objects live in this namespace.
const NAMESPACE: &str = "default";
/// Longest note that the API server takes.
const NOTE_LIMIT: usize = 1024;
/// Longest name of the object that goes into the Event's name, which has at most 253 characters.
const NAME_LIMIT: usize = 160;

/// How often the write is tried while the API server cannot be reached or asks for another try.
const TRIES: u32 = 3;
/// First pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Publishes an Event about the object.
    pub async fn announce(&self, object: &Organization, what: &Announcement, now: Timestamp) {
        let uid = object.uid().unwrap_or_default();
        let name = format!(
            "{}.{}.{}{}",
            truncated_name(&object.name_any()),
            uid.chars().filter(char::is_ascii_alphanumeric).take(12).collect::<String>(),
            what.reason.to_ascii_lowercase(),
            what.occurrence
        );
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(NAMESPACE.to_owned()),
                labels: Some(BTreeMap::from([(format!("{GROUP}/organization-uid"), uid.clone())])),
                ..ObjectMeta::default()
            },
            type_: Some(
                match what.severity {
                    Severity::Normal => "Normal",
                    Severity::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some(what.reason.to_owned()),
            action: Some(what.action.to_owned()),
            note: Some(truncate(what.note.clone(), NOTE_LIMIT)),
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("{GROUP}/{FIELD_MANAGER}")),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference { namespace: None, ..object.object_ref(&()) }),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
        for tried in 1..=TRIES {
            match events.create(&PostParams::default(), &event).await {
                Ok(_) => return,
                Err(kube::Error::Api(s)) if s.is_already_exists() => return,
                Err(e) if tried < TRIES && is_temporary(&e) => tokio::time::sleep(PAUSE * tried).await,
                Err(e) => {
                    tracing::warn!(error = chain(&e), reason = what.reason, "writing an Event failed");
                    return;
                }
            }
        }
    }
}

/// Whether it may work in a moment: the connection was lost, or the API server is overloaded or restarting.
pub(super) fn is_temporary(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500 || status.code == 429,
        _ => true,
    }
}

/// The object's name cut so that the Event's name stays a valid DNS subdomain.
fn truncated_name(name: &str) -> &str {
    let cut = name.get(..NAME_LIMIT).unwrap_or(name);
    cut.trim_end_matches(['-', '.'])
}
