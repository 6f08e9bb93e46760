//! What a page is a range of: blocks of the walked table, or tuple identifiers of it that were captured.

use super::Paging;
use crate::cascade::{CAPTURED_TIDS, TIDS_PER_CHUNK};
use crate::catalog::{Relation, TableInfo};
use crate::row_set::{KeySource, RowSet, any_of};
use crate::statement::{Param, Writer};

/// What a page is a range of.
#[derive(Clone, Copy)]
pub(super) enum Range {
    Blocks,
    CapturedTids,
}

impl Range {
    /// The condition that a row of the walked table, known as `alias`, is in the page.
    pub(super) fn contains(self, alias: &str) -> String {
        match self {
            Self::Blocks => format!("{alias}.ctid >= $2::text::tid AND {alias}.ctid < $3::text::tid"),
            // Another row that has come to lie there is judged like any other.
            Self::CapturedTids => format!(
                "{alias}.ctid = ANY (ARRAY(SELECT n.tid FROM {CAPTURED_TIDS} c \
                 CROSS JOIN LATERAL unnest(c.tids) WITH ORDINALITY n(tid, number) WHERE c.organization_key = $1::text \
                 AND c.chunk BETWEEN $2::text::bigint / {TIDS_PER_CHUNK} AND $3::text::bigint / {TIDS_PER_CHUNK} \
                 AND c.chunk * {TIDS_PER_CHUNK} + n.number > $2::text::bigint \
                 AND c.chunk * {TIDS_PER_CHUNK} + n.number <= $3::text::bigint))"
            ),
        }
    }
}

impl Paging<'_, '_> {
    /// Captures where the rows of these sets lie in their table. Returns `None` if PostgreSQL would have to read the whole table
    /// for that, or each of its partitions for each row.
    pub(super) fn capture(&self, info: &TableInfo, sets: &[&RowSet]) -> Option<String> {
        let properties = self.catalog.properties(info.id)?;
        let indexed = |set: &&RowSet| match set {
            RowSet::Direct { column, .. } => properties.indexed(&[column.name().to_owned()]),
            RowSet::Through(links) => links.iter().all(|link| properties.indexed(&link.child_columns())),
            RowSet::Exclusive(_) | RowSet::Referred { .. } => false,
        };
        (properties.relation == Relation::Table && sets.iter().all(indexed)).then(|| {
            let mut writer = bound();
            let inside = any_of(sets, "t", &KeySource::Bound, &mut writer);
            format!(
                "WITH i AS (INSERT INTO {CAPTURED_TIDS} (organization_key, chunk, tids) \
                 SELECT $1::text, s.number / {TIDS_PER_CHUNK}, array_agg(s.tid ORDER BY s.number) FROM \
                 (SELECT r.tid, row_number() OVER (ORDER BY r.tid) - 1 AS number FROM \
                 (SELECT t.ctid AS tid FROM {} t WHERE {inside} LIMIT $2::bigint) r) s \
                 GROUP BY s.number / {TIDS_PER_CHUNK} RETURNING cardinality(tids) AS tids) \
                 SELECT COALESCE(sum(i.tids), 0)::bigint FROM i",
                info.table
            )
        })
    }
}

/// `$1` is the organization's key, whether or not a statement uses it.
pub(super) fn bound() -> Writer {
    let mut writer = Writer::default();
    writer.value(Param::Key, "text");
    writer
}
