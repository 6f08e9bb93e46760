//! The statements that capture keys before the first delete, and those that search for these keys afterwards.

use super::ownership::parents_first;
use super::resolve::Steps;
use crate::captured::{KeySet, Known, is_captured};
use crate::cascade::{Back, Capture, ParentLeft};
use crate::catalog::TableId;
use crate::identifier::Column;
use crate::query::Query;
use crate::row_set::{KeySource, RowSet, none_of};
use crate::statement::{Statement, Writer};
use crate::step::{PerStep, StepId};

/// The sets of keys of each step: for each way from its rows to child rows, the columns by which they are found; first the
/// columns that identify a row to which only the organization's rows refer; and of the rows that refer to such rows, the
/// columns that do, where rows can appear during the deletion: what they refer to must not be left behind.
pub(super) fn key_sets(steps: &Steps<'_>, protected: &PerStep<bool>) -> PerStep<Vec<KeySet>> {
    let mut sets: PerStep<Vec<KeySet>> = steps.map(|_, _| Vec::new());
    let mut add = |step: StepId, columns: Vec<String>| {
        let set = KeySet::new(step, steps[step].info, &columns);
        if !sets[step].contains(&set) {
            sets[step].push(set);
        }
    };
    let referenced = || steps.iter().filter_map(|(id, step)| Some((id, step.referenced.as_ref()?)));
    for (id, referenced) in referenced() {
        add(id, referenced.key.clone());
    }
    for (parent, columns) in keys_of_parents(steps, |_| true) {
        add(parent, columns);
    }
    for (_, referenced) in referenced().filter(|(id, _)| !protected[*id]) {
        for (referrer, pairs) in &referenced.referrers {
            add(*referrer, pairs.iter().map(|(column, _)| column.clone()).collect());
        }
    }
    sets
}

/// Whether the sets of a step are kept after COMMIT: a child is counted again by them.
pub(super) fn is_kept(steps: &Steps<'_>, protected: &PerStep<bool>, step: StepId) -> bool {
    steps.iter().any(|(child, s)| !protected[child] && s.links.iter().any(|(parent, _)| *parent == step))
}

pub(super) fn captures(
    steps: &Steps<'_>,
    sets: &PerStep<Vec<KeySet>>,
    held: &PerStep<RowSet>,
    protected: &PerStep<bool>,
    lock: &[TableId],
) -> Vec<Capture> {
    let locks = |i: StepId| lock.contains(&steps[i].info.id);
    // Parents first, so that a child's rows can be found by the parents captured before.
    parents_first(steps)
        .into_iter()
        .filter_map(|i| {
            let exclusive = steps[i].referenced.is_some();
            // The rounds have found the keys of these rows already, and have locked the rows.
            let to_capture = &sets[i][usize::from(exclusive)..];
            let locks = locks(i) && !exclusive;
            let kept = is_kept(steps, protected, i);
            if to_capture.is_empty() && !locks && !exclusive {
                return None;
            }
            let mut writer = Writer::default();
            let condition = held[i].condition("t", &KeySource::Bound, &mut writer);
            let rows = format!("{} t WHERE {condition}", steps[i].info.table);
            Some(Capture {
                step: i,
                table: steps.plan_table(i),
                declared: steps[i].step.table.clone(),
                sets: sets[i].clone(),
                statement: capture(to_capture, &rows, if locks { " FOR UPDATE" } else { "" }, kept, writer),
                locks,
                kept,
            })
        })
        .collect()
}

