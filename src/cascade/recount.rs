//! The count after the last delete.

use super::changed::{moved_parents, rows_left};
use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::counted;
use crate::domain::Failure;
use crate::domain::completion::NothingLeft;
use planner::CapturedKeys;

impl Run<'_> {
    /// Counts every table of the plan again. Fails with the rows that are left.
    pub(super) async fn nothing_left(&mut self) -> Result<NothingLeft, Failure> {
        let left = self.count(&self.erase.recount, During::action("counting again")).await?;
        NothingLeft::prove(left.iter().map(|(_, rows)| rows)).ok_or_else(|| rows_left(&left))
    }

    /// Nothing that the organization's rows referred to may be left behind without any reference to it: nobody would ever find it
    /// again. Without what was captured `earlier`.
    pub(super) async fn none_left_behind(&mut self, earlier: Option<&CapturedKeys>) -> Result<(), Failure> {
        let Some(query) = &self.erase.left_behind else { return Ok(()) };
        let during = During::action("counting rows to which nothing refers any more");
        let later = earlier.map(|earlier| self.captured.since(earlier));
        let captured = later.as_ref().unwrap_or(&self.captured);
        let left = counted(self.connection, query, self.key, captured).await.or_failure(during)?;
        if left.iter().any(|(_, rows)| *rows > 0) { Err(rows_left(&left)) } else { Ok(()) }
    }

    /// Every parent whose children were deleted must be gone itself. One that is still there has moved to another
    /// organization after its children were found, and they were that organization's.
    pub(super) async fn parents_gone(&mut self) -> Result<(), Failure> {
        let Some(parents) = &self.erase.parents_left else { return Ok(()) };
        let left = self.count(parents, During::action("checking for parents that were moved")).await?;
        left.iter().find(|(_, rows)| *rows > 0).map_or(Ok(()), |(parent, rows)| Err(moved_parents(parent, *rows)))
    }
}
