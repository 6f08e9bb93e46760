//! The count after the last delete.

use super::changed::{moved_parents, rows_left};
use super::run::Run;
use crate::db::error::During;
use crate::domain::Failure;
use crate::domain::completion::NothingLeft;
use planner::Query;
use planner::cascade::PlanTable;

impl Run<'_> {
    /// Counts every table of the plan again. Fails with the rows that are left.
    pub(super) async fn nothing_left(&mut self) -> Result<NothingLeft, Failure> {
        self.prove(Some(&self.erase.recount)).await
    }

    /// The same, after the organization's own row was deleted: without the tables of which foreign keys prove that nothing is
    /// left.
    pub(super) async fn nothing_left_unproven(&mut self) -> Result<NothingLeft, Failure> {
        self.prove(self.erase.recount_unproven.as_ref()).await
    }

    async fn prove(&mut self, recount: Option<&Query<PlanTable>>) -> Result<NothingLeft, Failure> {
        let left = match recount {
            Some(recount) => self.count(recount, During::action("counting again")).await?,
            None => Vec::new(),
        };
        NothingLeft::prove(left.iter().map(|(_, rows)| rows)).ok_or_else(|| rows_left(&left))
    }

    /// Nothing that the organization's rows referred to may be left behind without any reference to it: nobody would ever find it
    /// again. Without what an earlier transaction captured.
    pub(super) async fn none_left_behind(&mut self) -> Result<(), Failure> {
        let Some(query) = &self.erase.left_behind else { return Ok(()) };
        let left = self.count(query, During::action("counting rows to which nothing refers any more")).await?;
        if left.iter().any(|(_, rows)| *rows > 0) { Err(rows_left(&left)) } else { Ok(()) }
    }

    /// The same as [`parents_gone`](Self::parents_gone), after deletes that account for the captured keys.
    pub(super) async fn parents_accounted_for(&mut self) -> Result<(), Failure> {
        if self.erase.accounted && self.unaccounted == 0 {
            return Ok(());
        }
        self.parents_gone().await
    }

    /// Every parent whose children were deleted must be gone itself. One that is still there has moved to another
    /// organization after its children were found, and they were that organization's.
    pub(super) async fn parents_gone(&mut self) -> Result<(), Failure> {
        let Some(parents) = &self.erase.parents_left else { return Ok(()) };
        let left = self.count(parents, During::action("checking for parents that were moved")).await?;
        left.iter().find(|(_, rows)| *rows > 0).map_or(Ok(()), |(parent, rows)| Err(moved_parents(parent, *rows)))
    }
}
