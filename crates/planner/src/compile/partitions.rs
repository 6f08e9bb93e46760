//! Partitions that can hold only one organization's rows: `partitions: drop`.

use super::faults::Collector;
use super::resolve::Steps;
use super::rows::type_of;
use super::sequence::Sequence;
use crate::cascade::{OwnPartition, Removal};
use crate::catalog::{Catalog, Enforcement, ForeignKey, TableId, TableInfo};
use crate::identifier::literal;
use crate::plan::Partitions;
use crate::root::Root;
use crate::row_set::RowSet;
use crate::statement::{Param, Statement, Writer};
use crate::step::{PerStep, StepId};

/// The tables whose rows go with their partitions. A table for which that cannot be done is a fault: whoever wrote
/// `partitions: drop` expects it.
pub(super) fn partitions(
    steps: &Steps<'_>,
    sequence: &Sequence<'_>,
    catalog: &Catalog,
    root: &Root,
    held: &PerStep<RowSet>,
    faults: &mut Collector,
) -> Vec<OwnPartition> {
    let mut found = Vec::new();
    for (id, step) in steps.iter().filter(|(_, s)| s.step.partitions == Partitions::Drop) {
        let Some(column) = &step.organization else { continue };
        let name = step.info.table.name();
        if let Some((why, or)) = obstacle(step.info, column, catalog) {
            faults.schema(
                format!("the step of `{name}` says `partitions: drop`, but {why}"),
                Some(&name),
                Some(format!("remove `partitions: drop` from this step of the plan (cascade){or}")),
            );
            continue;
        }
        if referred_until_they_go(id, steps, sequence, catalog, root) {
            // A warning says so.
            continue;
        }
        let removal = removal(step.info.id, catalog);
        let mut search = Writer::default();
        let key = search.value(Param::Key, &type_of(step.info, column));
        let may = match removal {
            Removal::Truncate => "has_table_privilege(c.oid, 'TRUNCATE')",
            Removal::Drop => "pg_has_role(c.relowner, 'USAGE') AND pg_has_role(p.relowner, 'USAGE')",
        };
        found.push(OwnPartition {
            step: id,
            table: steps.plan_table(id),
            parent: step.info.table.clone(),
            removal,
            // The bound is compared as PostgreSQL writes it, with the key as its only value. A bound that is written in
            // another way is not found, and its rows are deleted one by one.
            find: search.finish(format!(
                r"SELECT n.nspname::text AS schema, c.relname::text AS name
                  FROM (SELECT ({key})::text AS value) k
                      JOIN pg_class p ON p.oid = {parent}::regclass
                      JOIN pg_inherits i ON i.inhparent = p.oid AND NOT i.inhdetachpending
                      JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
                      JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE pg_get_expr(c.relpartbound, c.oid) IN (
                          'FOR VALUES IN (''' || replace(k.value, '''', '''''') || ''')',
                          CASE WHEN k.value ~ '^[0-9]+$' THEN 'FOR VALUES IN (' || k.value || ')' END)
                      AND {may}",
                parent = literal(&step.info.table.to_string()),
            )),
            rows: held[id].clone(),
        });
    }
    found
}

/// Whether rows of the organization may still refer to these rows when they go: PostgreSQL then refuses to detach the
/// partition, whether or not the foreign key is deferred.
fn referred_until_they_go(
    id: StepId,
    steps: &Steps<'_>,
    sequence: &Sequence<'_>,
    catalog: &Catalog,
    root: &Root,
) -> bool {
    let Some(place) = sequence.place(id).filter(|place| sequence.sets[*place].is_single()) else { return true };
    let gone = |step| sequence.place(step).is_some_and(|child| child < place);
    references(steps[id].info.id, catalog).any(|key| key.child == root.id || !steps.of_table(key.child).all(gone))
}

/// The foreign keys that refer to a table.
fn references(table: TableId, catalog: &Catalog) -> impl Iterator<Item = &ForeignKey> {
    catalog.foreign_keys.iter().filter(move |k| k.parent == table && k.enforcement != Enforcement::NotEnforced)
}

/// Lets only one deletion at a time drop partitions of these tables. Rows can be read and written meanwhile.
pub(super) fn lock(partitions: &[OwnPartition]) -> Option<Statement> {
    let dropped = partitions.iter().filter(|partition| partition.removal == Removal::Drop);
    let tables: Vec<String> = dropped.map(|partition| format!("ONLY {}", partition.parent)).collect();
    let sql = || format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", tables.join(", "));
    (!tables.is_empty()).then(|| Writer::default().finish(sql()))
}

/// How the partitions of a table go. PostgreSQL refuses to truncate a table to which a foreign key refers, even if no row does.
fn removal(table: TableId, catalog: &Catalog) -> Removal {
    if references(table, catalog).next().is_some() { Removal::Drop } else { Removal::Truncate }
}

/// Why rows of this table cannot go with their partitions, and what else clears that.
fn obstacle(info: &TableInfo, column: &str, catalog: &Catalog) -> Option<(String, String)> {
    let properties = catalog.properties(info.id)?;
    if properties.by_list.as_ref().is_none_or(|by| by.column != column) {
        return Some((
            format!("the table is not partitioned by the values of `{column}` (PARTITION BY LIST)"),
            String::new(),
        ));
    }
    if let Some(trigger) = properties.triggers.iter().find(|t| t.fires) {
        return Some((
            format!("the trigger {} does not fire for rows that go with their partition", trigger.name),
            ", or drop the trigger".to_owned(),
        ));
    }
    None
}
