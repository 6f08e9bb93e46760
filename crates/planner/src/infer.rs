//! Drafts the plan that a live schema suggests. It guesses nothing in silence: where neither foreign keys nor names that
//! foreign keys agree on decide, it lists a table as unclassified, which blocks deletions until a person has decided. A table
//! without any sign of an organization is global.

mod activation;
mod ask;
mod candidate;
mod decided;
mod found;
mod names;
mod order;
mod people;
mod place;
mod placement;
mod references;
mod sample;
mod signs;
mod stems;
mod steps;
mod suggestions;
mod survey;
mod tenant_table;
mod undecided;
mod update;
mod values;
mod ways;

use crate::plan::{Active, OrganizationTable, Plan, UnknownTables};
use decided::Decided;
use found::Found;
pub use sample::{Form, KeyType, Question, Questions, Values};
use steps::Steps;
pub use suggestions::{Referred, Suggestions, Unread};
pub use survey::{Survey, Surveyed};
pub use tenant_table::InferError;
use tenant_table::TenantTable;
pub use update::{Update, update, update_questions};

/// A plan with what a person should know before using it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Remarks about each step of the plan.
    pub remarks: Vec<Vec<String>>,
    /// What a person can do with each unclassified table of the plan.
    pub suggestions: Vec<Suggestions>,
    /// Global tables with columns whose values could not be read, so that only the schema says that they are global.
    pub unread: Vec<Unread>,
    /// Global tables to whose rows the organizations' rows refer.
    pub referred: Vec<Referred>,
    /// The columns that may switch an organization off, if there are several.
    pub activation: Vec<Active>,
}

/// Drafts the plan for the table with one row for each organization. `key` is its key; if it is `None`, the column that
/// alone identifies a row.
///
/// # Errors
/// Fails if there is no such table, or if the key does not identify a row.
pub fn infer(survey: &Survey, organization: &str, key: Option<&str>) -> Result<Draft, InferError> {
    let tenants = TenantTable::find(survey, organization, key)?;
    let decided = Decided::default();
    let found = Found::new(survey, tenants);
    let placement = found.placement(survey, tenants, &decided);
    let order = order::children_first(survey, &placement);
    let names = Steps::new(survey, tenants, &placement, &order);

    let mut steps = Vec::new();
    let mut remarks = Vec::new();
    for id in &order {
        let (Some(table), Some(place)) = (survey.table(*id), placement.placed.get(id)) else { continue };
        for way in &place.ways {
            steps.push(names.step(table, way));
            remarks.push(ways::remarks(survey, tenants, &placement, table, way));
        }
    }
    let (unclassified, suggestions) = names.unclassified();
    let (active, activation) = activation::choose(tenants.table);
    let (global, unread) = found::global(survey, &placement);
    let referred = found::referred(survey, &placement, &global);
    let plan = Plan {
        organization: OrganizationTable { table: tenants.table.written(), key: tenants.key.to_owned(), active },
        tenant_columns: found.references.tenant_columns,
        steps,
        keep: Vec::new(),
        global,
        unknown_tables: UnknownTables::Warn,
        unclassified,
    };
    Ok(Draft { plan, remarks, suggestions, unread, referred, activation })
}

/// What to ask a sample of the rows of the tables without a place. Put the answers into the survey.
///
/// # Errors
/// Fails if there is no such table, or if the key does not identify a row.
pub fn questions(survey: &Survey, organization: &str, key: Option<&str>) -> Result<Questions, InferError> {
    let tenants = TenantTable::find(survey, organization, key)?;
    let decided = Decided::default();
    let found = Found::new(survey, tenants);
    Ok(found.questions(survey, tenants, &found.placement(survey, tenants, &decided)))
}

#[cfg(test)]
mod tests;
