//! Notes when the operator first saw a deletion that does not end at once: after a restart it is not one that was seen late.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::api::Reason;
use crate::api::condition::stage;
use crate::controller::context::Context;
use crate::domain::breaker::Counted;
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::{Failure, Subject};

/// The database may not answer: nothing depends on this note before the process ends.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a deletion is blocked, suspended, in its recovery window or deleted in pages, all of which may last. While the
/// database cannot be reached, nothing can be noted.
pub(in crate::controller::reconcile) fn may_last(reconciliation: &Reconciliation) -> bool {
    let Ended::Deleting(deletion) = &reconciliation.ended else { return false };
    let unreachable = |f: &Failure| matches!(f.reason, Reason::DatabaseUnavailable | Reason::AuthenticationFailed);
    deletion.suspended()
        || (deletion.failure.is_none() && matches!(deletion.stage, stage::RECOVERY_WINDOW | stage::SHRINKING))
        || deletion.failure.as_ref().is_some_and(|failure| !unreachable(failure))
}

/// Notes a deletion that may last, once in the life of this process.
pub(in crate::controller::reconcile) async fn note_lasting(context: &Context, subject: &Subject) {
    if context.memory.with(&subject.uid, |object| object.deletion_noted) {
        return;
    }
    if let Ok(Err(failure)) = tokio::time::timeout(LIMIT, note(context, subject, None)).await {
        // The next attempt notes it.
        tracing::debug!(object = subject.name, reason = failure.reason.as_str(), "{}", failure.message());
    }
}

/// Notes a deletion, and what the breaker counted if that holds it back.
pub(super) async fn note(context: &Context, subject: &Subject, tripped: Option<Counted>) -> Result<(), Failure> {
    let seen_for = context.memory.terminating_for(&subject.uid);
    let first_seen = Timestamp::now().checked_sub(seen_for).unwrap_or(Timestamp::MIN);
    let cluster = &context.settings.cluster_id;
    context.database.note_deletion(cluster, subject, first_seen, seen_for.as_secs_f64(), tripped).await?;
    context.memory.with(&subject.uid, |object| object.deletion_noted = true);
    Ok(())
}
