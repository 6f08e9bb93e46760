//! The objects that name one organization.
//!
//! A list from the API server has every object that was created before it, but the server reads all objects for it: a burst
//! of deletions among many objects would cost the product of both. So the cache of the watch is used where it is proven to
//! have what such a list would have to have:
//!
//! - *By order.* The watch sends changes in the order in which they were committed. A terminating object is reconciled as
//!   the cache has it, so the cache has every object that was created before this one was deleted: all successors of a
//!   rename that creates first. That is all that is needed as long as the wait for a successor is not over, or if there is
//!   none; but only for a few seconds, by this process's clock and by that of the API server: a watch that lags must not
//!   hide what has happened for long.
//! - *By proof.* The cache is known to be complete up to a moment ([`Completeness`](crate::controller::completeness)) that
//!   is after the end of the wait, and at most a few seconds ago.
//!
//! Else the API server is asked. What is found in the cache is read live before it counts.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;

use crate::controller::contenders::contenders;
use crate::controller::context::Context;
use crate::domain::facts::{Facts, Successor};
use crate::domain::{Failure, Subject};
use planner::CompiledPlan;

/// What happened longer ago than this must not be missing in the cache.
const FEW_SECONDS: Duration = Duration::from_secs(3);

/// How new the knowledge of other objects has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As new as the decision about a deletion needs it.
    ForDecision,
    /// No object that was created longer ago than this may be missing.
    Within(Duration),
}

/// Another live object of this cluster that names the same organization; the oldest, if there are several.
///
/// If the API server has to be asked and gives no answer, this fails: a failed read is not permission to erase. A list has
/// the spellings of this object's claim and spec; every other spelling is found in the cache.
pub(super) async fn successor(
    facts: &Facts,
    subject: &Subject,
    freshness: Freshness,
    context: &Context,
    plan: &CompiledPlan,
) -> Result<Option<Successor>, Failure> {
    let key = std::slice::from_ref(&facts.key);
    let both = [facts.key.clone(), subject.organization_id.clone()];
    let asked = if facts.id_changed || subject.organization_id == facts.key { key } else { &both };
    let listed = if cache_suffices(facts, subject, freshness, context) { &[] } else { asked };
    let mut candidates = Vec::new();
    for id in listed {
        candidates.extend(context.cluster.objects_naming(id, &context.settings.database).await?);
    }
    for object in contenders(context, &facts.key, &subject.uid) {
        if among(listed, object.organization_id()) {
            continue;
        }
        // The name may have been used again meanwhile, for an object of another organization or database.
        let Some(live) = context.cluster.live(&object.name_any()).await? else { continue };
        let id = &live.spec.organization_id;
        if live.spec.database == context.settings.database
            && (among(asked, id) || context.database.canonical(id, plan).await?.as_ref() == Some(&facts.key))
        {
            candidates.push(live);
        }
    }
    candidates.retain(|o| o.uid().as_deref() != Some(subject.uid.as_str()) && o.metadata.deletion_timestamp.is_none());
    candidates.sort_by_key(|o| o.metadata.creation_timestamp.as_ref().map(|t| t.0));
    Ok(candidates.into_iter().next().map(|o| Successor {
        name: o.name_any(),
        uid: o.uid().unwrap_or_default(),
        policy: o.spec.deletion_policy,
    }))
}

fn among(ids: &[String], id: &str) -> bool {
    ids.iter().any(|known| known == id)
}

/// Whether the cache has every object that has to be known.
fn cache_suffices(facts: &Facts, subject: &Subject, freshness: Freshness, context: &Context) -> bool {
    if !context.index.all_readable() {
        return false;
    }
    let now = Instant::now();
    let proven = context.index.complete_as_of().map(|as_of| now.saturating_duration_since(as_of));
    let pending = Pending {
        seen: context.memory.terminating_for(&subject.uid),
        deleted: subject.terminating_since.map(|deleted| Timestamp::now().duration_since(deleted)),
        deactivated: facts.claim.as_ref().is_some_and(|claim| claim.window.is_some()),
    };
    match freshness {
        Freshness::Within(age) => proven.is_some_and(|proven| proven <= age),
        Freshness::ForDecision => suffices(proven, &pending, context.settings.handover),
    }
}

/// How long a deletion has been pending.
struct Pending {
    /// Since this process saw it first.
    seen: Duration,
    /// By the API server's clock.
    deleted: Option<SignedDuration>,
    /// The organization was deactivated for the deletion, so the wait for a successor may have ended before this process
    /// saw the object.
    deactivated: bool,
}

/// `proven` is how long ago the moment was up to which the cache is complete.
fn suffices(proven: Option<Duration>, pending: &Pending, handover: Duration) -> bool {
    let few = SignedDuration::try_from(FEW_SECONDS).unwrap_or(SignedDuration::ZERO);
    let just_now = pending.seen < FEW_SECONDS && pending.deleted.is_some_and(|ago| ago.abs() < few);
    let waits = pending.seen < handover && !pending.deactivated;
    let by_order = just_now && (handover.is_zero() || waits);
    // The end of the wait as long ago as it is; nothing if it is to come, which no proof can be about.
    let ended = pending.seen.checked_sub(handover);
    let by_proof = proven.is_some_and(|proven| proven <= FEW_SECONDS && ended.is_some_and(|ended| proven <= ended));
    by_order || by_proof
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pending(seen: u64, deleted: i64, deactivated: bool) -> Pending {
        Pending { seen: seconds(seen), deleted: Some(SignedDuration::from_secs(deleted)), deactivated }
    }

    #[test]
    fn the_cache_suffices_by_order_for_a_few_seconds_and_by_proof_after_the_wait() {
        for (name, proven, pending, handover, expected) in [
            ("nobody waits", None, pending(0, 0, false), 0, true),
            ("the wait has begun", None, pending(1, 1, false), 10, true),
            ("the watch lagged", None, pending(0, 60, false), 0, false),
            ("the clocks disagree", None, pending(0, -60, false), 0, false),
            ("the deletion is pending", None, pending(4, 4, false), 0, false),
            ("the wait is over", None, pending(11, 11, false), 10, false),
            ("a short wait is over", None, pending(2, 2, false), 1, false),
            ("the wait ended before this process began", None, pending(0, 0, true), 10, false),
            ("proven before the wait ended", Some(2), pending(11, 11, false), 10, false),
            ("proven after the wait ended", Some(1), pending(11, 11, false), 10, true),
            ("proven long ago", Some(4), pending(20, 20, false), 10, false),
            ("proven, without a wait", Some(3), pending(60, 60, false), 0, true),
            ("proven before it was seen", Some(3), pending(1, 60, false), 0, false),
            ("proven while the wait lasts", Some(0), pending(5, 5, false), 10, false),
        ] {
            assert_eq!(suffices(proven.map(seconds), &pending, seconds(handover)), expected, "{name}");
        }
    }
}
