//! Whether an organization is so large that its rows go in pages.

use crate::api::{DeletionPolicy, Reason};
use crate::config::Unpageable;
use crate::controller::context::Context;
use crate::controller::known_size::KnownSize;
use crate::domain::decide::Size;
use crate::domain::facts::{Facts, Presence};
use crate::domain::{Effect, Failure, Subject};
use planner::{CompiledPlan, ErasePlan};

/// How large an organization is whose deletion may erase. A small one that was counted lately costs no query, and one that is
/// handed over (`succeeded`) need not be counted at all.
pub(super) async fn size(
    subject: &Subject,
    facts: &Facts,
    succeeded: bool,
    plan: &CompiledPlan,
    context: &Context,
) -> Result<Size, Failure> {
    if let Some(begun) = facts.under_way() {
        return Ok(Size::Large { estimated: begun.estimated });
    }
    let Some(threshold) = context.settings.batch.rows.filter(|_| may_erase(subject, facts) && !succeeded) else {
        return Ok(Size::Small);
    };
    let Ok(erase) = plan.erase() else { return Ok(Size::Small) };
    let refuses = context.settings.batch.unpageable == Unpageable::Refuse;
    if erase.pages.is_empty() && !refuses {
        return Ok(Size::Small);
    }
    let known = context.memory.with(&subject.uid, |object| object.size.filter(KnownSize::holds));
    let size = if let Some(size) = known {
        size
    } else {
        let limit = i64::try_from(threshold).unwrap_or(i64::MAX);
        let size = match context.database.size_of(&facts.key, plan, limit).await {
            // What takes too long to be counted takes too long to be deleted in one transaction.
            Err(failure) if failure.reason == Reason::StatementTimeout && !erase.pages.is_empty() => {
                KnownSize::new(context.database.expected_size_of(&facts.key, plan).await?, true)
            }
            counted => counted.map(|rows| KnownSize::new(rows, rows >= limit))?,
        };
        context.memory.with(&subject.uid, |object| object.size = Some(size));
        size
    };
    Ok(match (size.large, size.rows) {
        (false, _) => Size::Small,
        (true, rows) if erase.pages.is_empty() => Size::Unpageable(Box::new(unpageable(rows, erase))),
        (true, estimated) => Size::Large { estimated },
    })
}

fn may_erase(subject: &Subject, facts: &Facts) -> bool {
    let ended = facts.ledger.as_ref().is_some_and(|entry| !entry.may_go_on());
    !ended && subject.policy == DeletionPolicy::Delete && facts.organization != Presence::Absent
}

fn unpageable(rows: i64, erase: &ErasePlan) -> Failure {
    let tables: Vec<String> =
        erase.not_paged.iter().map(|not| format!("`{}`: {}", not.table.name, not.because)).collect();
    Failure::new(
        Reason::SchemaMismatch,
        format!(
            "the organization has about {rows} rows, and none of its tables can be deleted in pages ({})",
            tables.join("; ")
        ),
    )
    .effect(Effect::Untouched)
    .rows(rows)
    .remedy(
        "set cascade.batch.unpageable to atomic in the operator's configuration, which deletes everything in one transaction, or raise cascade.batch.rows",
    )
}
