//! The statements of the cascade.

use std::collections::BTreeMap;

use super::ownership::depth_of;
use super::resolve::Resolved;
use super::steps::USERS;
use super::types::is_whole;
use crate::cascade::{Back, Capture, PlanTable};
use crate::catalog::TableInfo;
use crate::identifier::Column;
use crate::root::Root;
use crate::statement::{KeySource, Link, Pair, Param, RowSet, Statement, Writer, any_of};

pub(super) fn row_set(steps: &[Resolved<'_>], root: &Root, i: usize, captured: Option<&[Vec<String>]>) -> RowSet {
    let step = &steps[i];
    if let Some(column) = &step.organization {
        let type_name = compared_as(&type_of(step.info, column), &root.key_type);
        return RowSet::Direct { column: Column::new(column), type_name };
    }
    RowSet::Through(step.links.iter().map(|(p, pairs)| link(steps, root, step, *p, pairs, captured)).collect())
}

fn link(
    steps: &[Resolved<'_>],
    root: &Root,
    step: &Resolved<'_>,
    p: usize,
    pairs: &[(String, String)],
    captured: Option<&[Vec<String>]>,
) -> Link {
    let parent = &steps[p];
    let position = |column: &String| captured?[p].iter().position(|c| c == column);
    Link {
        parent: p,
        table: parent.info.table.clone(),
        rows: row_set(steps, root, p, captured),
        pairs: pairs
            .iter()
            .map(|(child, column)| {
                let parent_type = type_of(parent.info, column);
                Pair {
                    child: Column::new(child),
                    child_type: compared_as(&type_of(step.info, child), &parent_type),
                    parent: Column::new(column),
                    parent_type,
                }
            })
            .collect(),
        captured: pairs.iter().map(|(_, column)| position(column)).collect(),
    }
}

fn type_of(info: &TableInfo, column: &str) -> String {
    info.column(column).map_or_else(|| "text".to_owned(), |c| c.type_name.clone())
}

/// The type as which a value is compared with a column: the column's own, so that its index is used; but whole numbers of
/// any size compare with each other as they are, and a large one does not fit into a small column.
pub(super) fn compared_as(column: &str, value: &str) -> String {
    if is_whole(column) && is_whole(value) { value.to_owned() } else { column.to_owned() }
}

pub(super) fn count_statement(
    tables: &[(&PlanTable, Vec<RowSet>)],
    steps: &[Resolved<'_>],
    limit: Option<i64>,
) -> Statement {
    let mut writer = Writer::default();
    let columns: Vec<String> = tables
        .iter()
        .filter_map(|(table, sets)| {
            let info = steps.iter().find(|s| s.info.id == table.id)?.info;
            let sets: Vec<&RowSet> = sets.iter().collect();
            let condition = any_of(&sets, "t", &KeySource::Bound, &mut writer);
            Some(match limit.filter(|_| table.entity != USERS) {
                None => format!("(SELECT count(*) FROM {} t WHERE {condition})", info.table),
                Some(limit) => format!(
                    "(SELECT count(*) FROM (SELECT 1 FROM {} t WHERE {condition} LIMIT {}) s)",
                    info.table,
                    limit + 1
                ),
            })
        })
        .collect();
    let sql = format!("SELECT ARRAY[{}]::bigint[] AS rows", columns.join(", "));
    writer.finish(sql)
}

/// Deletes the rows of these steps of one table at once, and returns the captured columns of each.
pub(super) fn delete_statement(
    info: &TableInfo,
    same: &[usize],
    held: &[RowSet],
    captured: &[Vec<String>],
) -> Statement {
    let mut writer = Writer::default();
    let sets: Vec<&RowSet> = same.iter().map(|&i| &held[i]).collect();
    let condition = any_of(&sets, "t", &KeySource::Bound, &mut writer);
    let (mut returned, mut arrays) = (Vec::new(), Vec::new());
    for &step in same.iter().filter(|&&i| !captured[i].is_empty()) {
        // A row of one step is not a row of the others.
        let of_step = if same.len() == 1 {
            String::new()
        } else {
            let rows = held[step].condition("t", &KeySource::Bound, &mut writer);
            returned.push(format!("{rows} AS s{step}"));
            format!(" FILTER (WHERE s{step})")
        };
        for (i, column) in captured[step].iter().enumerate() {
            returned.push(format!("t.{} AS s{step}c{i}", Column::new(column)));
            arrays.push(format!(", COALESCE(array_agg(s{step}c{i}::text){of_step}, '{{}}')"));
        }
    }
    let arrays = arrays.concat();
    let returned = if returned.is_empty() { "1".to_owned() } else { returned.join(", ") };
    let sql = format!(
        "WITH d AS (DELETE FROM {} t WHERE {condition} RETURNING {returned}) SELECT count(*){arrays} FROM d",
        info.table
    );
    writer.finish(sql)
}

pub(super) fn capture_statements(
    steps: &[Resolved<'_>],
    captured: &[Vec<String>],
    held: &[RowSet],
    protected: &[bool],
    lock: &[u32],
) -> Vec<Capture> {
    // Parents first, so that a child's rows can be found by the parents captured before.
    let mut depth: BTreeMap<usize, usize> = BTreeMap::new();
    for i in 0..steps.len() {
        depth.insert(i, depth_of(steps, i));
    }
    let mut order: Vec<usize> = (0..steps.len()).collect();
    order.sort_by_key(|i| (depth[i], *i));
    order
        .into_iter()
        .filter(|&i| !captured[i].is_empty() || lock.contains(&steps[i].info.id))
        .map(|i| {
            let mut writer = Writer::default();
            let condition = held[i].condition("t", &KeySource::Bound, &mut writer);
            let table = &steps[i].info.table;
            let lock = if lock.contains(&steps[i].info.id) { " FOR UPDATE" } else { "" };
            let sql = if captured[i].is_empty() {
                format!("SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {condition}{lock}) s")
            } else {
                let columns: Vec<Column> = captured[i].iter().map(Column::new).collect();
                format!(
                    "SELECT {} FROM (SELECT {} FROM {table} t WHERE {condition}{lock}) s",
                    columns
                        .iter()
                        .map(|c| format!("COALESCE(array_agg(s.{c}::text), '{{}}')"))
                        .collect::<Vec<_>>()
                        .join(", "),
                    columns.iter().map(|c| format!("t.{c}")).collect::<Vec<_>>().join(", "),
                )
            };
            Capture {
                step: i,
                table: steps[i].step.table.clone(),
                columns: captured[i].clone(),
                statement: writer.finish(sql),
                residue: steps.iter().enumerate().any(|(c, s)| !protected[c] && s.links.iter().any(|(p, _)| *p == i)),
            }
        })
        .collect()
}

/// Rows of parents that were captured and are still there, one number a parent.
pub(super) fn parents_left(steps: &[Resolved<'_>], keys: &[Vec<String>]) -> (Statement, Vec<String>) {
    let mut found: Vec<(usize, Vec<&String>)> = Vec::new();
    for (p, pairs) in steps.iter().flat_map(|child| &child.links) {
        let key = (*p, pairs.iter().map(|(_, column)| column).collect());
        if !found.contains(&key) {
            found.push(key);
        }
    }
    let mut writer = Writer::default();
    let counts: Vec<String> = found
        .iter()
        .map(|(step, columns)| {
            let info = steps[*step].info;
            let arrays: Vec<String> = columns
                .iter()
                .filter_map(|column| {
                    let position = keys[*step].iter().position(|k| k == *column)?;
                    let type_name = &info.column(column)?.type_name;
                    Some(writer.array(Param::Captured { step: *step, position }, type_name))
                })
                .collect();
            let left: Vec<String> = columns.iter().map(|c| format!("t.{}", Column::new(*c))).collect();
            let (left, arrays) = (left.join(", "), arrays.join(", "));
            format!("(SELECT count(*) FROM {} t WHERE ({left}) IN (SELECT * FROM unnest({arrays})))", info.table)
        })
        .collect();
    let tables = found.iter().map(|(step, _)| steps[*step].step.table.clone()).collect();
    (writer.finish(format!("SELECT ARRAY[{}]::bigint[] AS rows", counts.join(", "))), tables)
}

/// Which captured keys of the parents of what nothing fences are there again.
pub(super) fn parents_back(steps: &[Resolved<'_>], keys: &[Vec<String>], protected: &[bool]) -> Vec<Back> {
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    for (parent, pairs) in
        steps.iter().zip(protected).filter(|(_, protected)| !**protected).flat_map(|(child, _)| &child.links)
    {
        let position = |column: &String| keys[*parent].iter().position(|k| k == column);
        let key = (*parent, pairs.iter().filter_map(|(_, column)| position(column)).collect());
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
        .into_iter()
        .map(|(step, positions)| {
            let info = steps[step].info;
            let mut writer = Writer::default();
            let (mut arrays, mut names, mut same) = (Vec::new(), Vec::new(), Vec::new());
            for &position in &positions {
                let column = &keys[step][position];
                arrays.push(writer.array(Param::Captured { step, position }, &type_of(info, column)));
                names.push(format!("c{position}"));
                same.push(format!("t.{} = k.c{position}", Column::new(column)));
            }
            let statement = writer.finish(format!(
                "SELECT COALESCE(array_agg(EXISTS (SELECT FROM {} t WHERE {}) ORDER BY k.n), '{{}}') AS back \
                 FROM unnest({}) WITH ORDINALITY k({}, n)",
                info.table,
                same.join(" AND "),
                arrays.join(", "),
                names.join(", ")
            ));
            Back { step, positions, statement }
        })
        .collect()
}

/// Keeps the shape of the schema, and no data, from changing until the transaction ends.
pub(super) fn lock_statement(root: &Root, steps: &[Resolved<'_>]) -> Statement {
    let mut tables = vec![root.table.to_string()];
    for step in steps {
        let table = step.info.table.to_string();
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    Writer::default().finish(format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", tables.join(", ")))
}

/// Existence, activation and users of many organizations in one query.
pub(super) fn census_statement(root: &Root, steps: &[Resolved<'_>], live: &[RowSet]) -> Statement {
    let users: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].step.entity == USERS).collect();
    let mut writer = Writer::default();
    let keys = writer.array(Param::Keys, &root.key_type);
    let (count, join) = match users.as_slice() {
        [] => ("NULL::bigint".to_owned(), String::new()),
        [only] if let RowSet::Direct { column, type_name } = &live[*only] => {
            // Grouped: one pass over the users of all organizations.
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
