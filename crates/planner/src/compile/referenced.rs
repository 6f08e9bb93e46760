//! Steps with `referencedBy`, with their names resolved.

use super::faults::Collector;
use super::types::compare_alike;
use crate::catalog::{Catalog, Relation, TableInfo};
use crate::plan::{Plan, Reference, Step};
use crate::step::StepId;

/// What refers to the rows of a step that takes those to which only the organization's rows refer.
pub(super) struct Referenced<'a> {
    /// The referring steps, each with pairs of its column and the column of this table.
    pub(super) referrers: Vec<(StepId, Vec<(String, String)>)>,
    /// The columns that identify a row.
    pub(super) key: Vec<String>,
    /// Columns of other tables that refer without a foreign key.
    pub(super) unless: Vec<(&'a TableInfo, String)>,
}

/// What refers to the rows of `step`, known as `at`, in the table `own`. `steps` are all steps with their tables. Returns
/// `None` if a name or a column cannot be used; the faults say why.
pub(super) fn resolve<'a>(
    (at, step): (&str, &Step),
    own: &'a TableInfo,
    (plan, infos): (&'a Plan, &[&'a TableInfo]),
    catalog: &'a Catalog,
    faults: &mut Collector,
) -> Option<Referenced<'a>> {
    let mut complete = true;
    let mut key: Option<Vec<String>> = None;
    let mut referrers = Vec::new();
    let named = |other: &Step| step.referenced_by.as_ref() == Some(&other.entity);
    for (j, _) in plan.steps.iter().enumerate().filter(|(_, other)| named(other)) {
        let Some(pairs) = pairs((at, step), own, infos[j], catalog, faults) else {
            complete = false;
            continue;
        };
        complete &= is_table(at, infos[j], own, catalog, faults);
        for (column, referred) in &pairs {
            complete &= compare_alike(at, (infos[j], column), (own, referred), catalog, faults);
        }
        let columns: Vec<String> = pairs.iter().map(|(_, referred)| referred.clone()).collect();
        if key.get_or_insert_with(|| columns.clone()) != &columns {
            faults.schema(
                format!(
                    "`{at}.referencedBy`: the tables of this entity refer to different columns of `{}`",
                    own.table.name()
                ),
                Some(&step.table),
                Some(format!("in {at}, write `columns: {{COLUMN: COLUMN_OF_THIS_TABLE}}`")),
            );
            complete = false;
        }
        referrers.push((StepId::new(j), pairs));
    }
    let key = key?;
    let mut unless = Vec::new();
    for (n, reference) in step.unless.iter().enumerate() {
        match holder((&format!("{at}.unless[{n}]"), reference), own, &key, catalog, faults) {
            Some(info) => unless.push((info, reference.column.clone())),
            None => complete = false,
        }
    }
    complete.then_some(Referenced { referrers, key, unless })
}

/// Whether the referring relation has foreign keys of its own; if not, reports it. The table below a view may refer to `own`
/// by a foreign key, and its rows would keep every row of `own`: nothing says which of them are the organization's.
fn is_table(at: &str, referring: &TableInfo, own: &TableInfo, catalog: &Catalog, faults: &mut Collector) -> bool {
    let is_view = catalog.properties(referring.id).is_some_and(|t| t.relation == Relation::View);
    if is_view {
        let name = referring.table.name();
        faults.schema(
            format!(
                "`{at}.referencedBy`: `{name}` is a view, so the plan cannot tell which rows of the tables below it refer to `{}`",
                own.table.name()
            ),
            Some(&name),
            Some(format!("name the table that `{name}` reads in the plan (cascade) instead of the view")),
        );
    }
    !is_view
}

/// Columns of the referring table, each with the column of `own`, which together identify a row of `own`.
fn pairs(
    (at, step): (&str, &Step),
    own: &TableInfo,
    referring: &TableInfo,
    catalog: &Catalog,
    faults: &mut Collector,
) -> Option<Vec<(String, String)>> {
    let mut missing = false;
    let mut has = |info: &TableInfo, field: &str, column: &str| {
        if info.column(column).is_none() {
            faults.missing_column(&format!("{at}.{field}"), &info.table.name(), column);
            missing = true;
        }
    };
    if let Some(column) = &step.column {
        has(referring, "column", column);
    }
    for (column, referred) in &step.columns {
        has(referring, "columns", column);
        has(own, "columns", referred);
    }
    if missing {
        return None;
    }
    let pairs: Vec<(String, String)> = match &step.column {
        None => step.columns.iter().map(|(c, p)| (c.clone(), p.clone())).collect(),
        Some(column) => {
            let of_column = || {
                catalog.foreign_keys.iter().filter(|k| k.child == referring.id && k.child_columns == [column.clone()])
            };
            let to_own = of_column().find(|k| k.parent == own.id);
            if let (None, Some(elsewhere)) = (to_own, of_column().next()) {
                faults.schema(
                    format!(
                        "`{at}.column`: by the constraint {}, the column `{column}` of `{}` refers to a table other than `{}`",
                        elsewhere.name,
                        referring.table.name(),
                        own.table.name()
                    ),
                    Some(&step.table),
                    Some(format!("in {at}, name the column of `{}` that refers to `{}`", referring.table.name(), own.table.name())),
                );
                return None;
            }
            let single = || own.unique_keys.iter().find(|k| k.len() == 1).map(|k| k[0].clone());
            to_own
                .map(|k| k.parent_columns[0].clone())
                .or_else(single)
                .map(|p| vec![(column.clone(), p)])
                .unwrap_or_default()
        }
    };
    let key: Vec<&str> = pairs.iter().map(|(_, referred)| referred.as_str()).collect();
    if pairs.is_empty() || !own.unique_on(&key) {
        faults.schema(
            format!(
                "`{at}.referencedBy`: the columns of `{}` to which `{}` refers do not identify a row",
                own.table.name(),
                referring.table.name()
            ),
            Some(&step.table),
            Some(format!(
                "in {at}, write `columns: {{COLUMN: COLUMN_OF_THIS_TABLE, ...}}` with a whole key of `{}`",
                own.table.name()
            )),
        );
        return None;
    }
    Some(pairs)
}

/// The table with a column that holds the key of `own` without a foreign key.
fn holder<'a>(
    (at, reference): (&str, &Reference),
    own: &TableInfo,
    key: &[String],
    catalog: &'a Catalog,
    faults: &mut Collector,
) -> Option<&'a TableInfo> {
    let Some(info) = catalog.declared(&reference.table) else {
        faults.missing_table(&format!("{at}.table"), &reference.table);
        return None;
    };
    if info.column(&reference.column).is_none() {
        faults.missing_column(&format!("{at}.column"), &info.table.name(), &reference.column);
        return None;
    }
    let [key] = key else {
        faults.schema(
            format!("`{at}`: a single column cannot hold the key of `{}`, which has several columns", own.table.name()),
            Some(&reference.table),
            Some(format!(
                "remove {at} from the plan; if rows of `{}` must keep rows of `{}`, add a foreign key",
                info.table.name(),
                own.table.name()
            )),
        );
        return None;
    };
    compare_alike(at, (info, &reference.column), (own, key), catalog, faults).then_some(info)
}
