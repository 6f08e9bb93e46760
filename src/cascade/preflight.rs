//! What blocks a deletion: outside rows that refer to rows inside, and rows that are another organization's as well.

use sqlx::PgConnection;

use super::run::Run;
use crate::db::bind::counted;
use crate::db::error::{During, OrFailure as _};
use crate::domain::Failure;
use planner::cascade::Preflight;
use planner::{CapturedKeys, Finding, blocker};

/// Finds every blocker. An error of the second query does not hide what the first one found.
pub(super) async fn blockers(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    captured: &CapturedKeys,
) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    if let Some(references) = &preflight.references {
        let during = During::action("checking for references from outside");
        let rows = counted(connection, references, key, captured).await.or_failure(during)?;
        found.extend(blocker::references(&rows, key));
    }
    if let Some(shared) = &preflight.shared {
        let during = During::action("checking for rows of several organizations");
        match counted(connection, shared, key, captured).await.or_failure(during) {
            Ok(rows) => found.extend(blocker::shared_rows(&rows, key)),
            Err(failure) if found.is_empty() => return Err(failure),
            Err(_) => {}
        }
    }
    Ok(found)
}

impl Run<'_> {
    /// Fails if anything blocks.
    pub(super) async fn refuse_blocked(&mut self, preflight: &Preflight) -> Result<(), Failure> {
        let found = blockers(self.connection, self.key, preflight, &self.captured).await?;
        Failure::blocked_by(&found).map_or(Ok(()), Err)
    }
}
