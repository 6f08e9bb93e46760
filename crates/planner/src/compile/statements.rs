//! The statements of the cascade that count and delete.

use super::exclusive;
use super::resolve::Steps;
use super::sequence::{Set, TableSteps};
use crate::cascade::{PlanTable, USERS};
use crate::catalog::TableInfo;
use crate::identifier::Column;
use crate::limits::capped_count;
use crate::query::Query;
use crate::root::Root;
use crate::row_set::{KeySource, RowSet, any_of};
use crate::statement::{Param, Statement, Writer};
use crate::step::{PerStep, StepId};

/// Counts the rows of these sets in each table; up to `limit` + 1 if there is a limit, except for users.
pub(super) fn count<'t, 'a: 't>(
    tables: impl IntoIterator<Item = &'t TableSteps<'a>>,
    steps: &Steps<'_>,
    sets: &PerStep<RowSet>,
    limit: Option<i64>,
) -> Query<PlanTable> {
    let mut writer = Writer::default();
    let numbers = tables
        .into_iter()
        .map(|same| {
            let table = steps.plan_table(same.first);
            let condition = any_of(&same.sets(sets), "t", &KeySource::Bound, &mut writer);
            let from = format!("FROM {} t WHERE {condition}", same.info.table);
            let count = match limit.filter(|_| table.entity != USERS) {
                None => format!("(SELECT count(*) {from})"),
                Some(limit) => capped_count(&from, limit),
            };
            (table, count)
        })
        .collect();
    Query::new(writer, numbers)
}

/// Which rows of each step to delete, and by which a row that was deleted is known to be one of the step's.
pub(super) struct Deleting {
    pub(super) rows: PerStep<RowSet>,
    pub(super) held: PerStep<RowSet>,
}

/// Deletes the rows of a set: of all steps of its tables at once, and of the organization if it is part of the set. Returns
/// the captured columns of each step.
pub(super) fn delete(set: &Set<'_>, root: &Root, deleting: &Deleting, captured: &PerStep<Vec<String>>) -> Statement {
    let mut writer = Writer::default();
    let organization = |writer: &mut Writer| {
        let condition = root.rows().condition("t", &KeySource::Bound, writer);
        format!("DELETE FROM {} t WHERE {condition}", root.table)
    };
    let mut parts: Vec<(String, String)> =
        set.tables.iter().map(|same| part(same, deleting, captured, &mut writer)).collect();
    if set.organization {
        let delete = organization(&mut writer);
        if parts.is_empty() {
            // Not in a WITH query: PostgreSQL allows a rule that adds to the delete only in a statement of its own.
            return writer.finish(delete);
        }
        parts.push((format!("{delete} RETURNING 1"), "count(*)".to_owned()));
    }
    let sql = match parts.as_slice() {
        [(delete, numbers)] => format!("WITH d AS ({delete}) SELECT {numbers} FROM d"),
        several => {
            let each = |text: &dyn Fn(usize, &(String, String)) -> String, between: &str| {
                several.iter().enumerate().map(|(i, part)| text(i, part)).collect::<Vec<_>>().join(between)
            };
            format!(
                "WITH {} SELECT {} FROM {}",
                each(&|i, (delete, _)| format!("d{i} AS ({delete})"), ", "),
                each(&|i, _| format!("s{i}.*"), ", "),
                each(&|i, (_, numbers)| format!("(SELECT {numbers} FROM d{i}) s{i}"), " CROSS JOIN "),
            )
        }
    };
    writer.finish(sql)
}

