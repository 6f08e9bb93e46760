//! Drafts the plan that a live schema suggests. It guesses nothing in silence: where neither foreign keys nor names that
//! foreign keys agree on decide, it lists a table as unclassified, which blocks deletions until a person has decided. A table
//! without any sign of an organization is global.

mod activation;
mod candidate;
mod decided;
mod names;
mod order;
mod people;
mod place;
mod references;
mod signs;
mod stems;
mod steps;
mod survey;
mod tenant_table;
mod undecided;
mod update;
mod values;
mod ways;

use crate::catalog::TableId;
use crate::plan::{Active, OrganizationTable, Plan, Step, UnknownTables};
use candidate::Candidate;
use decided::Decided;
use place::Placement;
use references::References;
use stems::Stems;
use steps::Steps;
pub use survey::{Survey, Surveyed};
pub use tenant_table::InferError;
use tenant_table::TenantTable;
use undecided::Undecided;
pub use update::{Update, update, update_questions};
pub use values::{Form, KeyType, Question, Questions, Values};

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
    /// The columns that may switch an organization off, if there are several.
    pub activation: Vec<Active>,
}

/// What a person can do with an unclassified table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suggestions {
    /// Possible steps, the best first.
    pub steps: Vec<Step>,
    /// Whether some of its rows are named in an array or in JSON, where no step finds them.
    pub inside: bool,
}

/// A table with columns whose values could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its name.
    pub table: String,
    /// The columns.
    pub columns: Vec<String>,
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
    let (global, unread) = global(survey, &placement);
    let plan = Plan {
        organization: OrganizationTable { table: tenants.table.written(), key: tenants.key.to_owned(), active },
        tenant_columns: found.references.tenant_columns,
        steps,
        keep: Vec::new(),
        global,
        unknown_tables: UnknownTables::Warn,
        unclassified,
    };
    Ok(Draft { plan, remarks, suggestions, unread, activation })
}

/// What to ask a sample of the rows of the tables without a place. The answers belong into the survey.
///
/// # Errors
/// Fails if there is no such table, or if the key does not identify a row.
pub fn questions(survey: &Survey, organization: &str, key: Option<&str>) -> Result<Questions, InferError> {
    let tenants = TenantTable::find(survey, organization, key)?;
    let decided = Decided::default();
    let found = Found::new(survey, tenants);
    Ok(found.questions(survey, tenants, &found.placement(survey, tenants, &decided)))
}

/// Everything in the schema that suggests where a table belongs.
struct Found {
    references: References,
    signs: Vec<Candidate>,
}

impl Found {
    fn new(survey: &Survey, tenants: TenantTable<'_>) -> Self {
        let stems = Stems::new(survey);
        let references = references::candidate_references(survey, tenants, &stems);
        let signs = signs::signs(survey, tenants, &stems, &references.tenant_columns);
        Self { references, signs }
    }

    fn placement<'a>(&'a self, survey: &Survey, tenants: TenantTable<'_>, decided: &'a Decided) -> Placement<'a> {
        place::place(survey, tenants, decided, &self.references.candidates, &self.signs)
    }

    fn questions(&self, survey: &Survey, tenants: TenantTable<'_>, placement: &Placement<'_>) -> Questions {
        let names = values::names(tenants, &self.references.tenant_columns);
        let open = survey.tables.iter().filter(|t| {
            let id = t.id();
            !placement.placed.contains_key(&id) && !placement.decided.others(id)
        });
        let asked = open.filter_map(|table| {
            let columns = table.info.columns.iter().filter(|c| {
                let by_key =
                    |k: &crate::catalog::ForeignKey| k.child == table.id() && k.child_columns.contains(&c.name);
                !survey.foreign_keys.iter().any(by_key)
            });
            let questions: Vec<Question> = columns.filter_map(|c| values::question(tenants, c, &names)).collect();
            (!questions.is_empty()).then(|| (table.id(), table.info.table.clone(), questions))
        });
        Questions {
            organization: tenants.table.info.table.clone(),
            key: tenants.key.to_owned(),
            key_type: KeyType::of(tenants),
            tables: asked.collect(),
            names,
        }
    }
}

/// The tables without any sign of an organization, and those of them that could not be read.
fn global(survey: &Survey, placement: &Placement<'_>) -> (Vec<String>, Vec<Unread>) {
    let mut tables: Vec<(String, TableId)> =
        survey.tables.iter().filter(|t| !placement.is_known(t.id())).map(|t| (t.written(), t.id())).collect();
    tables.sort();
    let unread = tables.iter().filter_map(|(name, id)| {
        let columns = survey.values.unread.get(id)?;
        Some(Unread { table: name.clone(), columns: columns.iter().cloned().collect() })
    });
    let unread = unread.collect();
    (tables.into_iter().map(|(name, _)| name).collect(), unread)
}

#[cfg(test)]
mod tests;
