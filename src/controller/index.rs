//! Which objects name an organization, as the watch has sent them, and up to when that is complete.
//!
//! The index follows the cache of the watch: it processes each event right after the cache has, and before the next one. A
//! reconciliation that finds something in the cache therefore finds all that the watch sent before it in the index.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Resource as _, ResourceExt as _};

use super::cached::Cached;
use super::completeness::Completeness;

/// What the watch has sent.
#[derive(Debug, Default)]
pub(super) struct Index {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    /// The names of a list that is being read. They replace the others when the list is complete.
    listed: Names,
    completeness: Completeness,
}

#[derive(Debug, Default)]
struct Names {
    /// The names of the objects by what all spellings of their id have in common. An id that was changed leaves the old
    /// entry behind: whoever finds a name reads the object.
    by_id: HashMap<u64, Vec<Box<str>>>,
    /// Objects that this version of the operator cannot read. Each of them may name any organization.
    unreadable: HashSet<Box<str>>,
    /// When erasures were requested that have not ended, by the objects' names.
    erasures: HashMap<Box<str>, Erasure>,
}

/// An erasure that was requested and has not ended.
#[derive(Debug)]
struct Erasure {
    uid: Box<str>,
    requested: Timestamp,
}

impl Index {
    /// Processes an event before the cache does: here alone are the objects that cannot be read.
    pub(super) fn unreadable(&self, event: &Event<Cached>) {
        let mut state = self.lock();
        let (State { names, listed, .. }, name) = (&mut *state, Cached::name_any);
        match event {
            Event::Apply(object) if object.unreadable().is_some() => names.unreadable.insert(name(object).into()),
            Event::InitApply(object) if object.unreadable().is_some() => listed.unreadable.insert(name(object).into()),
            Event::Apply(object) | Event::Delete(object) => names.unreadable.remove(name(object).as_str()),
            Event::Init | Event::InitApply(_) | Event::InitDone => false,
        };
    }

    /// Processes an event after the cache has.
    pub(super) fn process(&self, event: &Event<Cached>) {
        let mut state = self.lock();
        match event {
            Event::Apply(object) => {
                state.names.add(object);
                state.completeness.sent(object.meta().resource_version.as_deref().unwrap_or_default());
            }
            Event::Delete(object) => state.names.remove(object),
            Event::Init => {
                state.listed = Names::default();
                state.completeness.listing(Instant::now());
            }
            Event::InitApply(object) => state.listed.add(object),
            Event::InitDone => {
                state.names = std::mem::take(&mut state.listed);
                state.completeness.listed();
            }
        }
    }

    /// The names of the objects whose id may be this one in another spelling.
    pub(super) fn naming(&self, id: &str) -> Vec<String> {
        let state = self.lock();
        state.names.by_id.get(&hash(id)).into_iter().flatten().map(ToString::to_string).collect()
    }

    /// Up to when the index has every object. Returns `None` if that is not known, or if there are objects that cannot be
    /// read.
    pub(super) fn complete_as_of(&self) -> Option<Instant> {
        let state = self.lock();
        state.completeness.as_of().filter(|_| state.names.unreadable.is_empty())
    }

    /// Whether the operator can read every object that the watch has sent.
    pub(super) fn all_readable(&self) -> bool {
        self.lock().names.unreadable.is_empty()
    }

    /// How many erasures were requested between two times, both included, and have not ended. That of this object does not count.
    pub(super) fn erasures_requested(&self, (from, to): (Timestamp, Timestamp), except_uid: &str) -> usize {
        let state = self.lock();
        let counts = |e: &&Erasure| from <= e.requested && e.requested <= to && *e.uid != *except_uid;
        state.names.erasures.values().filter(counts).count()
    }

    /// Notes that an object was read from the API server, by a read that began at `began`. Nobody may write to the object
    /// for this process meanwhile.
    pub(super) fn read(&self, object: &ObjectMeta, began: Instant) {
        let (Some(uid), Some(version)) = (&object.uid, &object.resource_version) else { return };
        self.lock().completeness.read(uid, version, began);
    }

    /// Notes how the API server answered a write. `cached` is the object in the cache.
    pub(super) fn written(&self, object: &ObjectMeta, cached: Option<&Cached>) {
        let (Some(uid), Some(version)) = (&object.uid, &object.resource_version) else { return };
        let sent = cached.is_some_and(|c| c.meta().resource_version.as_ref() == Some(version));
        self.lock().completeness.written(uid, version, sent);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn add(&mut self, object: &Cached) {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let names = self.by_id.entry(hash(object.organization_id())).or_default();
        if !names.iter().any(|known| **known == *name) {
            names.reserve_exact(1);
            names.push(name.into());
        }
        if let Some((requested, uid)) = object.erasure_requested().zip(object.meta().uid.as_deref()) {
            self.erasures.insert(name.into(), Erasure { uid: uid.into(), requested });
        } else {
            self.erasures.remove(name);
        }
    }

    fn remove(&mut self, object: &Cached) {
        self.erasures.remove(object.meta().name.as_deref().unwrap_or_default());
        let id = hash(object.organization_id());
        if let Some(names) = self.by_id.get_mut(&id) {
            names.retain(|known| Some(&**known) != object.meta().name.as_deref());
            if names.is_empty() {
                self.by_id.remove(&id);
            }
        }
    }
}

/// Ids that are alike have the same hash. Others may: whoever finds a name compares the ids.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    plain(id).hash(&mut hasher);
    hasher.finish()
}

