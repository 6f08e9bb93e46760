//! What an existing plan lacks, because the schema has changed since it was written.

use super::decided::Decided;
use super::found::{Found, global, referred};
use super::order;
use super::sample::Questions;
use super::steps::Steps;
use super::suggestions::{Referred, Suggestions, Unread};
use super::survey::Survey;
use super::tenant_table::{InferError, TenantTable};
use super::undecided::Undecided;
use crate::catalog::TableId;
use crate::plan::{Plan, Unclassified};

/// What an existing plan lacks.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// New tables about which a person must decide.
    pub unclassified: Vec<Unclassified>,
    /// What a person can do with each of them.
    pub suggestions: Vec<Suggestions>,
    /// New tables without any sign of an organization.
    pub global: Vec<String>,
    /// New global tables with columns whose values could not be read.
    pub unread: Vec<Unread>,
    /// New global tables to whose rows the organizations' rows refer.
    pub referred: Vec<Referred>,
    /// Names in the plan that no ordinary table of the database has.
    pub unknown: Vec<String>,
}

/// Drafts what the plan lacks. Tables that it names keep what a person has decided about them; a new table is never a step by
/// itself.
///
/// # Errors
/// Fails if the organizations' table is not there, or if the key does not identify a row.
pub fn update(survey: &Survey, plan: &Plan) -> Result<Update, InferError> {
    let tenants = TenantTable::find(survey, &plan.organization.table, Some(&plan.organization.key))?;
    let decided = Decided::by(plan, survey);
    let found = Found::new(survey, tenants);
    let mut placement = found.placement(survey, tenants, &decided);
    let order = order::children_first(survey, &placement);
    // The place of a new table may be clear, but a person has to confirm it.
    let new: Vec<TableId> =
        placement.placed.iter().filter(|(_, place)| !place.ways.is_empty()).map(|(id, _)| *id).collect();
    for id in new {
        if let Some(place) = placement.placed.remove(&id) {
            placement.unclassified.insert(id, Undecided::new_table(place.ways));
        }
    }
    let (unclassified, suggestions) = Steps::new(survey, tenants, &placement, &order).unclassified();
    let (global, unread) = global(survey, &placement);
    let referred = referred(survey, &placement, &global);
    Ok(Update { unclassified, suggestions, global, unread, referred, unknown: unknown(survey, plan) })
}

/// What to ask a sample of the rows of the tables that the plan does not name. Put the answers into the survey.
///
/// # Errors
/// Fails if the organizations' table is not there, or if the key does not identify a row.
pub fn update_questions(survey: &Survey, plan: &Plan) -> Result<Questions, InferError> {
    let tenants = TenantTable::find(survey, &plan.organization.table, Some(&plan.organization.key))?;
    let decided = Decided::by(plan, survey);
    let found = Found::new(survey, tenants);
    Ok(found.questions(survey, tenants, &found.placement(survey, tenants, &decided)))
}

/// Names of tables in the plan that the survey does not have. A view has such a name, too.
fn unknown(survey: &Survey, plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|s| &s.table);
    let kept = plan.keep.iter().map(|k| &k.table);
    let open = plan.unclassified.iter().map(|u| &u.table);
    let mut names: Vec<String> = steps
        .chain(kept)
        .chain(open)
        .chain(plan.global.iter().filter(|g| !g.ends_with(".*")))
        .filter(|name| survey.named(name).is_none())
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}
