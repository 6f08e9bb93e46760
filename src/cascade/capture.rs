//! Captures keys and locks rows before the first delete.

use super::run::Run;
use crate::db::error::During;
use crate::domain::Failure;
use planner::cascade::Exclusive;

impl Run<'_> {
    /// Adds to what was captured before. `exclusive` finds the rows to which only the organization's rows refer.
    pub(super) async fn capture(&mut self, exclusive: &[Exclusive]) -> Result<(), Failure> {
        self.capture_exclusive(exclusive).await?;
        for capture in &self.erase.captures {
            if let Some(statement) = &capture.statement {
                let during = During::table("locking rows of", Some(&capture.table.entity), &capture.table.name);
                self.change(statement, during).await?;
            }
        }
        Ok(())
    }

    /// Forgets the parts of keys that a row outside has as well. The preflight after it finds the child rows that have one; if
    /// there is none, such a parent says nothing about what is deleted.
    pub(super) async fn forget_shared_parts(&mut self) -> Result<(), Failure> {
        let during = During::action("checking for parts of keys that other rows have as well");
        for shared in &self.erase.parents_shared {
            self.row(&shared.statement, during).await?;
        }
        Ok(())
    }
}
