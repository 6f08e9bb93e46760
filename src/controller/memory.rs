//! What this process remembers of each object. Correctness does not depend on it: after a restart it is empty.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;

use super::backoff::Failures;
use super::known_size::KnownSize;
use super::quick_check::QuickCheck;
use super::status_cache::StatusCache;
use crate::api::{Organization, OrganizationStatus, Reason};
use crate::config::RetryBounds;
use crate::db::tenants::TenantState;
use crate::domain::Subject;
use crate::domain::attempts::Attempts;

/// What this process remembers of every object, by uid.
pub(super) struct Memory {
    bounds: RetryBounds,
    objects: Mutex<HashMap<String, OfObject>>,
}

/// What this process remembers of one object.
#[derive(Default)]
pub(super) struct OfObject {
    failures: HashMap<Task, Failures>,
    status: StatusCache,
    /// When it was first seen terminating, by this process's monotonic clock: clocks of other machines that disagree must
    /// not shorten the wait for a successor.
    terminating_since: Option<Instant>,
    pub(super) quick_check: Option<QuickCheck>,
    /// How large its organization is.
    pub(super) size: Option<KnownSize>,
    /// The database has a note that the operator has seen the deletion.
    pub(super) deletion_noted: bool,
    tenant: Option<LastSeen>,
}

/// What the operator was doing when it failed. Failures are counted by task, so those of a live object never delay its
/// deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    /// Reconciling a live object.
    Apply,
    /// Reconciling a terminating object.
    Delete,
    /// Telling the API server how the reconciliation ended.
    Publish,
}

/// The organization of an object, as it was seen last.
struct LastSeen {
    name: Box<str>,
    key: Box<str>,
    /// `None` if it was not there.
    state: Option<TenantState>,
}

impl Memory {
    pub(super) fn new(bounds: RetryBounds) -> Self {
        Self { bounds, objects: Mutex::default() }
    }

    /// Forgets objects that are gone.
    pub(super) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        self.lock().retain(|uid, _| exists(uid));
    }

    /// Reads or changes what is remembered of one object.
    pub(super) fn with<T>(&self, uid: &str, change: impl FnOnce(&mut OfObject) -> T) -> T {
        change(self.lock().entry(uid.to_owned()).or_default())
    }

    /// Counts a failure.
    pub(super) fn failed(&self, uid: &str, task: Task, reason: Reason) -> Attempts {
        self.with(uid, |object| object.failures.entry(task).or_default().count(reason, &self.bounds))
    }

    /// Forgets the failures of a task.
    pub(super) fn succeeded(&self, uid: &str, task: Task) {
        self.with(uid, |object| object.failures.remove(&task));
    }

    /// How long ago the object was first seen terminating. The first call is when it is.
    pub(super) fn terminating_for(&self, uid: &str) -> Duration {
        self.terminating_since(uid).elapsed()
    }

    /// When the object was first seen terminating. The first call is when it is.
    pub(super) fn terminating_since(&self, uid: &str) -> Instant {
        self.with(uid, |object| *object.terminating_since.get_or_insert_with(Instant::now))
    }

    /// The newest status known: of the object, unless this process wrote a newer one.
    pub(super) fn newest_status(&self, object: &Organization) -> Option<OrganizationStatus> {
        self.with(&object.uid().unwrap_or_default(), |o| o.status.newest(object))
    }

    /// Notes a status that this process wrote, with the metadata that the API server returned.
    pub(super) fn wrote_status(&self, returned: &ObjectMeta, status: &OrganizationStatus) {
        self.with(returned.uid.as_deref().unwrap_or_default(), |o| o.status.note(returned, status));
    }

    /// Notes what a reconciliation saw of the object's organization. `state` is `None` if it is not there.
    pub(super) fn saw_tenant(&self, subject: &Subject, key: &str, state: Option<TenantState>) {
        let tenant = LastSeen { name: subject.name.as_str().into(), key: key.into(), state };
        self.with(&subject.uid, |object| object.tenant = Some(tenant));
    }

    /// The keys of all organizations that were seen.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            self.lock().values().filter_map(|o| o.tenant.as_ref().map(|t| t.key.to_string())).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The objects whose organization has changed since it was last seen. `found` has the current states.
    pub(super) fn drifted(&self, found: &HashMap<String, TenantState>) -> Vec<ObjectRef<Organization>> {
        let mut objects = self.lock();
        let drifted = objects.values_mut().filter_map(|o| o.tenant.as_mut()).filter_map(|tenant| {
            let now = found.get(&*tenant.key).copied();
            (now != std::mem::replace(&mut tenant.state, now)).then(|| ObjectRef::new(&tenant.name))
        });
        drifted.collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, OfObject>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bounds;

    const BOUNDS: Bounds = Bounds { initial_seconds: 1, max_seconds: 60 };

    fn memory() -> Memory {
        Memory::new(RetryBounds { backoff: BOUNDS, slow: BOUNDS })
    }

    #[test]
    fn f20_failures_of_the_live_object_do_not_delay_its_deletion() {
        let memory = memory();
        for _ in 0..10 {
            memory.failed("u", Task::Apply, Reason::DatabaseUnavailable);
        }
        let attempts = memory.failed("u", Task::Delete, Reason::DatabaseUnavailable);
        assert_eq!(attempts.count, 1);
        assert!(attempts.delay.expect("tried again") <= Duration::from_secs(1));
    }

    #[test]
    fn the_first_question_counts_and_an_object_that_is_gone_is_forgotten() {
        let memory = memory();
        let [a, b] = ["a", "b"].map(|uid| memory.terminating_since(uid));
        assert_eq!(
            ["a", "b"].map(|uid| memory.terminating_since(uid)),
            [a, b],
            "the second question does not start again"
        );
        memory.keep_only(|uid| uid == "b");
        assert!(memory.terminating_since("a") > a);
        assert_eq!(memory.terminating_since("b"), b);
    }

    #[test]
    fn only_objects_whose_organization_changed_have_drifted() {
        let entry = |users| TenantState { active: Some(true), users: Some(users) };
        let subject = |name: &str| {
            let value = serde_json::json!({
                "apiVersion": "organization-operator.io/v1alpha1", "kind": "Organization",
                "metadata": {"name": name, "uid": name}, "spec": {"organizationId": name},
            });
            Subject::parse(&serde_json::from_value(value).expect("an organization"))
        };
        let memory = memory();
        for (name, seen) in [
            ("same", Some(entry(1))),
            ("changed", Some(entry(1))),
            ("gone", Some(entry(1))),
            ("new", None),
            ("absent", None),
        ] {
            memory.saw_tenant(&subject(name), name, seen);
        }
        memory.saw_tenant(&subject("twin"), "same", Some(entry(1)));
        assert_eq!(memory.keys(), ["absent", "changed", "gone", "new", "same"]);
        let found = HashMap::from([("same", 1), ("changed", 2), ("new", 1)].map(|(k, n)| (k.to_owned(), entry(n))));
        let mut drifted: Vec<String> = memory.drifted(&found).into_iter().map(|o| o.name).collect();
        drifted.sort_unstable();
        assert_eq!(drifted, ["changed", "gone", "new"]);
        assert!(memory.drifted(&found).is_empty(), "what was seen is not seen as a change again");
    }
}
