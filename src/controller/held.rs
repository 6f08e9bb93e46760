//! How many objects a person holds back, or a guard rail does, for the metrics: counted from the cache of the watch.

use kube::Resource as _;
use kube::runtime::reflector::Store;

use super::cached::Cached;
use crate::api::{Reason, condition};
use crate::metrics::Objects;

/// Why a deletion waits for a person who confirms it, or lifts its suspension.
const REASONS: [Reason; 2] = [Reason::BreakerTripped, Reason::StaleDeletion];

/// Counts the objects of the cache each time that it is called.
pub(super) fn following(store: Store<Cached>) -> impl Fn() -> Objects + Send + 'static {
    move || {
        let counted = store.state_filter(|o| o.meta().deletion_timestamp.is_some() || o.suspended());
        let reasons = REASONS.map(Reason::as_str).into_iter().chain([condition::SUSPENDED]);
        let mut objects = Objects { held: reasons.map(|reason| (reason, 0)).collect(), ..Objects::default() };
        for object in counted {
            objects.suspended += usize::from(object.suspended());
            let Some(deleted) = &object.meta().deletion_timestamp else { continue };
            objects.began.push(deleted.0);
            let error = object.error().filter(|_| !object.suspended());
            objects.blocked.extend(error);
            let reason = if object.suspended() { Some(condition::SUSPENDED) } else { error.map(Reason::as_str) };
            if let Some((_, count)) = objects.held.iter_mut().find(|(held, _)| Some(*held) == reason) {
                *count += 1;
            }
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::controller::cached::tests::cached;

    #[test]
    fn every_object_counts_once() {
        let (store, mut writer) = reflector::store();
        let deleted = "2026-01-01T00:00:00Z";
        for (name, terminating, suspend, error) in [
            ("live", false, false, None),
            ("failing", false, false, Some("SchemaMismatch")),
            ("suspended", false, true, None),
            ("going", true, false, None),
            ("blocked", true, false, Some("LockTimeout")),
            ("held", true, false, Some("BreakerTripped")),
            ("held too", true, false, Some("BreakerTripped")),
            ("old", true, false, Some("StaleDeletion")),
            ("suspended while it was held", true, true, Some("StaleDeletion")),
        ] {
            let mut object = json!({
                "metadata": {"name": name, "uid": name}, "spec": {"organizationId": name, "suspend": suspend}, "status": {},
            });
            if terminating {
                object["metadata"]["deletionTimestamp"] = json!(deleted);
            }
            if let Some(reason) = error {
                object["status"]["error"] = json!({"reason": reason, "code": 409, "message": "m"});
            }
            writer.apply_watcher_event(&Event::Apply(cached(object)));
        }
        let objects = following(store)();
        assert_eq!((objects.began.len(), objects.suspended), (6, 2));
        let held = [Reason::BreakerTripped, Reason::BreakerTripped, Reason::StaleDeletion];
        let mut blocked = objects.blocked;
        blocked.sort_unstable();
        assert_eq!(blocked, [&[Reason::LockTimeout], &held[..]].concat());
        assert_eq!(objects.held, [("BreakerTripped", 2), ("StaleDeletion", 1), ("Suspended", 1)]);
    }
}
