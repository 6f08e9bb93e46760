//! The statements of the cascade that count and delete.

use super::captures::columns;
use super::exclusive;
use super::resolve::Steps;
use super::sequence::{Set, TableSteps};
use crate::captured::{KeySet, Known};
use crate::cascade::{PlanTable, USERS};
use crate::catalog::TableInfo;
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

/// What a delete does with captured keys, for each step.
pub(super) struct Keeping<'k> {
    /// The sets to which it adds the keys of rows that appeared after the capture.
    pub(super) add: &'k PerStep<Vec<KeySet>>,
    /// The sets of which it counts the keys of rows that it did not delete.
    pub(super) account: &'k PerStep<Vec<KeySet>>,
}

/// Deletes the rows of a set: of all steps of its tables at once, and of the organization if it is part of the set. Also
/// returns whether the number of rows is that of the command.
pub(super) fn delete(set: &Set<'_>, root: &Root, deleting: &Deleting, keeping: &Keeping<'_>) -> (Statement, bool) {
    let mut writer = Writer::default();
    let organization = |writer: &mut Writer| {
        let condition = root.rows().condition("t", &KeySource::Bound, writer);
        format!("DELETE FROM {} t WHERE {condition}", root.table)
    };
    if let [same] = set.tables.as_slice()
        && !set.organization
        && keeping.nothing_of(same)
    {
        // Without RETURNING, which would write every row to a file before it counts them.
        let condition = any_of(&same.sets(&deleting.rows), "t", &KeySource::Bound, &mut writer);
        return (writer.finish(format!("DELETE FROM {} t WHERE {condition}", same.info.table)), true);
    }
    let mut parts: Vec<Part> = Vec::new();
    for (i, same) in set.tables.iter().enumerate() {
        parts.push(part(&format!("d{i}"), same, deleting, keeping, &mut writer));
    }
    if set.organization {
        let delete = organization(&mut writer);
        if parts.is_empty() {
            // Not in a WITH query: PostgreSQL allows a rule that adds to the delete only in a statement of its own.
            return (writer.finish(delete), true);
        }
        let numbers = vec!["(SELECT count(*) FROM o)".to_owned()];
        parts.push(Part { queries: vec![format!("o AS ({delete} RETURNING 1)")], numbers });
    }
    let queries: Vec<&str> = parts.iter().flat_map(|p| &p.queries).map(String::as_str).collect();
    let numbers: Vec<&str> = parts.iter().flat_map(|p| &p.numbers).map(String::as_str).collect();
    let sql = format!("WITH {} SELECT {}", queries.join(", "), numbers.join(", "));
    (writer.finish(sql), false)
}

impl Keeping<'_> {
    fn nothing_of(&self, same: &TableSteps<'_>) -> bool {
        same.steps.iter().all(|&step| self.add[step].is_empty() && self.account[step].is_empty())
    }
}

/// The delete of one table of a set.
struct Part {
    /// The queries of its `WITH`.
    queries: Vec<String>,
    /// The numbers that it returns.
    numbers: Vec<String>,
}

fn part(
    name: &str,
    same: &TableSteps<'_>,
    Deleting { rows, held }: &Deleting,
    keeping: &Keeping<'_>,
    writer: &mut Writer,
) -> Part {
    let condition = any_of(&same.sets(rows), "t", &KeySource::Bound, writer);
    let sets: Vec<KeySet> =
        same.steps.iter().flat_map(|&i| keeping.add[i].iter().chain(&keeping.account[i])).cloned().collect();
    let mut returned: Vec<String> = columns(&sets).iter().map(|c| format!("t.{c}")).collect();
    let mut queries = Vec::new();
    for &step in same.steps.iter().filter(|&&i| !keeping.add[i].is_empty()) {
        // A row of one step is not a row of the others.
        let of_step = if same.steps.len() == 1 {
            String::new()
        } else {
            // Two underscores: no column of the table has this name, or PostgreSQL would say that it is ambiguous.
            returned.push(format!("{} AS __of_step_{step}", held[step].condition("t", &KeySource::Bound, writer)));
            format!(" AND r.__of_step_{step}")
        };
        for (i, set) in keeping.add[step].iter().enumerate() {
            let keys = set.keys_in("r", &format!("{name} r WHERE {}{of_step}", set.is_key("r")));
            queries.push(format!("{name}s{step}k{i} AS ({})", set.add(&keys, Known::Some, writer)));
        }
    }
    let returned = if returned.is_empty() { "1".to_owned() } else { returned.join(", ") };
    queries.insert(0, format!("{name} AS (DELETE FROM {} t WHERE {condition} RETURNING {returned})", same.info.table));
    let mut numbers = vec![format!("(SELECT count(*) FROM {name})")];
    let accounted: Vec<String> = same
        .steps
        .iter()
        .flat_map(|&i| &keeping.account[i])
        .map(|set| format!("({})", set.missing(&format!("SELECT {} AS key FROM {name} x", set.key_of("x")), writer)))
        .collect();
    numbers.push(if accounted.is_empty() { "0::bigint".to_owned() } else { accounted.join(" + ") });
    Part { queries, numbers }
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
