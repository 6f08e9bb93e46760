//! What blocks a deletion: outside rows that refer to rows inside, rows that are another organization's as well, and rows
//! that could be another organization's.

use sqlx::PgConnection;

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{Keys, counted};
use crate::domain::Failure;
use planner::cascade::Preflight;
use planner::{Finding, Query, blocker};

/// Finds every blocker.
pub(super) async fn blockers(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    keys: &Keys,
) -> Result<Vec<Finding>, Failure> {
    let (found, ended) = queries(connection, key, preflight, keys).await;
    ended.map(|()| found)
}

/// Finds blockers: enough to know that a deletion is blocked.
pub(super) async fn some_blockers(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    keys: &Keys,
) -> Result<Vec<Finding>, Failure> {
    let (found, ended) = queries(connection, key, preflight, keys).await;
    enough(found, ended)
}

/// An error of a later query does not hide what an earlier one found.
fn enough(found: Vec<Finding>, ended: Result<(), Failure>) -> Result<Vec<Finding>, Failure> {
    match ended {
        Err(failure) if found.is_empty() => Err(failure),
        _ => Ok(found),
    }
}

/// What the queries found, one after the other, up to the first that failed.
async fn queries(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    keys: &Keys,
) -> (Vec<Finding>, Result<(), Failure>) {
    let mut found = Vec::new();
    let ended = async {
        let during = During::action("checking for references from outside");
        let references = numbers(connection, preflight.references.as_ref(), key, keys, during).await?;
        found.extend(blocker::references(&references, key));
        let during = During::action("checking for rows of several organizations");
        let shared = numbers(connection, preflight.shared.as_ref(), key, keys, during).await?;
        found.extend(blocker::shared_rows(&shared, key));
        let during = During::action("checking for rows that could belong to several organizations");
        let ambiguous = numbers(connection, preflight.ambiguous.as_ref(), key, keys, during).await?;
        found.extend(blocker::ambiguous_rows(&ambiguous, key));
        Ok(())
    }
    .await;
    (found, ended)
}

/// Each subject of a query with its number; none without a query.
async fn numbers<'q, S>(
    connection: &mut PgConnection,
    query: Option<&'q Query<S>>,
    key: &str,
    keys: &Keys,
    during: During<'_>,
) -> Result<Vec<(&'q S, i64)>, Failure> {
    match query {
        Some(query) => counted(connection, query, key, keys).await.or_failure(during),
        None => Ok(Vec::new()),
    }
}

impl Run<'_> {
    /// Fails if anything blocks.
    pub(super) async fn refuse_blocked(&mut self, preflight: &Preflight) -> Result<(), Failure> {
        let found = some_blockers(self.connection, self.key, preflight, &self.keys).await?;
        Failure::blocked_by(&found).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use planner::{Kind, Severity};

    use super::*;
    use crate::api::Reason;

    #[test]
    fn an_error_of_a_later_query_does_not_hide_what_an_earlier_one_found() {
        let finding = |kind| Finding::new(Severity::Blocks, kind, "rows");
        let (reference, ambiguous) = (finding(Kind::ReferenceFromOutside), finding(Kind::AmbiguousRows));
        let slow = Failure::new(Reason::StatementTimeout, "slow");
        for (found, ended, expected) in [
            (vec![], Ok(()), Ok(vec![])),
            (vec![reference.clone(), ambiguous.clone()], Ok(()), Ok(vec![reference.clone(), ambiguous])),
            (vec![reference.clone()], Err(slow.clone()), Ok(vec![reference])),
            (vec![], Err(slow.clone()), Err(slow)),
        ] {
            assert_eq!(enough(found, ended), expected);
        }
    }
}
