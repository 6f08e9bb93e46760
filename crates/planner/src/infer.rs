//! Drafts the plan that a live schema suggests. It guesses nothing in silence: where neither foreign keys nor names that
//! foreign keys agree on decide, it lists a table as unclassified, which blocks deletions until a person has decided.

mod activation;
mod names;
mod order;
mod place;
mod references;
mod survey;
mod tenant_table;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::TableId;
use crate::entity;
use crate::plan::{Active, OrganizationTable, Plan, Step, Unclassified, UnknownTables};
use place::Placement;
use references::{Candidate, Source};
pub use survey::{Survey, Surveyed};
pub use tenant_table::InferError;
use tenant_table::TenantTable;

/// A plan with what a person should know before using it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Remarks about each step of the plan.
    pub remarks: Vec<Vec<String>>,
    /// For each unclassified table of the plan, the possible steps.
    pub suggestions: Vec<Vec<Step>>,
    /// Tables without any relation to the organization.
    pub unrelated: Vec<Unrelated>,
    /// The columns that may switch an organization off, if there are several.
    pub activation: Vec<Active>,
}

/// A table for which neither a foreign key nor a name decides that it belongs to the organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrelated {
    /// Its name.
    pub table: String,
    /// What hints at a relation all the same.
    pub remark: Option<String>,
}

/// Drafts the plan for the table with one row for each organization. `key` is its key; if it is `None`, the column that
/// alone identifies a row.
///
/// # Errors
/// Fails if there is no such table, or if the key does not identify a row.
pub fn infer(survey: &Survey, organization: &str, key: Option<&str>) -> Result<Draft, InferError> {
    let tenants = TenantTable::find(survey, organization, key)?;
    let found = references::candidate_references(survey, tenants);
    let placement = place::place(survey, tenants, &found.candidates);
    let order = order::children_first(survey, &placement);
    let entities = entities(survey, &placement, &order);
    let step = |table: &Surveyed, reference: &Candidate| step(survey, tenants, &entities, table, reference);

    let mut steps = Vec::new();
    let mut remarks = Vec::new();
    for id in &order {
        let (Some(table), Some(place)) = (survey.table(*id), placement.placed.get(id)) else { continue };
        let Some(reference) = place.reference else { continue };
        steps.push(step(table, reference));
        remarks.push(place::remarks(survey, tenants, &placement, table, reference));
    }
    let mut unclassified = Vec::new();
    let mut suggestions = Vec::new();
    for (id, undecided) in &placement.unclassified {
        let Some(table) = survey.table(*id) else { continue };
        unclassified.push(Unclassified { table: table.written(), why: Some(undecided.reason(survey)) });
        let placed = undecided.candidates.iter().filter(|c| placement.placed.contains_key(&c.parent));
        // A reference to another column than the organization's key is not a step.
        let possible = placed.map(|c| step(table, c)).filter(|s| s.organization.is_some() || s.parent.is_some());
        suggestions.push(possible.collect());
    }
    let (active, activation) = activation::choose(tenants.table);
    let unrelated = unrelated(survey, &placement, &found.candidates);
    let plan = Plan {
        organization: OrganizationTable { table: tenants.table.written(), key: tenants.key.to_owned(), active },
        tenant_columns: found.tenant_columns,
        steps,
        keep: Vec::new(),
        global: Vec::new(),
        unknown_tables: UnknownTables::Warn,
        unclassified,
    };
    Ok(Draft { plan, remarks, suggestions, unrelated, activation })
}

/// A name for the entity of each table of the plan, those of the steps in this order.
fn entities(survey: &Survey, placement: &Placement<'_>, order: &[TableId]) -> BTreeMap<TableId, String> {
    let ids = order.iter().chain(placement.unclassified.keys());
    // Tables on the search path get the short names.
    let mut tables: Vec<&Surveyed> = ids.filter_map(|id| survey.table(*id)).collect();
    tables.sort_by_key(|t| !t.visible);
    entity::names(tables.into_iter().map(|t| &t.info), BTreeSet::new())
}

fn step(
    survey: &Survey,
    tenants: TenantTable<'_>,
    entities: &BTreeMap<TableId, String>,
    table: &Surveyed,
    reference: &Candidate,
) -> Step {
    let mut step = Step {
        entity: entities.get(&table.id()).cloned().unwrap_or_default(),
        table: table.written(),
        ..Step::default()
    };
    if tenants.is(reference.parent) {
        step.organization = reference.pairs.iter().find(|(_, p)| p == tenants.key).map(|(c, _)| c.clone());
        return step;
    }
    step.parent = entities.get(&reference.parent).cloned();
    let parent_key = survey.table(reference.parent).and_then(Surveyed::key);
    match reference.pairs.as_slice() {
        // Without a foreign key, `column` alone means the parent's own key.
        [(column, parent)] if reference.source == Source::ForeignKey || parent_key == Some(parent.as_str()) => {
            step.column = Some(column.clone());
        }
        pairs => step.columns = pairs.iter().cloned().collect(),
    }
    step
}

fn unrelated(survey: &Survey, placement: &Placement<'_>, candidates: &[Candidate]) -> Vec<Unrelated> {
    let known = |id: TableId| placement.placed.contains_key(&id) || placement.unclassified.contains_key(&id);
    let unrelated = survey.tables.iter().filter(|t| !known(t.id())).map(|table| {
        let hints = candidates.iter().filter(|c| c.child == table.id() && placement.placed.contains_key(&c.parent));
        let remark = hints.filter_map(|c| c.doubt.as_ref()).map(|d| d.reason.clone()).next();
        Unrelated { table: table.written(), remark }
    });
    let mut tables: Vec<Unrelated> = unrelated.collect();
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    tables
}

#[cfg(test)]
mod tests;
