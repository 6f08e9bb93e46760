//! What the columns of a foreign key are good for.

use super::resolve::Steps;
use crate::catalog::{ForeignKey, TableId, TableInfo};

/// Whether rows of this table, or their child rows, are found by this column.
pub(super) fn finds_rows(steps: &Steps<'_>, table: TableId, column: &String) -> bool {
    steps.values().any(|step| {
        let own = step.info.id == table
            && (step.organization.as_ref() == Some(column)
                || step.links.iter().any(|(_, pairs)| pairs.iter().any(|(child, _)| child == column)));
        let below = step
            .links
            .iter()
            .any(|(parent, pairs)| steps[*parent].info.id == table && pairs.iter().any(|(_, parent)| parent == column));
        own || below
    })
}

/// The columns of a foreign key that can be NULL.
pub(super) fn nullable<'k>(child: &TableInfo, key: &'k ForeignKey) -> Vec<&'k String> {
    let null = |name: &&String| child.column(name).is_some_and(|c| c.nullable);
    key.child_columns.iter().filter(null).collect()
}
