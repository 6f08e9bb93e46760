//! The steps with their names resolved.

use super::faults::Collector;
use super::referenced::{self, Referenced};
use super::types::compare_alike;
use crate::cascade::PlanTable;
use crate::catalog::{Catalog, ForeignKey, TableId, TableInfo};
use crate::plan::{Plan, Step};
use crate::root::Root;
use crate::step::{PerStep, StepId};

/// A step with its names resolved.
pub(super) struct Resolved<'a> {
    pub(super) step: &'a Step,
    pub(super) info: &'a TableInfo,
    /// Its parents, each with pairs of a column and the parent's column; empty for a step with a tenant column.
    pub(super) links: Vec<(StepId, Vec<(String, String)>)>,
    /// The tenant column.
    pub(super) organization: Option<String>,
    /// Which rows refer to its rows, if it takes those to which only the organization's rows refer.
    pub(super) referenced: Option<Referenced<'a>>,
}

/// The steps of a plan.
pub(super) type Steps<'a> = PerStep<Resolved<'a>>;

impl<'a> Steps<'a> {
    /// The first step of each table, as declared.
    pub(crate) fn first_of_tables(&self) -> impl Iterator<Item = (StepId, &Resolved<'a>)> {
        self.iter().filter(|(id, step)| self.of_table(step.info.id).next() == Some(*id))
    }

    /// The steps of one table.
    pub(crate) fn of_table(&self, table: TableId) -> impl Iterator<Item = StepId> {
        self.iter().filter(move |(_, step)| step.info.id == table).map(|(id, _)| id)
    }

    /// The table of a step. Its rows are counted under the entity of its first step.
    pub(crate) fn plan_table(&self, step: StepId) -> PlanTable {
        let info = self[step].info;
        let first = self.of_table(info.id).next().unwrap_or(step);
        PlanTable { id: info.id, name: info.table.name(), entity: self[first].step.entity.clone() }
    }
}

/// Resolves the steps. Returns `None` if a name or a column cannot be used; the faults say why.
pub(super) fn resolve<'a>(
    plan: &'a Plan,
    catalog: &'a Catalog,
    root: &Root,
    faults: &mut Collector,
) -> Option<Steps<'a>> {
    let infos = tables(plan, catalog, root, faults)?;
    let mut steps = Vec::new();
    let mut complete = true;
    for (i, step) in plan.steps.iter().enumerate() {
        let at = format!("cascade.steps[{i}]");
        if !has_columns((&at, step), infos[i], (plan, &infos), faults) {
            complete = false;
            continue;
        }
        if let Some(column) = &step.organization {
            complete &= holds_key((&at, column), infos[i], root, catalog, faults);
        }
        let links = links((&at, step), infos[i], (plan, &infos), catalog, faults);
        complete &= links.is_some();
        let mut referenced = None;
        if step.referenced_by.is_some() {
            referenced = referenced::resolve((&at, step), infos[i], (plan, &infos), catalog, faults);
            complete &= referenced.is_some();
        }
        let links = links.unwrap_or_default();
        steps.push(Resolved { step, info: infos[i], links, organization: step.organization.clone(), referenced });
    }
    complete.then(|| PerStep::new(steps))
}

/// The table of each step. Returns `None` if one is missing or is the organizations' own; the faults say so.
fn tables<'a>(plan: &Plan, catalog: &'a Catalog, root: &Root, faults: &mut Collector) -> Option<Vec<&'a TableInfo>> {
    let mut infos = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        let info = catalog.declared(&step.table);
        if info.is_some_and(|info| info.id == root.id) {
            faults.schema(
                format!("`cascade.steps[{i}].table` is the organizations' own table, whose other rows are other organizations"),
                Some(&step.table),
                Some(format!("remove cascade.steps[{i}] from the plan")),
            );
            return None;
        }
        if info.is_none() {
            faults.missing_table(&format!("cascade.steps[{i}].table"), &step.table);
        }
        infos.push(info);
    }
    infos.into_iter().collect()
}

/// Whether the step's table and its parents have the columns that the step names; if not, reports which are missing.
fn has_columns(
    (at, step): (&str, &Step),
    own: &TableInfo,
    (plan, infos): (&Plan, &[&TableInfo]),
    faults: &mut Collector,
) -> bool {
    let mut complete = true;
    let mut require = |info: &TableInfo, field: &str, column: &str| {
        if info.column(column).is_none() {
            faults.missing_column(&format!("{at}.{field}"), &info.table.name(), column);
            complete = false;
        }
    };
    if let Some(column) = &step.organization {
        require(own, "organization", column);
    }
    // With `referencedBy`, the columns are those of the referring table.
    if step.parent.is_some() {
        if let Some(column) = &step.column {
            require(own, "column", column);
        }
        for (child, parent) in &step.columns {
            require(own, "columns", child);
            for (j, _) in plan.steps.iter().enumerate().filter(|(_, o)| step.parent.as_ref() == Some(&o.entity)) {
                require(infos[j], "columns", parent);
            }
        }
    }
    complete
}