/// What two spellings of one id have in common: only letters and digits count, in any case, and leading zeros do not.
pub(super) fn plain(id: &str) -> String {
    let kept: String = id.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    kept.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::cached::tests::cached;

    fn object(name: &str, id: &str, version: &str) -> Cached {
        cached(serde_json::json!({
            "metadata": {"name": name, "uid": name, "resourceVersion": version}, "spec": {"organizationId": id},
        }))
    }

    fn unreadable(name: &str) -> Cached {
        cached(serde_json::json!({"metadata": {"name": name}, "spec": {"organizationId": 7}}))
    }

    #[test]
    fn spellings_of_one_id_are_alike() {
        assert_eq!(plain("AC3E0000-0000-4000-8000-000000000001"), plain("{ac3e0000000040008000000000000001}"));
        assert_eq!(plain("0042"), plain("42"));
        assert_ne!(plain("acme"), plain("globex"));
    }

    #[test]
    fn objects_are_found_by_every_spelling_until_they_are_gone() {
        let index = Index::default();
        for (name, id) in [("old", "ac-me"), ("new", "ACME"), ("other", "globex")] {
            index.process(&Event::Apply(object(name, id, "1")));
            index.process(&Event::Apply(object(name, id, "2")));
        }
        assert_eq!(index.naming("acme"), ["old", "new"]);
        index.process(&Event::Delete(object("old", "ac-me", "3")));
        assert_eq!(index.naming("acme"), ["new"]);
        assert!(index.naming("nobody").is_empty());
    }

    #[test]
    fn a_list_replaces_everything_when_it_is_complete() {
        let index = Index::default();
        index.process(&Event::Apply(object("old", "acme", "1")));
        index.process(&Event::Init);
        index.process(&Event::InitApply(object("new", "acme", "2")));
        assert_eq!((index.naming("acme"), index.complete_as_of()), (vec!["old".to_owned()], None));
        index.process(&Event::InitDone);
        assert_eq!(index.naming("acme"), ["new"]);
        assert!(index.complete_as_of().is_some());
    }

    #[test]
    fn an_erasure_counts_until_its_object_is_gone() {
        let time = |seconds| Timestamp::from_second(seconds).expect("a time");
        let deleted = |name: &str, policy: &str, seconds: i64| {
            cached(serde_json::json!({
                "metadata": {"name": name, "uid": format!("uid-{name}"), "deletionTimestamp": time(seconds)},
                "spec": {"organizationId": name, "deletionPolicy": policy},
            }))
        };
        let index = Index::default();
        let count = |index: &Index, except: &str| index.erasures_requested((time(100), time(200)), except);
        index.process(&Event::Apply(object("live", "live", "1")));
        for (name, policy, seconds) in [
            ("first", "Delete", 100),
            ("last", "Delete", 200),
            ("early", "Delete", 99),
            ("late", "Delete", 201),
            ("kept", "Retain", 150),
        ] {
            index.process(&Event::Apply(deleted(name, policy, seconds)));
            index.process(&Event::Apply(deleted(name, policy, seconds)));
        }
        assert_eq!((count(&index, "uid-nobody"), count(&index, "uid-first"), count(&index, "uid-early")), (2, 1, 2));
        // A policy may be lowered until the end.
        index.process(&Event::Apply(deleted("first", "Retain", 100)));
        assert_eq!(count(&index, "uid-nobody"), 1);
        index.process(&Event::Delete(deleted("last", "Delete", 200)));
        assert_eq!(count(&index, "uid-nobody"), 0);
        index.process(&Event::Init);
        index.process(&Event::InitApply(deleted("new", "Delete", 150)));
        assert_eq!(count(&index, "uid-nobody"), 0);
        index.process(&Event::InitDone);
        assert_eq!(count(&index, "uid-nobody"), 1);
    }

    #[test]
    fn an_object_that_cannot_be_read_may_name_any_organization() {
        let index = Index::default();
        let first = |event: Event<Cached>| index.unreadable(&event);
        index.process(&Event::Init);
        first(Event::InitApply(unreadable("strange")));
        index.process(&Event::InitDone);
        assert_eq!((index.all_readable(), index.complete_as_of()), (false, None));
        first(Event::Apply(object("strange", "acme", "2")));
        assert!(index.all_readable() && index.complete_as_of().is_some());
        first(Event::Apply(unreadable("strange")));
        assert!(!index.all_readable());
        first(Event::Delete(unreadable("strange")));
        assert!(index.all_readable());
    }
}