/// Captures these sets of the same rows. `rows` is what stands behind `FROM`, and names them `t`. Returns `None` if there is
/// nothing to do.
fn capture(sets: &[KeySet], rows: &str, lock: &str, kept: bool, mut writer: Writer) -> Option<Statement> {
    let known = if kept { Known::Some } else { Known::Nothing };
    let selected = columns(sets).iter().map(|c| format!("t.{c}")).collect::<Vec<_>>().join(", ");
    let sql = match sets {
        [] if lock.is_empty() => return None,
        [] => format!("SELECT count(*) FROM (SELECT 1 FROM {rows}{lock}) s"),
        [only] if lock.is_empty() => {
            let keys = only.keys_in("t", &format!("{rows} AND {}", only.is_key("t")));
            only.add(&keys, known, &mut writer)
        }
        several => {
            let each: Vec<String> = several
                .iter()
                .enumerate()
                .map(|(i, set)| {
                    let keys = set.keys_in("r", &format!("r WHERE {}", set.is_key("r")));
                    format!("i{i} AS ({})", set.add(&keys, known, &mut writer))
                })
                .collect();
            format!(
                "WITH r AS MATERIALIZED (SELECT {selected} FROM {rows}{lock}), {} SELECT count(*) FROM r",
                each.join(", ")
            )
        }
    };
    Some(writer.finish(sql))
}

/// The columns of these sets, each once.
pub(super) fn columns(sets: &[KeySet]) -> Vec<Column> {
    let mut names: Vec<&String> = Vec::new();
    for name in sets.iter().flat_map(|set| &set.columns) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(Column::new).collect()
}

/// Captured rows of parents that are still there, one number for each parent.
pub(super) fn parents_left(steps: &Steps<'_>) -> Option<Query<ParentLeft>> {
    let mut writer = Writer::default();
    let numbers = keys_of_parents(steps, |_| true)
        .into_iter()
        .map(|(step, columns)| {
            let info = steps[step].info;
            let left: Vec<String> = columns.iter().map(|column| format!("t.{}", Column::new(column))).collect();
            let types = columns.iter().map(|c| info.column(c).map_or("text", |c| c.type_name.as_str()));
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            let left = format!("({})", left.join(", "));
            let same = is_captured(&left, (&info.table, step), names.iter().copied(), types, false, &mut writer);
            let count = format!("(SELECT count(*) FROM {} t WHERE {same})", info.table);
            (ParentLeft { table: steps[step].step.table.clone(), part: !info.unique_on(&names) }, count)
        })
        .collect();
    Query::new(writer, numbers).if_any()
}

/// Forgets the captured parts of keys that a row outside the organization's has as well.
pub(super) fn parents_shared(steps: &Steps<'_>, live: &PerStep<RowSet>) -> Vec<Back> {
    keys_of_parents(steps, |_| true)
        .into_iter()
        .filter(|(step, columns)| !KeySet::new(*step, steps[*step].info, columns).whole)
        .map(|(step, columns)| {
            let sets: Vec<&RowSet> = steps.of_table(steps[step].info.id).map(|i| &live[i]).collect();
            let outside = |writer: &mut Writer| format!(" AND {}", none_of(&sets, "t", &KeySource::Bound, writer));
            forget(steps, step, columns, true, outside)
        })
        .collect()
}

/// Forgets the captured keys that are there again, of the parents of what no foreign key protects.
pub(super) fn parents_back(steps: &Steps<'_>, protected: &PerStep<bool>) -> Vec<Back> {
    let mut keys = keys_of_parents(steps, |child| !protected[child]);
    // Rows that are only known by a captured key are kept as parents, and found by this key.
    for (step, key) in steps.iter().filter_map(|(id, step)| Some((id, &step.referenced.as_ref()?.key))) {
        let known = (step, key.clone());
        if keys.iter().any(|(parent, _)| *parent == step) && !keys.contains(&known) {
            keys.push(known);
        }
    }
    keys.into_iter().map(|(step, columns)| forget(steps, step, columns, false, |_| String::new())).collect()
}

/// Forgets each captured key of a step that a row `t` has for which a further condition holds.
pub(super) fn forget(
    steps: &Steps<'_>,
    step: StepId,
    columns: Vec<String>,
    shared: bool,
    condition: impl FnOnce(&mut Writer) -> String,
) -> Back {
    let info = steps[step].info;
    let mut writer = Writer::default();
    let sql = KeySet::new(step, info, &columns).forget(info, shared, condition, &mut writer);
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
