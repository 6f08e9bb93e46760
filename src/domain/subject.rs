//! An Organization object, read once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

use super::replacement::ForceSetting;
use crate::api::condition;
use crate::api::status::{ClaimStatus, DeletionProgress, OrganizationStatus};
use crate::api::{Activation, CONFIRM_DELETION, DeletionPolicy, FINALIZER, Organization};

/// The annotation that releases an object whose erasure was interrupted, and keeps what is left: its value is the uid.
pub const KEEP_REMAINDER: &str = "organization-operator.io/keep-remainder";

/// What the operator needs to know of an object.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and none excludes another")]
pub struct Subject {
    /// Name.
    pub name: String,
    /// Identity: an object of the same name with another uid is another object.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// The organization's id as the user wrote it.
    pub organization_id: String,
    /// The policy in effect: what spec says, but never more than a terminating object was seen with before.
    pub policy: DeletionPolicy,
    /// What spec says now. It counts only where the database proves that rows were deleted under `Delete` already.
    pub asked: DeletionPolicy,
    /// Status shows that rows may have been deleted in pages. It can only make the operator ask the database first.
    pub rows_may_be_gone: bool,
    /// Whoever is responsible keeps for good what an interrupted erasure left: the annotation names this object's uid.
    pub keeps_remainder: bool,
    /// `spec.suspend`: the operator observes and changes nothing.
    pub suspended: bool,
    /// A person has confirmed the deletion: the annotation names this object's uid. Guard rails let it pass.
    pub confirmed: bool,
    /// The policy may have been raised after the deletion began: what the claim noted before decides.
    pub raise_suspected: bool,
    /// The field manager that set the policy, for the ledger.
    pub policy_manager: Option<String>,
    /// Desired activation.
    pub state: Option<Activation>,
    /// Seconds between deactivation and erasure.
    pub recovery_window_seconds: i64,
    /// When the operator should delete the object.
    pub expiration: Option<Timestamp>,
    /// When the deletion of the object was asked for.
    pub terminating_since: Option<Timestamp>,
    /// The object carries the operator's finalizer.
    pub has_finalizer: bool,
    /// Where it was claimed, as status reports it. It can only add a refusal.
    pub claimed: Option<ClaimStatus>,
    /// The stage of the deletion that status shows: for words only.
    pub stage: Option<String>,
    /// A GitOps engine may replace this object by deleting it and creating it again.
    pub force_setting: Option<ForceSetting>,
}

/// What the operator has to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Bring the organization in line with the spec.
    Live,
    /// Carry the deletion out.
    Terminating,
    /// Nothing: other finalizers still hold the object.
    Released,
}

impl Subject {
    /// Reads an object. Every object that the API server accepted can be read.
    #[must_use]
    pub fn parse(object: &Organization) -> Self {
        let meta = &object.metadata;
        let spec = &object.spec;
        let terminating_since = meta.deletion_timestamp.as_ref().map(|t| t.0);
        let owner = policy_owner(meta.managed_fields.as_deref().unwrap_or_default());
        let status = object.status.as_ref();
        let shown = status.and_then(|s: &OrganizationStatus| s.deletion.as_ref()).map(|d| d.policy);
        let policy = match (terminating_since, shown) {
            (Some(_), Some(shown)) => spec.deletion_policy.min(shown),
            _ => spec.deletion_policy,
        };
        // A policy that nobody is known to have set may have been set by anybody at any time.
        let raise_suspected = terminating_since
            .is_some_and(|deleted| owner.and_then(|o| o.time.as_ref()).is_none_or(|changed| changed.0 > deleted));
        Self {
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            organization_id: spec.organization_id.clone(),
            policy,
            asked: spec.deletion_policy,
            rows_may_be_gone: status
                .and_then(|s| s.deletion.as_ref()?.progress.as_ref())
                .is_some_and(DeletionProgress::rows_may_be_gone),
            keeps_remainder: annotated_with_uid(meta, KEEP_REMAINDER),
            suspended: spec.suspend,
            confirmed: annotated_with_uid(meta, CONFIRM_DELETION),
            raise_suspected,
            policy_manager: owner.and_then(|o| o.manager.clone()),
            state: spec.state,
            recovery_window_seconds: i64::from(spec.recovery_window_seconds.max(0)),
            expiration: spec.expiration_time.as_ref().map(|t| whole_seconds(t.0)),
            terminating_since,
            has_finalizer: meta.finalizers.iter().flatten().any(|f| f == FINALIZER),
            claimed: status.and_then(|s| s.claim.clone()),
            stage: status
                .and_then(|s| s.conditions.iter().find(|c| c.type_ == condition::DELETING))
                .map(|c| c.reason.clone()),
            force_setting: ForceSetting::of(object),
        }
    }

    /// What the operator has to do with the object.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (self.terminating_since, self.has_finalizer) {
            (None, _) => Phase::Live,
            (Some(_), true) => Phase::Terminating,
            (Some(_), false) => Phase::Released,
        }
    }

    /// The policy to act on while terminating, given the one that the operator noted before.
    #[must_use]
    pub fn effective_policy(&self, noted: Option<DeletionPolicy>) -> DeletionPolicy {
        if self.raise_suspected { self.policy.min(noted.unwrap_or_default()) } else { self.policy }
    }
}