/// The parents of a step, each with pairs of a column and the parent's column. Returns `None` if a column cannot be used;
/// the faults say why.
fn links(
    (at, step): (&str, &Step),
    own: &TableInfo,
    (plan, infos): (&Plan, &[&TableInfo]),
    catalog: &Catalog,
    faults: &mut Collector,
) -> Option<Vec<(StepId, Vec<(String, String)>)>> {
    let Some(parent) = &step.parent else { return Some(Vec::new()) };
    let named = || plan.steps.iter().enumerate().filter(|(_, other)| other.entity == *parent);
    let parents: Vec<TableId> = named().map(|(j, _)| infos[j].id).collect();
    let mut links = Vec::new();
    let mut complete = true;
    for (j, other) in named() {
        if let Some(key) = refers_elsewhere(step, own, &parents, catalog) {
            faults.schema(
                format!("`{at}.column`: by the constraint {}, this column refers to a table other than `{}`", key.name, other.table),
                Some(&step.table),
                Some(format!(
                    "set {at}.parent to the entity of the table that the column refers to; if the column holds a key of `{}` all the same, write `columns: {{COLUMN: PARENT_COLUMN}}`",
                    other.table
                )),
            );
            complete = false;
        } else if let Some(pairs) = pairs(step, own, infos[j], catalog) {
            for (child, parent) in &pairs {
                complete &= compare_alike(at, (own, child), (infos[j], parent), catalog, faults);
            }
            links.push((StepId::new(j), pairs));
        } else {
            let message = if step.column.is_some() {
                format!("`{at}.column`: no single column identifies a row of the parent table `{}`", other.table)
            } else {
                format!(
                    "`{at}.columns`: the parent's columns are neither a key of the table `{}` nor part of one",
                    other.table
                )
            };
            faults.schema(
                format!("{message}, so they could match rows of another organization"),
                Some(&step.table),
                Some(format!(
                    "in {at}, write `columns: {{COLUMN: PARENT_COLUMN, ...}}` with the key of `{}`, or with as many of its columns as `{}` has",
                    other.table, step.table
                )),
            );
            complete = false;
        }
    }
    complete.then_some(links)
}

/// Whether the column holds the organization's key, as far as the schema says; if not, reports why.
fn holds_key(
    (at, column): (&str, &String),
    child: &TableInfo,
    root: &Root,
    catalog: &Catalog,
    faults: &mut Collector,
) -> bool {
    if let Some(key) = root.refers_elsewhere(child.id, column, catalog) {
        let parent = catalog.table(key.parent).map_or_else(|| root.table.name(), |t| t.table.name());
        faults.schema(
            format!(
                "`{at}.organization`: by the constraint {}, the column `{column}` refers to `{parent}.{}`, not to the organizations' key `{}.{}`",
                key.name,
                key.parent_columns.join(", "),
                root.table.name(),
                root.key.name()
            ),
            Some(&child.table.name()),
            Some(format!("in {at}, name the column that holds the organization's key, or a parent")),
        );
        return false;
    }
    catalog.table(root.id).is_none_or(|organizations| {
        compare_alike(at, (child, column), (organizations, root.key.name()), catalog, faults)
    })
}

/// The foreign key by which `column` refers to a table other than the parent. If the step used the column all the same, it
/// would find rows of any organization whose keys happen to be equal. Returns `None` if there is no such foreign key.
fn refers_elsewhere<'c>(
    step: &Step,
    child: &TableInfo,
    parents: &[TableId],
    catalog: &'c Catalog,
) -> Option<&'c ForeignKey> {
    let column = step.column.as_ref()?;
    let keys = || catalog.foreign_keys.iter().filter(|k| k.child == child.id && k.child_columns == [column.clone()]);
    if keys().any(|k| parents.contains(&k.parent)) { None } else { keys().next() }
}

/// Columns of the child, each with the parent's column. If the step names one `column`, the parent's column is the one that
/// a foreign key names, else the parent's single-column key. Several `columns` may also be part of one key: then each
/// deletion proves that no other organization's row has the same part. Returns `None` if the parent's columns are neither.
fn pairs(step: &Step, child: &TableInfo, parent: &TableInfo, catalog: &Catalog) -> Option<Vec<(String, String)>> {
    let Some(column) = &step.column else {
        let key: Vec<&str> = step.columns.values().map(String::as_str).collect();
        let usable = parent.unique_on(&key) || parent.part_of_key(&key);
        return usable.then(|| step.columns.iter().map(|(c, p)| (c.clone(), p.clone())).collect());
    };
    let referred = catalog
        .foreign_keys
        .iter()
        .find(|k| k.child == child.id && k.parent == parent.id && k.child_columns == [column.clone()])
        .map(|k| k.parent_columns[0].clone());
    let key = referred.or_else(|| parent.unique_keys.iter().find(|k| k.len() == 1).map(|k| k[0].clone()))?;
    parent.unique_on(&[key.as_str()]).then(|| vec![(column.clone(), key)])
}
