//! A large organization: its rows go in pages, a slice of them in each reconciliation. So the policy is read again every few
//! seconds, the progress is shown, and a crash needs nothing but the next reconciliation.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;

use super::erase::{FRESH, explained, still_wanted};
use super::removal::{Removal, outdated};
use crate::api::condition::stage;
use crate::api::status::DeletionStep;
use crate::cascade::shrink::{Begun, Progress as Shown, Shrunk};
use crate::controller::places::Place;
use crate::domain::Failure;
use crate::domain::attempts::Attempts;
use crate::domain::commands::keep_data;
use crate::domain::facts::UnderWay;
use crate::domain::reconciliation::{Ended, Observed, Reconciliation};
use crate::domain::report::deletion::Deletion;
use crate::domain::report::progress::Progress;
use crate::domain::report::status::{status, worth_writing};
use crate::pace::{Next, PageDone, Slice, Wait, WaitingFor};

/// How long pages are deleted before the object is read again and the progress is shown.
const SLICE: Duration = Duration::from_secs(5);
/// When a deletion that waits for a place asks again, if it is not requeued before.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The next slice follows at once.
const NEXT_SLICE: Duration = Duration::from_millis(1);

/// How a part of a deletion in pages ended.
pub(super) enum Part {
    /// No page is left: what remains is erased now, in the place of this deletion.
    Done(Place),
    /// The rest follows later.
    Later(Box<Reconciliation>),
}

/// How the pages of a slice ended.
enum Turn {
    Done,
    More(Shown, Slice),
    Waits(Wait),
    Unwanted,
}

/// Deletes pages for a while.
pub(super) async fn shrink(removal: &Removal<'_>, take_from: Option<&str>, estimated: i64) -> Result<Part, Failure> {
    let subject = removal.subject();
    let Some(place) = removal.context.places.take(&subject.uid, &subject.name) else {
        return Ok(Part::Later(Box::new(waits_for_place(removal, estimated))));
    };
    let turn = match Box::pin(turn(removal, take_from, estimated)).await {
        Ok(Some(turn)) => turn,
        Ok(None) => {
            let plan = removal.context.plan.refresh().await?;
            Box::pin(turn(&Removal { plan: &plan, ..*removal }, take_from, estimated)).await?.ok_or_else(outdated)?
        }
        Err(failure) => return Err(explained(removal, failure).await),
    };
    Ok(match turn {
        Turn::Done => Part::Done(place),
        Turn::Unwanted => Part::Later(Box::new(removal.unwanted())),
        Turn::Waits(Wait { waiting_for, again }) => {
            let progress = Progress { waiting_for: Some(waiting_for), ..now(removal, estimated) };
            keep_for(place, again);
            Part::Later(Box::new(shrinking(removal, progress, gone(removal), again)))
        }
        Turn::More(shown, Slice { waits, again, .. }) => {
            let progress =
                Progress { rows: shown.rows, estimated: shown.estimated, since: shown.started, waiting_for: waits };
            keep_for(place, again);
            Part::Later(Box::new(shrinking(removal, progress, shown.deleted, again.max(NEXT_SLICE))))
        }
    })
}

/// One turn with one plan. Returns `None` if the schema has changed since it was compiled.
async fn turn(removal: &Removal<'_>, take_from: Option<&str>, estimated: i64) -> Result<Option<Turn>, Failure> {
    let database = &removal.context.database;
    let begun = removal.facts.under_way().filter(|begun| begun.uid == removal.subject().uid);
    let checked = begun.is_some_and(|begun| begun.checked(removal.facts.now));
    if !checked || !removal.subject().rows_may_be_gone {
        // Nothing is checked or announced while no page may be deleted.
        if let Err(wait) = removal.context.pacing.begin(database, SLICE).await {
            return Ok(Some(Turn::Waits(wait)));
        }
        announce(removal, estimated).await?;
    }
    if !checked {
        if removal.facts.under_way().is_some() && begun.is_none() {
            database.claim_to_erase(removal.actor(), take_from).await?;
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
    let pages = match removal.context.pacing.begin(database, SLICE).await {
        Ok(pages) => pages,
        Err(wait) => return Ok(Some(Turn::Waits(wait))),
    };
    // Each page tells how long the next one should take.
    let page = || removal.context.pacing.page();
    let after = |page: &PageDone, begun: &UnderWay| {
        removal.gone.note(begun);
        // A suspension stops the pages as soon as the watch has sent it.
        let next = pages.after(page);
        if suspended_meanwhile(removal) { Next::Stop } else { next }
    };
    let shrinking = Box::pin(database.shrink(removal.actor(), removal.plan, page, after));
    Ok(match pages.with_standbys(shrinking).await? {
        Shrunk::More(shown) => Some(Turn::More(shown, pages.ended())),
        Shrunk::Done(_) => Some(Turn::Done),
        Shrunk::PlanOutdated => None,
    })
}

fn suspended_meanwhile(removal: &Removal<'_>) -> bool {
    let cached = removal.context.store.get(&ObjectRef::new(&removal.subject().name));
    cached.is_some_and(|cached| cached.suspended())
}

/// Shows that rows will go in pages, before the first of them goes: whoever lowers the policy then, while the database does
/// not answer, must not be told that everything was kept.
async fn announce(removal: &Removal<'_>, estimated: i64) -> Result<(), Failure> {
    let (context, object) = (removal.context, &removal.observation.object);
    let progress = now(removal, estimated);
    let ended = Ended::Deleting(deletion(removal, progress, gone(removal)));
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

/// A deletion that waits for longer lets others delete meanwhile.
fn keep_for(place: Place, again: Duration) {
    if again <= SLICE {
        place.keep();
    }
}

fn waits_for_place(removal: &Removal<'_>, estimated: i64) -> Reconciliation {
    let others = WaitingFor::Others { at_once: removal.context.settings.batch.at_once };
    let progress = Progress { waiting_for: Some(others), ..now(removal, estimated) };
    shrinking(removal, progress, gone(removal), ASK_AGAIN)
}

/// What pages had deleted when the object was observed.
fn gone(removal: &Removal<'_>) -> Vec<DeletionStep> {
    removal.facts.under_way().map(|begun| begun.deleted.clone()).unwrap_or_default()
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
