//! Rows that are found by part of a parent's key. They are the organization's only if no parent row of another organization
//! has the same part: the rest of the key, which would tell the two apart, is not among their columns.

use super::effort::Effort;
use super::resolve::Steps;
use crate::cascade::AmbiguousRows;
use crate::catalog::{TableId, TableInfo};
use crate::limits::COUNT_LIMIT;
use crate::query::Query;
use crate::statement::{KeySource, RowSet, Writer, none_of};
use crate::step::{PerStep, StepId};

/// Counts, for each such way into one of these tables, the rows inside whose part a parent row outside has as well. A parent
/// row is outside if it is another organization's or nobody's.
pub(super) fn query(
    steps: &Steps<'_>,
    rows: &PerStep<RowSet>,
    of: impl Fn(TableId) -> bool,
    effort: Effort<'_>,
) -> Option<Query<AmbiguousRows>> {
    let mut writer = Writer::default();
    let mut numbers = Vec::new();
    for part in parts(steps, rows).filter(|part| of(part.child.id)) {
        let table = &part.child.table;
        let of_parent: Vec<&RowSet> = steps.of_table(part.parent.id).map(|i| &rows[i]).collect();
        // Only this way: a row that is found in another one as well has to be unambiguous in both.
        let condition = |key: &KeySource, writer: &mut Writer| {
            let inside = part.way.condition("c", key, writer);
            let outside = none_of(&of_parent, "p", key, writer);
            format!("{inside} AND EXISTS (SELECT FROM {} p WHERE {} AND {outside})", part.parent.table, part.joined)
        };
        let counted = condition(&KeySource::Bound, &mut writer);
        let count =
            format!("(SELECT count(*) FROM (SELECT 1 FROM {table} c WHERE {counted} LIMIT {}) s)", COUNT_LIMIT + 1);
        let (columns, parent_columns): (Vec<String>, Vec<String>) = part.pairs.iter().cloned().unzip();
        // The child's columns are those by which its rows are counted all the time.
        let count = effort.bounded(count, part.parent, std::iter::once(parent_columns.as_slice()));
        let shown = condition(&KeySource::Outer(":key".to_owned()), &mut Writer::default());
        let ambiguous = AmbiguousRows {
            table: table.name(),
            entity: steps.plan_table(part.step).entity,
            columns,
            parent_table: part.parent.table.name(),
            parent_columns,
            query: format!("SELECT c.* FROM {table} c WHERE {shown};"),
        };
        numbers.push((ambiguous, count));
    }
    Query::new(writer, numbers).if_any()
}

/// One way by which rows of a table are found by part of a parent's key.
struct Part<'s> {
    step: StepId,
    child: &'s TableInfo,
    parent: &'s TableInfo,
    /// Columns of the child, each with the parent's column.
    pairs: &'s [(String, String)],
    /// The rows that are found in this way.
    way: RowSet,
    /// A row `c` of the child has the part of a row `p` of the parent's table.
    joined: String,
}

fn parts<'s>(steps: &'s Steps<'_>, rows: &PerStep<RowSet>) -> impl Iterator<Item = Part<'s>> {
    let each =
        steps.iter().flat_map(|(id, step)| step.links.iter().zip(rows[id].ways()).map(move |way| (id, step, way)));
    each.filter_map(|(id, step, ((parent, pairs), way))| {
        let parent = steps[*parent].info;
        let columns: Vec<&str> = pairs.iter().map(|(_, column)| column.as_str()).collect();
        let joined = way.joined("c", "p").filter(|_| !parent.unique_on(&columns))?;
        Some(Part { step: id, child: step.info, parent, pairs, way, joined })
    })
}
