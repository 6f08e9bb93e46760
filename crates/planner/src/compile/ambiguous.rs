//! Rows that are found by part of a parent's key. They are the organization's only if no parent row of another organization
//! has the same part: the rest of the key, which would tell the two apart, is not among their columns.

use super::effort::Effort;
use super::resolve::Steps;
use crate::cascade::AmbiguousRows;
use crate::catalog::{TableId, TableInfo};
use crate::limits::{COUNT_LIMIT, capped_count};
use crate::query::Query;
use crate::row_set::{KeySource, RowSet, none_of};
use crate::statement::Writer;
use crate::step::{PerStep, StepId};

/// Counts, for each such way into one of these tables, the rows inside whose part a parent row outside has as well. A parent
/// row is outside if it is another organization's or nobody's. The row sets are those to count by and those to show.
pub(super) fn query(
    steps: &Steps<'_>,
    (rows, shown): (&PerStep<RowSet>, &PerStep<RowSet>),
    of: impl Fn(TableId) -> bool,
    effort: Effort<'_>,
) -> Option<Query<AmbiguousRows>> {
    let mut writer = Writer::default();
    let mut numbers = Vec::new();
    for part in parts(steps).filter(|part| of(part.child.id)) {
        let counted = part.condition(steps, rows, &KeySource::Bound, &mut writer);
        let shown = part.condition(steps, shown, &KeySource::Outer(":key".to_owned()), &mut Writer::default());
        let (Some(counted), Some(shown)) = (counted, shown) else { continue };
        let table = &part.child.table;
        let count = capped_count(&format!("FROM {table} c WHERE {counted}"), COUNT_LIMIT);
        let (columns, parent_columns): (Vec<String>, Vec<String>) = part.pairs.iter().cloned().unzip();
        // The index on the child's columns is not checked: every count searches by them anyway.
        let count = effort.bounded(count, part.parent, std::iter::once(parent_columns.as_slice()));
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
    /// The place of the link among those of the step.
    link: usize,
    child: &'s TableInfo,
    parent: &'s TableInfo,
    /// Columns of the child, each with the parent's column.
    pairs: &'s [(String, String)],
}

impl Part<'_> {
    /// The condition for such a row, known as `c`. Returns `None` if the row sets have no such way.
    fn condition(
        &self,
        steps: &Steps<'_>,
        rows: &PerStep<RowSet>,
        key: &KeySource,
        writer: &mut Writer,
    ) -> Option<String> {
        // Only this way: if a row is found in two ways, it has to be unambiguous in both.
        // Where the parent is gone already, a part that another row has now is forgotten, so its rows do not count here.
        let way = rows[self.step].ways().into_iter().nth(self.link)?.of_present_parents();
        let joined = way.joined("c", "p")?;
        let of_parent: Vec<&RowSet> = steps.of_table(self.parent.id).map(|i| &rows[i]).collect();
        let inside = way.condition("c", key, writer);
        let outside = none_of(&of_parent, "p", key, writer);
        Some(format!("{inside} AND EXISTS (SELECT FROM {} p WHERE {joined} AND {outside})", self.parent.table))
    }
}

fn parts<'s>(steps: &'s Steps<'_>) -> impl Iterator<Item = Part<'s>> {
    steps.iter().flat_map(move |(id, step)| {
        step.links.iter().enumerate().filter_map(move |(link, (parent, pairs))| {
            let parent = steps[*parent].info;
            let columns: Vec<&str> = pairs.iter().map(|(_, column)| column.as_str()).collect();
            (!parent.unique_on(&columns)).then_some(Part { step: id, link, child: step.info, parent, pairs })
        })
    })
}
