//! The statements that capture keys before the first delete, and those that search for these keys afterwards.

use super::ownership::parents_first;
use super::resolve::Steps;
use super::rows::type_of;
use crate::cascade::{Back, Capture, ParentLeft};
use crate::catalog::{TableId, TableInfo};
use crate::identifier::Column;
use crate::query::Query;
use crate::row_set::{KeySource, RowSet, none_of};
use crate::statement::{Param, Writer};
use crate::step::{PerStep, StepId};

pub(super) fn captures(
    steps: &Steps<'_>,
    captured: &PerStep<Vec<String>>,
    held: &PerStep<RowSet>,
    protected: &PerStep<bool>,
    lock: &[TableId],
) -> Vec<Capture> {
    let locks = |i: StepId| lock.contains(&steps[i].info.id);
    // Parents first, so that a child's rows can be found by the parents captured before.
    parents_first(steps)
        .into_iter()
        .filter(|&i| !captured[i].is_empty() || locks(i))
        .map(|i| {
            let mut writer = Writer::default();
            let condition = held[i].condition("t", &KeySource::Bound, &mut writer);
            let table = &steps[i].info.table;
            let lock = if locks(i) { " FOR UPDATE" } else { "" };
            let (arrays, selected) =
                if captured[i].is_empty() { ("count(*)".to_owned(), "1".to_owned()) } else { as_arrays(&captured[i]) };
            let sql = format!("SELECT {arrays} FROM (SELECT {selected} FROM {table} t WHERE {condition}{lock}) s");
            Capture {
                step: i,
                table: steps.plan_table(i),
                declared: steps[i].step.table.clone(),
                columns: captured[i].clone(),
                statement: writer.finish(sql),
                locks: locks(i),
                kept: steps.iter().any(|(c, s)| !protected[c] && s.links.iter().any(|(p, _)| *p == i)),
            }
        })
        .collect()
}

/// What to select of a subquery `s` to get one array of text for each column, and what the subquery selects of `t`.
pub(super) fn as_arrays(columns: &[String]) -> (String, String) {
    let columns: Vec<Column> = columns.iter().map(Column::new).collect();
    let array = |c: &Column| format!("COALESCE(array_agg(s.{c}::text), '{{}}')");
    (list(&columns, array), list(&columns, |c| format!("t.{c}")))
}

/// Captured rows of parents that are still there, one number for each parent.
pub(super) fn parents_left(steps: &Steps<'_>) -> Option<Query<ParentLeft>> {
    let mut writer = Writer::default();
    let numbers = keys_of_parents(steps, |_| true)
        .into_iter()
        .map(|(step, columns)| {
            let info = steps[step].info;
            let arrays = captured_arrays(&mut writer, step, info, &columns);
            let left = list(&columns, |column| format!("t.{}", Column::new(column)));
            let table = &info.table;
            let count = format!("(SELECT count(*) FROM {table} t WHERE ({left}) IN (SELECT * FROM unnest({arrays})))");
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            (ParentLeft { table: steps[step].step.table.clone(), part: !info.unique_on(&names) }, count)
        })
        .collect();
    Query::new(writer, numbers).if_any()
}

/// Which captured parts of keys a row outside the organization's has as well.
pub(super) fn parents_shared(steps: &Steps<'_>, live: &PerStep<RowSet>) -> Vec<Back> {
    let of_parts = |(step, columns): &(StepId, Vec<String>)| {
        !steps[*step].info.unique_on(&columns.iter().map(String::as_str).collect::<Vec<_>>())
    };
    keys_of_parents(steps, |_| true)
        .into_iter()
        .filter(of_parts)
        .map(|(step, columns)| {
            let sets: Vec<&RowSet> = steps.of_table(steps[step].info.id).map(|i| &live[i]).collect();
            back(steps, step, columns, |writer| format!(" AND {}", none_of(&sets, "t", &KeySource::Bound, writer)))
        })
        .collect()
}

/// Which captured keys are there again, of the parents of what no foreign key protects.
pub(super) fn parents_back(steps: &Steps<'_>, protected: &PerStep<bool>) -> Vec<Back> {
    let mut keys = keys_of_parents(steps, |child| !protected[child]);
    // Rows that are only known by a captured key are kept as parents, and found by this key.
    for (step, key) in steps.iter().filter_map(|(id, step)| Some((id, &step.referenced.as_ref()?.key))) {
        let known = (step, key.clone());
        if keys.iter().any(|(parent, _)| *parent == step) && !keys.contains(&known) {
            keys.push(known);
        }
    }
    keys.into_iter().map(|(step, columns)| back(steps, step, columns, |_| String::new())).collect()
}

/// Which captured keys of a step a row `t` has for which a further condition holds.
pub(super) fn back(
    steps: &Steps<'_>,
    step: StepId,
    columns: Vec<String>,
    condition: impl FnOnce(&mut Writer) -> String,
) -> Back {
    let info = steps[step].info;
    let mut writer = Writer::default();
    let arrays = captured_arrays(&mut writer, step, info, &columns);
    let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
    let same = columns.iter().zip(&names).map(|(column, name)| format!("t.{} = k.{name}", Column::new(column)));
    let condition = condition(&mut writer);
    // A join: without an index on part of a key, a subquery for each key would scan the table for each of them.
    let sql = format!(
        r"SELECT COALESCE(array_agg(a.n IN (SELECT k.n FROM unnest({arrays}) WITH ORDINALITY k({}, n)
            JOIN {} t ON {}{condition}) ORDER BY a.n), '{{}}') AS back
          FROM unnest({arrays}) WITH ORDINALITY a({}, n)",
        names.join(", "),
        info.table,
        same.collect::<Vec<_>>().join(" AND "),
        names.join(", "),
    );
    Back { step, columns, statement: writer.finish(sql) }
}

/// The parents of these children, each with the columns by which its child rows are found, each once.
fn keys_of_parents(steps: &Steps<'_>, of: impl Fn(StepId) -> bool) -> Vec<(StepId, Vec<String>)> {
    let mut found: Vec<(StepId, Vec<String>)> = Vec::new();
    for (parent, pairs) in steps.iter().filter(|(child, _)| of(*child)).flat_map(|(_, child)| &child.links) {
        let key = (*parent, pairs.iter().map(|(_, column)| column.clone()).collect());
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

/// The captured values of these columns as bound arrays.
fn captured_arrays(writer: &mut Writer, step: StepId, info: &TableInfo, columns: &[String]) -> String {
    list(columns, |column| {
        let param = Param::Captured { step, column: column.clone(), key: columns.to_vec() };
        writer.array(param, &type_of(info, column))
    })
}

fn list<T>(items: &[T], item: impl FnMut(&T) -> String) -> String {
    items.iter().map(item).collect::<Vec<_>>().join(", ")
}
