//! An object in the cache of the watch, kept small: the cache holds all objects, and most of them are never needed.
//!
//! What is left out are the managed fields, which are several times as large as all else. They are asked for one thing, who
//! set the deletion policy, and only of a terminating object, which is read live. Labels, annotations, spec and status are kept as compressed text:
//! a map of one label takes half a kilobyte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::core::ClusterResourceScope;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::packed::Packed;
use crate::api::{DeletionPolicy, Organization, OrganizationSpec, OrganizationStatus, Reason};

/// The manifest, which kubectl repeats in an annotation.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// An object as the watch sent it.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    /// Without labels and annotations.
    metadata: ObjectMeta,
    /// Of all that a reconciliation depends on but for the status.
    interest: u64,
    content: Result<Content, Box<str>>,
}

/// What is in an object that the operator can read.
#[derive(Clone, Debug)]
struct Content {
    organization_id: Box<str>,
    policy: DeletionPolicy,
    suspended: bool,
    /// The reason of the error in its status.
    error: Option<Reason>,
    /// Labels, annotations, spec and status in JSON.
    packed: Packed,
}

/// What is kept as text.
#[derive(Deserialize)]
struct Kept {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    spec: OrganizationSpec,
    status: Option<OrganizationStatus>,
}

impl Cached {
    /// The whole object, but for what the cache leaves out.
    ///
    /// # Errors
    /// Fails with the reason if the operator cannot read the object.
    pub(super) fn object(&self) -> Result<Organization, String> {
        let content = self.content.as_ref().map_err(ToString::to_string)?;
        let text = content.packed.text()?;
        let Kept { labels, annotations, spec, status } = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let metadata = ObjectMeta { labels, annotations, ..self.metadata.clone() };
        Ok(Organization { metadata, spec, status })
    }

    /// A number that changes when a reconciliation is due: with generation, finalizers, labels or annotations. The operator's
    /// own writes to the status change none of them.
    pub(super) const fn interest(&self) -> u64 {
        self.interest
    }

    /// Why the operator cannot read the object. Returns `None` if it can.
    pub(super) fn unreadable(&self) -> Option<&str> {
        self.content.as_ref().err().map(|e| &**e)
    }

    /// The organization's id as the user wrote it; empty if the object cannot be read.
    pub(super) fn organization_id(&self) -> &str {
        self.content.as_ref().map_or("", |c| &*c.organization_id)
    }

    /// When the deletion was requested, if the policy is `Delete`: then it would erase.
    pub(super) fn erasure_requested(&self) -> Option<Timestamp> {
        let erases = self.content.as_ref().is_ok_and(|c| c.policy == DeletionPolicy::Delete);
        self.metadata.deletion_timestamp.as_ref().filter(|_| erases).map(|t| t.0)
    }

    /// Whether the object is suspended.
    pub(super) fn suspended(&self) -> bool {
        self.content.as_ref().is_ok_and(|c| c.suspended)
    }

    /// The reason of the error in its status.
    pub(super) fn error(&self) -> Option<Reason> {
        self.content.as_ref().ok().and_then(|c| c.error)
    }
}

/// What the cache leaves out of an object, left out of one that was read live: then both can be compared.
pub(super) fn without_managers(mut object: Organization) -> Organization {
    object.metadata.managed_fields = None;
    object
}

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent { mut metadata, spec, status } = Sent::deserialize(deserializer)?;
        let (labels, mut annotations) = (metadata.labels.take(), metadata.annotations.take());
        if let Some(annotations) = &mut annotations {
            annotations.remove(LAST_APPLIED);
        }
        let annotations = annotations.filter(|a| !a.is_empty());
        let mut interest = DefaultHasher::new();
        (metadata.generation, &metadata.finalizers, &labels, &annotations).hash(&mut interest);
        let content = content(&Text { labels, annotations, spec, status }).map_err(Into::into);
        Ok(Self { metadata: metadata.into(), interest: interest.finish(), content })
    }
}

/// Of any shape: an object that cannot be read must not stop the watch.
#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    metadata: Metadata,
    spec: Option<Value>,
    status: Option<Value>,
}

#[derive(Serialize)]
struct Text {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
}

