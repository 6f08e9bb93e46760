//! Notes when the operator first saw a deletion that does not end at once: after a restart it is not one that was seen late.

use k8s_openapi::jiff::Timestamp;

use crate::controller::context::Context;
use crate::domain::breaker::Counted;
use crate::domain::reconciliation::{Ended, Reconciliation};
use crate::domain::{Failure, Subject};

/// Notes a deletion that is blocked or suspended, once in the life of this process.
pub(super) async fn note_unfinished(context: &Context, subject: &Subject, reconciliation: &Reconciliation) {
    let unfinished = match &reconciliation.ended {
        Ended::Deleting(deletion) => deletion.failure.is_some() || deletion.suspended(),
        Ended::InSync | Ended::Failed(_) | Ended::Completed(_) => false,
    };
    if !unfinished || context.memory.with(&subject.uid, |object| object.deletion_noted) {
        return;
    }
    if let Err(failure) = note(context, subject, None).await {
        // The next attempt notes it. What the status says about the deletion matters more.
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
