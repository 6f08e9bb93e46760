//! Deletes the rows of a large organization page by page, each page in a short transaction, until one last transaction, the
//! same as for every organization, ends the erasure with what is left.
//!
//! A page is a range of blocks of a table. So each block is read once, however many dead rows are around, and the cursor is the
//! next block. Where the organization has a small part of a table, its rows are found first, and pages visit only those. Which rows go, only the tenant's predicate decides: a row that comes to lie behind the cursor waits for the last
//! transaction, and a place that is used again by another organization's row is harmless.

mod page;
mod size;

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use tracing::warn;

use super::exclusive;
use super::preflight::some_blockers;
use super::schema;
use crate::api::Reason;
use crate::api::status::DeletionStep;
use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::transaction::{rollback, server};
use crate::domain::facts::UnderWay;
use crate::domain::{Effect, Failure, decide};
pub use crate::pace::{Next, PageDone, PageSize};
use crate::store::claim::lock_claim;
use crate::store::{Actor, erasures, ledger};
use page::{Page, not_begun};
use planner::CompiledPlan;

/// How a deletion in pages began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing blocks it, and it is recorded.
    Ready,
    /// The ledger says that it has ended: [`Database::erase`] returns how.
    Recorded,
    /// The plan was compiled against a schema that has changed since; nothing was touched.
    PlanOutdated,
}

/// How a slice of a deletion in pages ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Shrunk {
    /// There may be more pages.
    More(Progress),
    /// There are no more pages: what is left goes with the last transaction.
    Done(Progress),
    /// The plan was compiled against a schema that has changed since; no page was deleted since.
    PlanOutdated,
}

/// How far a deletion in pages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Rows that pages deleted since the deletion began, by entity. As many were found as deleted.
    pub deleted: Vec<DeletionStep>,
    /// Their sum.
    pub rows: i64,
    /// Rows before the first page, as estimated.
    pub estimated: i64,
    /// When it began, by the database's clock.
    pub started: Timestamp,
    /// Pages of this slice.
    pub pages: u32,
}

impl Progress {
    fn new(under_way: UnderWay, pages: u32) -> Self {
        Self {
            rows: under_way.rows(),
            deleted: under_way.deleted,
            estimated: under_way.estimated,
            started: under_way.started,
            pages,
        }
    }
}

impl Database {
    /// Checks everything that blocks the deletion, and records that its pages begin, with the `estimated` number of rows. To be
    /// called before the first page and before going on after an interruption. It deletes nothing.
    ///
    /// # Errors
    /// Fails with every blocker when something blocks the deletion, when the claim cannot be obtained, and when the database
    /// refuses.
    pub async fn begin_shrinking(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
        estimated: i64,
    ) -> Result<Begun, Failure> {
        let begun = Box::pin(self.begin_pages(actor, take_from, plan, estimated)).await;
        begun.map_err(|failure| failure.or_effect(Effect::NothingThisTime))
    }

    async fn begin_pages(
        &self,
        actor: Actor<'_>,
        take_from: Option<&str>,
        plan: &CompiledPlan,
        estimated: i64,
    ) -> Result<Begun, Failure> {
        plan.erase()?;
        // Before the locks: it may take long. Whatever appears later, the pages and the last transaction meet.
        self.refuse_blocked_pages(actor.key, plan).await?;
        let mut tx = self.begin().await?;
        if server(&mut tx).await?.standby {
            return Err(decide::on_a_standby());
        }
        lock_claim(&mut tx, actor, take_from).await?;
        if ledger::entry_of(&mut tx, actor.cluster, &actor.subject.uid).await?.is_some_and(|entry| !entry.may_go_on()) {
            rollback(tx).await?;
            return Ok(Begun::Recorded);
        }
        if !schema::unchanged(&mut tx, plan).await? {
            rollback(tx).await?;
            return Ok(Begun::PlanOutdated);
        }
        erasures::begin(&mut tx, actor, &plan.digest, estimated).await?;
        self.commit(tx).await?;
        Ok(Begun::Ready)
    }