/// The delete of one table of a set, and what to select of the rows that it returns.
fn part(
    same: &TableSteps<'_>,
    Deleting { rows, held }: &Deleting,
    captured: &PerStep<Vec<String>>,
    writer: &mut Writer,
) -> (String, String) {
    let condition = any_of(&same.sets(rows), "t", &KeySource::Bound, writer);
    let (mut returned, mut arrays) = (Vec::new(), Vec::new());
    for &step in same.steps.iter().filter(|&&i| !captured[i].is_empty()) {
        // A row of one step is not a row of the others.
        let of_step = if same.steps.len() == 1 {
            String::new()
        } else {
            let of_step = held[step].condition("t", &KeySource::Bound, writer);
            returned.push(format!("{of_step} AS s{step}"));
            format!(" FILTER (WHERE s{step})")
        };
        for (i, column) in captured[step].iter().enumerate() {
            returned.push(format!("t.{} AS s{step}c{i}", Column::new(column)));
            arrays.push(format!(", COALESCE(array_agg(s{step}c{i}::text){of_step}, '{{}}')"));
        }
    }
    let returned = if returned.is_empty() { "1".to_owned() } else { returned.join(", ") };
    let delete = format!("DELETE FROM {} t WHERE {condition} RETURNING {returned}", same.info.table);
    (delete, format!("count(*){}", arrays.concat()))
}

/// Keeps the shape of the schema, and no data, from changing until the transaction ends.
pub(super) fn lock_tables(root: &Root, steps: &Steps<'_>) -> Statement {
    let tables = steps.first_of_tables().map(|(_, step)| format!(", {}", step.info.table));
    let sql = format!("LOCK TABLE {}{} IN ROW EXCLUSIVE MODE", root.table, tables.collect::<String>());
    Writer::default().finish(sql)
}

/// The steps whose rows stand for those of this step when many organizations are observed: itself, or the steps that refer
/// to its rows, or to those of its parent.
fn observed(steps: &Steps<'_>, id: StepId) -> Vec<StepId> {
    let step = &steps[id];
    match &step.referenced {
        Some(referenced) => referenced.referrers.iter().flat_map(|(referrer, _)| observed(steps, *referrer)).collect(),
        None if exclusive::depends(steps, id) => {
            step.links.iter().flat_map(|(parent, _)| observed(steps, *parent)).collect()
        }
        None => vec![id],
    }
}

/// Existence, activation and users of many organizations in one query.
pub(super) fn observe_many(root: &Root, steps: &Steps<'_>, live: &PerStep<RowSet>) -> Statement {
    let users: Vec<StepId> =
        steps.iter().filter(|(_, s)| s.step.entity == USERS).flat_map(|(i, _)| observed(steps, i)).collect();
    let mut writer = Writer::default();
    let keys = writer.array(Param::Keys, &root.key_type);
    let (count, join) = match users.as_slice() {
        [] => ("NULL::bigint".to_owned(), String::new()),
        [only] if let RowSet::Direct { column, type_name } = &live[*only] => {
            // Grouped: the users of all organizations are read once.
            let tenants = writer.array(Param::Keys, type_name);
            (
                "COALESCE(u.n, 0)".to_owned(),
                format!(
                    " LEFT JOIN (SELECT t.{column} AS tenant, count(*) AS n FROM {} t WHERE t.{column} = ANY({tenants}) GROUP BY t.{column}) u ON u.tenant::text = o.{}::text",
                    steps[*only].info.table, root.key
                ),
            )
        }
        several => {
            let outer = KeySource::Outer(format!("o.{}", root.key));
            let mut tables: Vec<&TableInfo> = Vec::new();
            for &i in several {
                if !tables.iter().any(|t| t.id == steps[i].info.id) {
                    tables.push(steps[i].info);
                }
            }
            let counts: Vec<String> = tables
                .iter()
                .map(|info| {
                    let sets: Vec<&RowSet> =
                        several.iter().filter(|&&i| steps[i].info.id == info.id).map(|&i| &live[i]).collect();
                    let condition = any_of(&sets, "t", &outer, &mut writer);
                    format!("(SELECT count(*) FROM {} t WHERE {condition})", info.table)
                })
                .collect();
            (counts.join(" + "), String::new())
        }
    };
    let sql = format!(
        "SELECT o.{key}::text AS key, {active} AS active, {count} AS users FROM {table} o{join} WHERE o.{key} = ANY({keys})",
        key = root.key,
        active = root.active_expression("o"),
        table = root.table,
    );
    writer.finish(sql)
}
