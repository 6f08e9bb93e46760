//! A large organization: its rows go in pages, a slice of them in each reconciliation. So the policy is read again every few
//! seconds, the progress is shown, and a crash needs nothing but the next reconciliation.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use super::erase::{FRESH, explained, still_wanted};
use super::removal::{Removal, outdated};
use super::remove::unwanted;
use crate::api::condition::stage;
use crate::api::status::DeletionStep;
use crate::cascade::shrink::{Begun, Next, Progress as Pages, Shrunk};
use crate::controller::places::Place;
use crate::domain::Failure;
use crate::domain::attempts::Attempts;
use crate::domain::decide::keep_data;
use crate::domain::facts::UnderWay;
use crate::domain::reconciliation::{Ended, Observed, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::report::progress::Progress;
use crate::domain::report::status::{status, worth_writing};

/// How long pages are deleted before the object is read again and the progress is shown.
const SLICE: Duration = Duration::from_secs(5);
/// About how long a page takes.
const PAGE: Duration = Duration::from_millis(100);
/// When a deletion that waits for a place asks again, if it is not requeued before.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The next slice follows at once.
const NEXT_SLICE: Duration = Duration::from_millis(1);

/// How a slice ended.
pub(super) enum Slice {
    /// No page is left: what remains is erased now, in the place of this deletion.
    Done(Place),
    /// The rest follows later.
    Later(Reconciliation),
}

/// How the pages of a slice ended.
enum Turn {
    Done,
    More(Pages),
    Unwanted,
}

/// Deletes pages for a while.
pub(super) async fn slice(removal: &Removal<'_>, take_from: Option<&str>, estimated: i64) -> Result<Slice, Failure> {
    let subject = removal.subject();
    let place = match removal.context.places.take(&subject.uid, &subject.name) {
        Ok(place) => place,
        Err(busy) => return Ok(Slice::Later(waits_for_place(removal, estimated, &busy))),
    };
    let turn = match turn(removal, take_from, estimated).await {
        Ok(Some(turn)) => turn,
        Ok(None) => {
            let plan = removal.context.plan.refresh().await?;
            turn(&Removal { plan: &plan, ..*removal }, take_from, estimated).await?.ok_or_else(outdated)?
        }
        Err(failure) => return Err(explained(removal, failure).await),
    };
    Ok(match turn {
        Turn::Done => Slice::Done(place),
        Turn::Unwanted => Slice::Later(unwanted(removal)),
        Turn::More(pages) => {
            place.keep();
            let progress =
                Progress { rows: pages.rows, estimated: pages.estimated, since: pages.started, waiting_for: None };
            Slice::Later(shrinking(removal, progress, pages.deleted, NEXT_SLICE))
        }
    })
}

/// One turn with one plan. Returns `None` if the schema has changed since it was compiled.
async fn turn(removal: &Removal<'_>, take_from: Option<&str>, estimated: i64) -> Result<Option<Turn>, Failure> {
    let database = &removal.context.database;
    let begun = removal.facts.under_way().filter(|begun| begun.uid == removal.subject().uid);
    if !begun.is_some_and(|begun| begun.rows() > 0 && begun.interrupted.is_none()) {
        announce(removal, estimated).await?;
        if removal.facts.under_way().is_some() && begun.is_none() {
            database.adopt_erasure(removal.actor(), take_from).await?;
        }
        match database.begin_shrinking(removal.actor(), take_from, removal.plan, estimated).await? {
            Begun::Ready => {}
            Begun::Recorded => return Ok(Some(Turn::Done)),
            Begun::PlanOutdated => return Ok(None),
        }
    }
    if removal.observation.read.elapsed() >= FRESH && !still_wanted(removal).await? {
        return Ok(Some(Turn::Unwanted));
    }
    let ends = Instant::now() + SLICE;
    let until = |_: &_| if Instant::now() < ends { Next::Continue } else { Next::Stop };
    Ok(match database.shrink(removal.actor(), removal.plan, PAGE, until).await? {
        Shrunk::More(pages) => Some(Turn::More(pages)),
        Shrunk::Done(_) => Some(Turn::Done),
        Shrunk::PlanOutdated => None,
    })
}

/// Shows that rows will go in pages, before the first of them goes: whoever lowers the policy then, while the database does
/// not answer, must not be told that everything was kept.
async fn announce(removal: &Removal<'_>, estimated: i64) -> Result<(), Failure> {
    let (context, object) = (removal.context, &removal.observation.object);
    let progress = now(removal, estimated);
    let steps = removal.facts.under_way().map(|begun| begun.deleted.clone()).unwrap_or_default();
    let ended = Ended::Deleting(deletion(removal, progress, steps));
    let previous = context.memory.newest_status(object);
    let waits = context.settings.retry.longest();
    let reconciliation = Reconciliation::new(ended, Observed::default());
    let status =
        status(removal.subject(), previous.as_ref(), &reconciliation, Attempts::default(), &waits, Timestamp::now());
    if worth_writing(previous.as_ref(), &status)
        && let Some(written) = context.cluster.write_status(object, &status).await?
    {
        context.memory.wrote_status(&written, &status);
    }
    Ok(())
}

/// How far the erasure was when the object was observed.
fn now(removal: &Removal<'_>, estimated: i64) -> Progress {
    let begun = removal.facts.under_way();
    Progress {
        rows: begun.map_or(0, UnderWay::rows),
        estimated,
        since: begun.map_or(removal.facts.now, |begun| begun.started),
        waiting_for: None,
    }
}

fn deletion(removal: &Removal<'_>, progress: Progress, steps: Vec<DeletionStep>) -> Deletion {
    let subject = removal.subject();
    let message = format!(
        "The organization's rows are being deleted in pages, because it has many; the rest is erased in one transaction \
         at the end. Rows that are gone stay deleted. To stop: {}",
        keep_data(&subject.name)
    );
    Deletion { steps, progress: Some(progress), ..Deletion::at(subject.policy, stage::SHRINKING, message) }
}

fn shrinking(removal: &Removal<'_>, progress: Progress, steps: Vec<DeletionStep>, again: Duration) -> Reconciliation {
    removal.under_way(deletion(removal, progress, steps), again)
}

fn waits_for_place(removal: &Removal<'_>, estimated: i64, busy: &[String]) -> Reconciliation {
    let sentence = format!("It waits until another large deletion has ended: {}.", busy.join(", "));
    let progress = Progress { waiting_for: Some(sentence), ..now(removal, estimated) };
    let steps = removal.facts.under_way().map(|begun| begun.deleted.clone()).unwrap_or_default();
    shrinking(removal, progress, steps, ASK_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::SLICE;

    #[test]
    fn the_documentation_says_how_often_the_policy_is_read() {
        let docs = include_str!("../../../../docs/organization.md");
        let sentence = format!("reads the policy again every {} seconds", SLICE.as_secs());
        assert!(docs.contains(&sentence), "{sentence}");
    }
}