/// In whole seconds, never earlier, so that a wait shows the same time twice. The database keeps microseconds: a time that it
/// had to cut would not be found again as the one that was noted.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second() + i64::from(time.subsec_nanosecond() > 0)).unwrap_or(time)
}

/// Whether the value of an annotation is the object's own uid: whoever wrote it meant this very object, and no other of its name.
fn annotated_with_uid(meta: &ObjectMeta, annotation: &str) -> bool {
    let value = meta.annotations.as_ref().and_then(|annotations| annotations.get(annotation));
    value.is_some_and(|uid| !uid.is_empty() && Some(uid) == meta.uid.as_ref())
}

/// The field manager that set the policy last.
fn policy_owner(fields: &[ManagedFieldsEntry]) -> Option<&ManagedFieldsEntry> {
    fields
        .iter()
        .filter(|entry| {
            entry
                .fields_v1
                .as_ref()
                .is_some_and(|f| f.0.get("f:spec").and_then(|spec| spec.get("f:deletionPolicy")).is_some())
        })
        .max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
}

/// A live object with `Delete`, for tests.
#[cfg(test)]
pub(super) fn example() -> Subject {
    let value = serde_json::json!({
        "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
        "metadata": {"name": "acme", "uid": "u", "generation": 7, "finalizers": [FINALIZER]},
        "spec": {"organizationId": "1", "deletionPolicy": "Delete"},
    });
    Subject::parse(&serde_json::from_value(value).unwrap_or_else(|e| panic!("an organization: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(deleted: &str, changed: &str, seen: Option<&str>) -> Organization {
        let mut value = serde_json::json!({
            "apiVersion": "organization-operator.io/v1alpha1",
            "kind": "Organization",
            "metadata": {
                "name": "acme", "uid": "u1", "generation": 2, "deletionTimestamp": deleted,
                "managedFields": [{
                    "manager": "kubectl-patch", "operation": "Update", "time": changed,
                    "fieldsV1": {"f:spec": {"f:deletionPolicy": {}}},
                }],
            },
            "spec": {"organizationId": "1", "deletionPolicy": "Delete"},
        });
        if let Some(seen) = seen {
            value["status"] = serde_json::json!({"deletion": {"policy": seen}});
        }
        serde_json::from_value(value).expect("an organization")
    }

    #[test]
    fn the_finalizer_is_what_makes_a_deletion_ours() {
        for (deleted, finalizers, expected) in [
            (false, serde_json::json!([]), Phase::Live),
            (false, serde_json::json!([FINALIZER]), Phase::Live),
            (true, serde_json::json!(["other.io/finalizer", FINALIZER]), Phase::Terminating),
            (true, serde_json::json!(["other.io/finalizer"]), Phase::Released),
        ] {
            let mut object = object("2026-01-01T00:00:10Z", "2026-01-01T00:00:09Z", None);
            object.metadata.finalizers = serde_json::from_value(finalizers.clone()).expect("finalizers");
            object.metadata.deletion_timestamp = object.metadata.deletion_timestamp.filter(|_| deleted);
            assert_eq!(Subject::parse(&object).phase(), expected, "{deleted} {finalizers}");
        }
    }

    #[test]
    fn fractions_of_a_second_never_expire_an_object_early() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert_eq!(whole_seconds(time("2026-01-01T00:00:10Z")), time("2026-01-01T00:00:10Z"));
        assert_eq!(whole_seconds(time("2026-01-01T00:00:10.000000001Z")), time("2026-01-01T00:00:11Z"));
    }

    #[test]
    fn a_policy_set_before_the_deletion_counts() {
        let subject = Subject::parse(&object("2026-01-01T00:00:10Z", "2026-01-01T00:00:10Z", None));
        assert!(!subject.raise_suspected);
        assert_eq!(subject.effective_policy(None), DeletionPolicy::Delete);
        assert_eq!(subject.policy_manager.as_deref(), Some("kubectl-patch"));
    }

    #[test]
    fn a_policy_raised_while_terminating_is_refused() {
        let subject = Subject::parse(&object("2026-01-01T00:00:10Z", "2026-01-01T00:00:11Z", None));
        assert_eq!(subject.effective_policy(None), DeletionPolicy::Retain);
        assert_eq!(subject.effective_policy(Some(DeletionPolicy::Deactivate)), DeletionPolicy::Deactivate);
        assert_eq!(subject.effective_policy(Some(DeletionPolicy::Delete)), DeletionPolicy::Delete);
    }

    #[test]
    fn a_policy_that_nobody_is_known_to_have_set_counts_only_as_noted() {
        let mut object = object("2026-01-01T00:00:10Z", "2026-01-01T00:00:09Z", None);
        object.metadata.managed_fields = None;
        let subject = Subject::parse(&object);
        assert_eq!(subject.effective_policy(None), DeletionPolicy::Retain);
        assert_eq!(subject.effective_policy(Some(DeletionPolicy::Delete)), DeletionPolicy::Delete);
    }

    #[test]
    fn a_terminating_object_is_never_raised_above_what_status_saw() {
        let subject = Subject::parse(&object("2026-01-01T00:00:10Z", "2026-01-01T00:00:09Z", Some("Deactivate")));
        assert_eq!(subject.effective_policy(Some(DeletionPolicy::Delete)), DeletionPolicy::Deactivate);
    }
}
