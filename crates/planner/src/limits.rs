//! Limits of numbers and names.

/// Rows are counted up to this number where nobody needs the exact one.
pub const COUNT_LIMIT: i64 = 10_000;

/// Counts up to `limit` + 1 rows of what follows `SELECT`, as an SQL expression: more rows cost nothing.
pub(crate) fn capped_count(from: &str, limit: i64) -> String {
    format!("(SELECT count(*) FROM (SELECT 1 {from} LIMIT {}) s)", limit + 1)
}

/// Longest name of an entity, in bytes: it is a metric label and a field of the status.
pub(crate) const ENTITY_LIMIT: usize = 63;