    /// Fails with every blocker of the whole deletion, as [`Database::examine`] finds them.
    async fn refuse_blocked_pages(&self, key: &str, plan: &CompiledPlan) -> Result<(), Failure> {
        let erase = plan.erase()?;
        let mut tx = self.begin().await?;
        let during = During::action("finding the rows to which nothing else refers");
        let captured = exclusive::find(&mut tx, erase, key).await.or_failure(during)?;
        let found = some_blockers(&mut tx, key, &erase.preflight, &captured).await?;
        rollback(tx).await?;
        Failure::blocked_by(&found).map_or(Ok(()), |blocked| Err(blocked.effect(Effect::NothingThisTime)))
    }

    /// Deletes page after page, each in a transaction of its own, until there are no more or `until` says to stop: it is asked
    /// after each page, and told what is gone by then. [`Database::begin_shrinking`] must have been called for this plan.
    ///
    /// # Errors
    /// Fails when something blocks the deletion now, when the object has lost its claim, and when the database refuses. The
    /// pages before are deleted and counted, and the page that failed is not.
    pub async fn shrink(
        &self,
        actor: Actor<'_>,
        plan: &CompiledPlan,
        page: impl Fn() -> PageSize,
        mut until: impl FnMut(&PageDone, &UnderWay) -> Next,
    ) -> Result<Shrunk, Failure> {
        plan.erase()?;
        let mut pages = 0;
        loop {
            let began = Instant::now();
            let ended = Box::pin(self.page(actor, plan, page())).await;
            let (mut done, under_way) = match ended {
                Ok(Page::Deleted(done, under_way)) => (done, under_way),
                Ok(Page::Captured) => continue,
                Ok(Page::None(under_way)) => return Ok(Shrunk::Done(Progress::new(under_way, pages))),
                Ok(Page::PlanOutdated) => return Ok(Shrunk::PlanOutdated),
                // The schema or the configuration has changed: the blockers of the first check may be others now. That check may
                // take long, and another process may have another configuration, so the caller reads the object again first.
                Ok(Page::OtherPlan(estimated)) => match self.begin_shrinking(actor, None, plan, estimated).await? {
                    Begun::Ready => {
                        let begun = self.erasure_under_way(actor.key).await?.ok_or_else(not_begun)?;
                        return Ok(Shrunk::More(Progress::new(begun, pages)));
                    }
                    Begun::PlanOutdated => return Ok(Shrunk::PlanOutdated),
                    Begun::Recorded => return Err(not_begun()),
                },
                Err(failure) => {
                    if failure.reason == Reason::StatementTimeout
                        && let Err(cause) = self.narrow(actor).await
                    {
                        warn!(%cause, "the next page will be as large as the one that took too long");
                    }
                    return Err(self.explained(failure, actor.key, plan).await);
                }
            };
            done.took = began.elapsed();
            pages += 1;
            match until(&done, &under_way) {
                Next::Continue => {}
                Next::Pause(pause) => tokio::time::sleep(pause).await,
                Next::Stop => return Ok(Shrunk::More(Progress::new(under_way, pages))),
            }
        }
    }

    /// Without that, a page that takes too long would take too long in every attempt.
    async fn narrow(&self, actor: Actor<'_>) -> Result<(), Failure> {
        let mut tx = self.begin().await?;
        erasures::narrow(&mut tx, actor).await?;
        self.commit(tx).await
    }

    /// What refers to a page or moves rows may block the whole deletion: then that is said, with its remedy.
    async fn explained(&self, failure: Failure, key: &str, plan: &CompiledPlan) -> Failure {
        let changed = matches!(failure.reason, Reason::ForeignKeyViolation | Reason::ContentChanged);
        let failure = failure.or_effect(Effect::NothingThisTime);
        if !changed {
            return failure;
        }
        match self.refuse_blocked_pages(key, plan).await {
            Err(blocked) if blocked.reason == Reason::ForeignKeyViolation => blocked,
            // Nothing blocks any more, or that cannot be found out now.
            _ => {
                let mut changed = failure;
                changed.reason = Reason::ContentChanged;
                changed
            }
        }
    }
}
