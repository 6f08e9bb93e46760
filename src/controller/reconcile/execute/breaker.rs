//! The breaker: counts the deletions that began at the same time as one whose erasure is due.

use std::collections::HashSet;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::first_seen;
use super::removal::Removal;
use crate::controller::contenders::contenders;
use crate::controller::context::Context;
use crate::domain::breaker::{Limit, Others, breaker_tripped};
use crate::domain::{Effect, Failure, Subject};

/// Fails if too many deletions began at the same time as this one and nobody has confirmed it. The operator notes that, so
/// the deletion stays held back although others end meanwhile.
pub(super) async fn let_pass(removal: &Removal<'_>) -> Result<(), Failure> {
    let subject = removal.subject();
    let goes_on = || removal.facts.under_way().is_some_and(|begun| begun.uid == subject.uid && begun.rows() > 0);
    let (Some(limit), Some(own)) = (removal.with.breaker, subject.terminating_since) else { return Ok(()) };
    if subject.confirmed || goes_on() {
        return Ok(());
    }
    let Some(others) = others(removal.context, subject, own, limit).await? else { return Ok(()) };
    let Some(counted) = limit.tripped(own, &others) else { return Ok(()) };
    first_seen::note(removal.context, subject, Some(counted)).await?;
    let deactivated = removal.facts.claim.as_ref().is_some_and(|claim| claim.window.is_some());
    let effect = if deactivated { Effect::RolledBack } else { Effect::Untouched };
    Err(breaker_tripped(subject, limit, counted).effect(effect))
}

/// The other deletions. Returns `None` if there are too few for the limit whenever they began, which costs by their number and not by
/// that of all objects.
///
/// The cache is read before the ledger: an object leaves the cache after the ledger has its deletion, so none is in neither.
/// What a watch that lags has not sent yet is missing, but the ledger has all that has erased: it stops the rest.
async fn others(context: &Context, subject: &Subject, own: Timestamp, limit: Limit) -> Result<Option<Others>, Failure> {
    let (from, to) = (own - limit.time(), own + limit.time());
    let (database, cluster) = (&context.database, &context.settings.cluster_id);
    let objects = context.store.len();
    let fewest = usize::try_from(limit.fewest_others(number(objects))).unwrap_or(usize::MAX);
    let missing = fewest.saturating_sub(context.index.erasures_requested((from, to), &subject.uid));
    if missing > 0 && database.count_erased(cluster, from, to, missing).await? < missing {
        return Ok(None);
    }
    let mut terminating = context.store.state_filter(|object| {
        object.erasure_requested().is_some_and(|requested| from <= requested && requested <= to)
            && object.meta().uid.as_ref() != Some(&subject.uid)
    });
    // A rename hands over.
    terminating.retain(|object| {
        let (id, uid) = (object.organization_id(), object.uid().unwrap_or_default());
        !contenders(context, id, &uid).iter().any(|live| live.organization_id() == id)
    });
    let counted: HashSet<String> = terminating.iter().filter_map(|object| object.uid()).collect();
    let mut erased = database.erased_between(cluster, from, to).await?;
    // Those whose object is still there are counted already.
    erased.retain(|deletion| deletion.uid != subject.uid && !counted.contains(&deletion.uid));
    Ok(Some(Others {
        terminating: terminating.iter().filter_map(|object| object.erasure_requested()).collect(),
        erased: erased.into_iter().map(|deletion| deletion.requested).collect(),
        objects: number(objects),
    }))
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
