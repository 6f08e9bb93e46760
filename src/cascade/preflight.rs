//! What blocks a deletion: outside rows that refer to rows inside, and rows that are another organization's as well.

use sqlx::PgConnection;

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::counted;
use crate::domain::Failure;
use planner::cascade::Preflight;
use planner::{CapturedKeys, Finding, Query, blocker};

/// Finds every blocker.
pub(super) async fn blockers(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    captured: &CapturedKeys,
) -> Result<Vec<Finding>, Failure> {
    let (first, second) = queries(connection, key, preflight, captured).await?;
    Ok(first.into_iter().chain(second?).collect())
}

/// Finds blockers: enough to know that a deletion is blocked.
pub(super) async fn some_blockers(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    captured: &CapturedKeys,
) -> Result<Vec<Finding>, Failure> {
    let (first, second) = queries(connection, key, preflight, captured).await?;
    enough(first, second)
}

/// An error of the second query does not hide what the first one found.
fn enough(first: Vec<Finding>, second: Result<Vec<Finding>, Failure>) -> Result<Vec<Finding>, Failure> {
    match second {
        Ok(second) => Ok(first.into_iter().chain(second).collect()),
        Err(failure) if first.is_empty() => Err(failure),
        Err(_) => Ok(first),
    }
}

/// The references from outside, and then the rows of several organizations.
async fn queries(
    connection: &mut PgConnection,
    key: &str,
    preflight: &Preflight,
    captured: &CapturedKeys,
) -> Result<(Vec<Finding>, Result<Vec<Finding>, Failure>), Failure> {
    let during = During::action("checking for references from outside");
    let references = numbers(connection, preflight.references.as_ref(), key, captured, during).await?;
    let during = During::action("checking for rows of several organizations");
    let shared = numbers(connection, preflight.shared.as_ref(), key, captured, during).await;
    Ok((blocker::references(&references, key), shared.map(|shared| blocker::shared_rows(&shared, key))))
}

/// Each subject of a query with its number; none without a query.
async fn numbers<'q, S>(
    connection: &mut PgConnection,
    query: Option<&'q Query<S>>,
    key: &str,
    captured: &CapturedKeys,
    during: During<'_>,
) -> Result<Vec<(&'q S, i64)>, Failure> {
    match query {
        Some(query) => counted(connection, query, key, captured).await.or_failure(during),
        None => Ok(Vec::new()),
    }
}

impl Run<'_> {
    /// Fails if anything blocks.
    pub(super) async fn refuse_blocked(&mut self, preflight: &Preflight) -> Result<(), Failure> {
        let found = some_blockers(self.connection, self.key, preflight, &self.captured).await?;
        Failure::blocked_by(&found).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use planner::{Kind, Severity};

    use super::*;
    use crate::api::Reason;

    #[test]
    fn an_error_of_the_second_query_does_not_hide_what_the_first_one_found() {
        let finding = |kind| Finding::new(Severity::Blocks, kind, "rows");
        let (reference, shared) = (finding(Kind::ReferenceFromOutside), finding(Kind::SharedRows));
        let slow = Failure::new(Reason::StatementTimeout, "slow");
        for (first, second, expected) in [
            (vec![], Ok(vec![]), Ok(vec![])),
            (vec![reference.clone()], Ok(vec![shared.clone()]), Ok(vec![reference.clone(), shared])),
            (vec![reference.clone()], Err(slow.clone()), Ok(vec![reference])),
            (vec![], Err(slow.clone()), Err(slow)),
        ] {
            assert_eq!(enough(first, second), expected);
        }
    }
}
