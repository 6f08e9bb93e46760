//! Limits of numbers and names.

/// Rows are counted up to this number where nobody needs the exact one.
pub const COUNT_LIMIT: i64 = 10_000;

/// Longest name of an entity, in bytes: it is a metric label and a field of the status.
pub(crate) const ENTITY_LIMIT: usize = 63;
