//! Runs the cascade.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::blockers::lasts;
use super::removal::Removal;
use crate::api::Reason;
use crate::api::condition::stage;
use crate::cascade::erase::Erasure;
use crate::controller::reconcile::namesakes::{Freshness, successor};
use crate::domain::attempts::Attempts;
use crate::domain::reconciliation::{Ended, Observed, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::report::status::{status, worth_writing};
use crate::domain::{Failure, Subject};

/// An object that was read longer ago than this is read again before the first delete.
pub(super) const FRESH: Duration = Duration::from_millis(500);
/// Longest wait for the answer to a stage that is shown while a cascade runs.
const SHOW_LIMIT: Duration = Duration::from_secs(5);
/// A cascade that takes longer than this is shown as a stage in status.
const SHOW_AFTER: Duration = Duration::from_secs(2);

/// An erasure failed. If that was for a reason that does not clear by itself, an organization that was deactivated only to
/// erase it is activated again: it stays in use until the deletion can succeed. Not if rows are gone.
pub(super) async fn activated_again(removal: &Removal<'_>, failure: Failure) -> Failure {
    let window = removal.facts.claim.as_ref().filter(|_| removal.owns_claim()).and_then(|c| c.window);
    let only_drained = removal.subject().recovery_window_seconds == 0 && window.is_some_and(|w| w.was_active);
    if !only_drained || !lasts(failure.reason) {
        return failure;
    }
    match removal.context.database.end_window(removal.actor(), removal.plan).await {
        Ok(true) => failure.detail("the organization is active again"),
        Ok(false) => failure,
        Err(refused) => {
            let reason = refused.reason;
            tracing::warn!(object = removal.subject().name, reason = reason.as_str(), "{}", refused.message());
            failure.detail(&format!(
                "the organization is still deactivated, because activating it again failed ({reason})"
            ))
        }
    }
}

/// Runs the cascade; once more with a new plan if the schema has changed since the plan was compiled.
pub(super) async fn erase(removal: &Removal<'_>, take_from: Option<&str>) -> Result<Erasure, Failure> {
    match cascade(removal, take_from).await {
        Err(failure) => Err(explained(removal, failure).await),
        Ok(Erasure::PlanOutdated) => {
            let plan = removal.context.plan.refresh().await?;
            cascade(&Removal { plan: &plan, ..*removal }, take_from).await
        }
        done => done,
    }
}

/// What the server refused, in the words of a new plan: it names each table, column and privilege that is missing.
pub(super) async fn explained(removal: &Removal<'_>, failure: Failure) -> Failure {
    if failure.sql_state.is_none() || !matches!(failure.reason, Reason::PermissionDenied | Reason::SchemaMismatch) {
        return failure;
    }
    match removal.context.plan.refresh().await {
        Ok(plan) => failure.explained_by(&plan),
        Err(_) => failure,
    }
}

/// Runs the cascade. One that takes long is shown while it runs. The claim is made first, in a transaction of its own, so
/// that it remembers the current policy, also when the cascade is blocked.
async fn cascade(removal: &Removal<'_>, take_from: Option<&str>) -> Result<Erasure, Failure> {
    let database = &removal.context.database;
    if !removal.owns_claim() {
        database.claim_to_erase(removal.actor(), take_from).await?;
    }
    let mut erasing = Box::pin(database.erase(removal.actor(), removal.plan, still_wanted(removal)));
    tokio::select! {
        done = &mut erasing => return done,
        () = tokio::time::sleep(SHOW_AFTER) => {}
    }
    // The stage is a courtesy: the cascade goes on whether or not it can be shown. But it must not be shown after the end, so
    // the end waits for it, for a while.
    let showing = tokio::time::timeout(SHOW_LIMIT, show_stage(removal));
    tokio::join!(showing, &mut erasing).1
}

/// Shows in the status that the cascade runs.
async fn show_stage(removal: &Removal<'_>) {
    let (context, object, subject) = (removal.context, &removal.observation.object, removal.subject());
    let message = "The organization and its data are being erased in one transaction.";
    let deletion = Deletion::at(subject.policy, stage::ERASING, message);
    let reconciliation = Reconciliation::new(Ended::Deleting(deletion), Observed::default());
    let before = object.status.as_ref();
    let waits = context.settings.retry.longest();
    let status = status(subject, before, &reconciliation, Attempts::default(), &waits, Timestamp::now());
    if !worth_writing(before, &status) {
        return;
    }
    match context.cluster.write_status(object, &status).await {
        Ok(Some(written)) => context.wrote_status(&written, &status),
        Ok(None) => {}
        Err(failure) => tracing::warn!(object = subject.name, "{}", failure.message()),
    }
}

/// Whether the object still asks for the erasure, and no other has come that takes the organization over. What changed
/// while locks were waited for, or rows were counted, counts until the first row is gone. Once rows are gone nobody takes it
/// over any more: another object must not stop the rest.
pub(super) async fn still_wanted(removal: &Removal<'_>) -> Result<bool, Failure> {
    if removal.observation.read.elapsed() < FRESH {
        return Ok(true);
    }
    let before = removal.subject();
    let Some(live) = removal.context.cluster.live(&before.name).await? else { return Ok(false) };
    let now = Subject::parse(&live);
    if now.uid != before.uid
        || now.asked != before.asked
        || now.force_setting.is_some()
        || now.suspended
        || (before.confirmed && !now.confirmed)
        || now.recovery_window_seconds > before.recovery_window_seconds
    {
        return Ok(false);
    }
    let begun = removal.facts.under_way().filter(|begun| begun.uid == before.uid);
    if begun.is_some_and(|begun| begun.rows() > 0) {
        return Ok(true);
    }
    let fresh = Freshness::Within(FRESH);
    Ok(successor(removal.facts, &now, fresh, removal.context, removal.plan).await?.is_none())
}

#[cfg(test)]
mod tests {
    use super::SHOW_AFTER;

    #[test]
    fn the_documentation_says_when_a_cascade_is_shown() {
        let docs = include_str!("../../../../docs/organization.md");
        let sentence = format!("Shown when it takes longer than {} seconds", SHOW_AFTER.as_secs());
        assert!(docs.contains(&sentence), "{sentence}");
    }
}
