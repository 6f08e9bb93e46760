//! What would block a deletion, found before anything is changed.

use kube::ResourceExt as _;

use super::removal::{Removal, outdated};
use crate::api::{Organization, Reason};
use crate::controller::context::Context;
use crate::controller::quick_check::{QuickCheck, fingerprint};
use crate::domain::Failure;
use crate::domain::decide::Size;
use planner::CompiledPlan;

/// What would block the object's deletion, by a quick check if one is due. Returns `None` if nothing is known that would; a
/// check that took too long knows nothing.
pub(super) async fn would_block(
    object: &Organization,
    key: &str,
    plan: &CompiledPlan,
    context: &Context,
) -> Option<Failure> {
    let uid = object.uid().unwrap_or_default();
    let fingerprint = fingerprint(object, plan);
    let last = context.memory.with(&uid, |object| {
        object.quick_check.as_ref().filter(|check| check.holds(fingerprint)).map(QuickCheck::blocked)
    });
    if let Some(blocked) = last {
        return blocked;
    }
    let blocked = match context.database.quick_check(key, plan).await {
        Ok(blocked) => blocked,
        Err(failure) => {
            tracing::debug!(object = object.name_any(), reason = failure.reason.as_str(), "{}", failure.message());
            // A check that took too long would take as long again; after any other failure it is tried again.
            if !matches!(failure.reason, Reason::StatementTimeout | Reason::LockTimeout) {
                return None;
            }
            None
        }
    };
    let check = QuickCheck::new(fingerprint, blocked.clone());
    context.memory.with(&uid, |object| object.quick_check = Some(check));
    blocked
}

/// What blocked the deletion while nobody had asked for it, if it still does.
pub(super) async fn known(removal: &Removal<'_>) -> Option<Failure> {
    let memory = &removal.context.memory;
    memory.with(&removal.subject().uid, |object| object.quick_check.as_ref().and_then(QuickCheck::blocked))?;
    would_block(&removal.observation.object, &removal.facts.key, removal.plan, removal.context).await
}

/// Fails with what would block the erasure. An attempt that failed before for a reason that only the deletes themselves
/// show, such as a trigger, is rehearsed, so that the organization is not deactivated repeatedly for nothing. A large
/// organization is not: all its rows in one transaction are what its pages avoid. The first page finds what only deletes show.
pub(super) async fn examine(removal: &Removal<'_>) -> Result<(), Failure> {
    // The current schema: a table that was created since the last poll may be what blocks.
    let plan = removal.context.plan.refresh().await?;
    plan.erase()?;
    let (database, key) = (&removal.context.database, removal.facts.key.as_str());
    let error = removal.observation.object.status.as_ref().and_then(|s| s.error.as_ref());
    if removal.with.size != Size::Small || !error.is_some_and(|e| lasts(e.reason)) {
        let examined = database.examine(key, &plan).await?;
        return Failure::blocked_by(&examined.blockers).map_or(Ok(()), Err);
    }
    database.rehearse(key, &plan).await?.map(|_| ()).ok_or_else(outdated)
}

/// Whether a failure may last for a while: a person has to act, or somebody holds a lock or makes everything slow.
pub(super) const fn lasts(reason: Reason) -> bool {
    reason.needs_a_person() || matches!(reason, Reason::LockTimeout | Reason::StatementTimeout)
}