fn content(sent: &Text) -> Result<Content, String> {
    let text = serde_json::to_vec(sent).map_err(|e| e.to_string())?;
    let kept: Kept = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let error = kept.status.and_then(|s| s.error).map(|e| e.reason);
    let OrganizationSpec { organization_id, deletion_policy: policy, suspend: suspended, .. } = kept.spec;
    Ok(Content { organization_id: organization_id.into(), policy, suspended, error, packed: Packed::new(&text) })
}

/// What is kept of the metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl From<Metadata> for ObjectMeta {
    fn from(sent: Metadata) -> Self {
        Self {
            name: sent.name,
            uid: sent.uid,
            resource_version: sent.resource_version,
            generation: sent.generation,
            creation_timestamp: sent.creation_timestamp,
            deletion_timestamp: sent.deletion_timestamp,
            finalizers: sent.finalizers,
            ..Self::default()
        }
    }
}

impl kube::Resource for Cached {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Organization::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Organization::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Organization::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Organization::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// An object as the watch sends it.
    pub(in crate::controller) fn cached(value: Value) -> Cached {
        serde_json::from_value(value).expect("of any shape")
    }

    #[test]
    fn an_object_comes_back_but_for_what_is_left_out() {
        let sent = json!({
            "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
            "metadata": {
                "name": "acme", "uid": "u", "resourceVersion": "7", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:01Z",
                "finalizers": ["a/b"], "labels": {"l": "1"}, "annotations": {"a": "2"},
            },
            "spec": {"organizationId": "acme", "deletionPolicy": "Delete", "expirationTime": "2027-01-01T00:00:00Z"},
            "status": {"observedGeneration": 3, "state": "Active", "claim": {"installation": "i", "organizationKey": "k"}},
        });
        let whole: Organization = serde_json::from_value(sent.clone()).expect("an organization");
        let mut more = sent;
        more["metadata"]["managedFields"] = json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]);
        more["metadata"]["annotations"][LAST_APPLIED] = json!("{}");
        let cached = cached(more);
        let back = cached.object().expect("readable");
        assert_eq!(serde_json::to_value(&back).expect("JSON"), serde_json::to_value(whole).expect("JSON"));
        assert_eq!((cached.organization_id(), cached.error(), cached.unreadable()), ("acme", None, None));
    }

    #[test]
    fn everything_but_the_status_is_of_interest() {
        let object = |labels: Value, annotations: Value, generation: i64, finalizers: Value, state: &str| {
            cached(json!({
                "metadata": {
                    "name": "acme", "generation": generation, "finalizers": finalizers, "labels": labels,
                    "annotations": annotations,
                },
                "spec": {"organizationId": "acme"}, "status": {"state": state},
            }))
            .interest()
        };
        let usual = object(json!({"a": "1"}), json!({"b": "1"}), 1, json!(["f/1"]), "Active");
        let applied = json!({"b": "1", LAST_APPLIED: "{}"});
        assert_eq!(usual, object(json!({"a": "1"}), applied, 1, json!(["f/1"]), "Deactivated"));
        for other in [
            object(json!({"a": "2"}), json!({"b": "1"}), 1, json!(["f/1"]), "Active"),
            object(json!({"a": "1"}), json!({"b": "2"}), 1, json!(["f/1"]), "Active"),
            object(json!({"a": "1"}), json!({"b": "1"}), 2, json!(["f/1"]), "Active"),
            object(json!({"a": "1"}), json!({"b": "1"}), 1, json!([]), "Active"),
        ] {
            assert_ne!(usual, other);
        }
    }

    #[test]
    fn an_object_that_cannot_be_read_has_a_name_and_a_reason() {
        for spec in [json!({"organizationId": 7}), json!({}), json!("x"), Value::Null] {
            let cached = cached(json!({"metadata": {"name": "strange"}, "spec": spec}));
            assert_eq!(kube::Resource::meta(&cached).name.as_deref(), Some("strange"));
            assert!(cached.unreadable().is_some() && cached.object().is_err());
        }
        let status =
            json!({"metadata": {"name": "strange"}, "spec": {"organizationId": "a"}, "status": {"state": "On"}});
        assert!(cached(status).unreadable().is_some());
    }
}
