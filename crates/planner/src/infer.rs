//! The plan that a live schema suggests. It proposes and never guesses in silence: what foreign keys, or names that foreign
//! keys agree on, do not settle is listed as unclassified, and blocks until a person has decided.

mod activation;
mod names;
mod place;
mod references;

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{ForeignKey, TableId, TableInfo};
use crate::plan::{Active, OrganizationTable, Plan, Step, Unclassified};
use place::Placing;
use references::Tie;

/// All tables of the database that could belong to an organization.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Ordinary and partitioned tables; partitions are covered by their parent.
    pub tables: Vec<Surveyed>,
    /// Foreign keys among them.
    pub foreign_keys: Vec<ForeignKey>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// What the catalogue says of it.
    pub info: TableInfo,
    /// Found on the search path, so that the plan can name it without its schema.
    pub visible: bool,
    /// Columns of its indexes, in order.
    pub indexes: Vec<Vec<String>>,
    /// Columns that the database computes; nobody can set them.
    pub generated: Vec<String>,
}

/// A plan with what a person should know before using it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Remarks about each step of the plan.
    pub remarks: Vec<Vec<String>>,
    /// For each unclassified table of the plan, the steps that could be meant.
    pub suggestions: Vec<Vec<Step>>,
    /// Tables without any relation to the organization.
    pub unrelated: Vec<Unrelated>,
    /// Columns that may switch an organization off, where more than one could be meant.
    pub activation: Vec<Active>,
}

/// A table without any relation to the organization that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrelated {
    /// Its name.
    pub table: String,
    /// What hints at a relation all the same.
    pub remark: Option<String>,
}

/// The table that was named for the organizations cannot be that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// It is not in the database.
    #[error("there is no table `{table}` in the database")]
    NoTable {
        /// As it was named.
        table: String,
        /// Tables whose names end the same.
        similar: Vec<String>,
    },
    /// No column identifies its rows.
    #[error("no single column identifies a row of the table `{table}`, so it cannot be the organization's key")]
    NoKey {
        /// As it was named.
        table: String,
    },
}

impl InferError {
    /// The table, as it was named.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::NoTable { table, .. } | Self::NoKey { table } => table,
        }
    }

    /// What the person who named it can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NoTable { similar, .. } if similar.is_empty() => {
                "name the table with one row for each organization as it is in the database, in its case, as table or schema.table".to_owned()
            }
            Self::NoTable { similar, .. } => format!("did you mean: {}", similar.join(", ")),
            Self::NoKey { .. } => "name a column that is unique alone: --key COLUMN".to_owned(),
        }
    }
}

/// The organization's own table.
#[derive(Clone, Copy)]
struct Root<'a> {
    table: &'a Surveyed,
    key: &'a str,
}

impl Surveyed {
    fn id(&self) -> TableId {
        self.info.id
    }

    /// As the configuration writes it.
    fn written(&self) -> String {
        let bare = self.info.table.bare();
        // A dot separates schema and table, so a name that has one needs its schema in front.
        if self.visible && !bare.contains('.') { bare.to_owned() } else { self.info.table.name() }
    }

    /// The column that alone identifies a row: the primary key's before others.
    fn key(&self) -> Option<&str> {
        self.info.unique_keys.iter().find(|k| k.len() == 1).map(|k| k[0].as_str())
    }

    /// Whether an index leads with these columns, in any order.
    fn indexed(&self, columns: &[&str]) -> bool {
        self.indexes.iter().any(|index| {
            index.len() >= columns.len() && index[..columns.len()].iter().all(|c| columns.contains(&c.as_str()))
        })
    }
}

impl Survey {
    fn table(&self, id: TableId) -> Option<&Surveyed> {
        self.tables.iter().find(|t| t.id() == id)
    }

    fn root<'a>(&'a self, name: &str, key: Option<&'a str>) -> Result<Root<'a>, InferError> {
        let full = |t: &&Surveyed| t.info.table.name() == name;
        let Some(table) = self.tables.iter().find(|t| t.written() == name).or_else(|| self.tables.iter().find(full))
        else {
            let same: Vec<String> = self
                .tables
                .iter()
                .map(Surveyed::written)
                .filter(|t| t.to_lowercase().ends_with(&name.to_lowercase()))
                .collect();
            return Err(InferError::NoTable { table: name.to_owned(), similar: same });
        };
        let key = match key {
            Some(key) => table.info.unique_on(&[key]).then_some(key),
            None => table.key(),
        };
        let key = key.ok_or_else(|| InferError::NoKey { table: name.to_owned() })?;
        Ok(Root { table, key })
    }
}

/// Drafts the plan for the table with one row for each organization.
///
/// # Errors
/// Fails when there is no such table, or no column of it identifies a row.
pub fn infer(survey: &Survey, organization: &str, key: Option<&str>) -> Result<Draft, InferError> {
    let root = survey.root(organization, key)?;
    let found = references::find(survey, root);
    let placing = place::place(survey, root, &found.ties);
    let order = order(survey, &placing);
    let entities = names::entities(survey, &placing, &order);
    let step = |table: &Surveyed, tie: &Tie| step(survey, root, &entities, table, tie);

    let mut steps = Vec::new();
    let mut remarks = Vec::new();
    for id in &order {
        let (Some(table), Some(placed)) = (survey.table(*id), placing.placed.get(id)) else { continue };
        let Some(tie) = placed.tie else { continue };
        steps.push(step(table, tie));
        remarks.push(place::remarks(survey, &placing, table, tie));
    }
    let mut unclassified = Vec::new();
    let mut suggestions = Vec::new();
    for (id, doubts) in &placing.unclassified {
        let Some(table) = survey.table(*id) else { continue };
        unclassified.push(Unclassified { table: table.written(), why: Some(doubts.why(survey)) });
        let known = doubts.ties.iter().filter(|t| placing.placed.contains_key(&t.parent));
        // A reference to another column than the organization's key is no step.
        let possible = known.map(|tie| step(table, tie)).filter(|s| s.organization.is_some() || s.parent.is_some());
        suggestions.push(possible.collect());
    }
    let (active, activation) = activation::choose(root.table);
    let plan = Plan {
        organization: OrganizationTable { table: root.table.written(), key: root.key.to_owned(), active },
        tenant_columns: found.tenant_columns,
        steps,
        keep: Vec::new(),
        unclassified,
    };
    Ok(Draft { plan, remarks, suggestions, unrelated: unrelated(survey, root, &placing, &found.ties), activation })
}

fn step(survey: &Survey, root: Root<'_>, entities: &BTreeMap<TableId, String>, table: &Surveyed, tie: &Tie) -> Step {
    let mut step = Step {
        entity: entities.get(&table.id()).cloned().unwrap_or_default(),
        table: table.written(),
        organization: None,
        parent: None,
        column: None,
        columns: BTreeMap::new(),
    };
    if tie.parent == root.table.id() {
        step.organization = tie.pairs.iter().find(|(_, p)| p == root.key).map(|(c, _)| c.clone());
        return step;
    }
    step.parent = entities.get(&tie.parent).cloned();
    match tie.pairs.as_slice() {
        // What a foreign key does not say, `column` alone takes for the parent's own key.
        [(column, parent)]
            if tie.is_foreign_key() || survey.table(tie.parent).and_then(Surveyed::key) == Some(parent.as_str()) =>
        {
            step.column = Some(column.clone());
        }
        pairs => step.columns = pairs.iter().cloned().collect(),
    }
    step
}

/// Children before parents; what hangs below a table stands right above it. Cycles are left to the compiler.
fn order(survey: &Survey, placing: &Placing<'_>) -> Vec<TableId> {
    let mut by_name: Vec<&Surveyed> = survey.tables.iter().filter(|t| placing.placed.contains_key(&t.id())).collect();
    by_name.sort_by_key(|t| t.written());
    let mut below: BTreeMap<TableId, BTreeSet<TableId>> = BTreeMap::new();
    for key in survey.foreign_keys.iter().filter(|k| k.child != k.parent && !references::loosens(k.on_delete)) {
        below.entry(key.parent).or_default().insert(key.child);
    }
    for (id, placed) in &placing.placed {
        if let Some(tie) = placed.tie {
            below.entry(tie.parent).or_default().insert(*id);
        }
    }
    let mut sorted = Vec::new();
    let mut seen = BTreeSet::new();
    for table in &by_name {
        visit(table.id(), &by_name, &below, &mut seen, &mut sorted);
    }
    sorted
}

fn visit(
    id: TableId,
    by_name: &[&Surveyed],
    below: &BTreeMap<TableId, BTreeSet<TableId>>,
    seen: &mut BTreeSet<TableId>,
    sorted: &mut Vec<TableId>,
) {
    if !seen.insert(id) {
        return;
    }
    if let Some(children) = below.get(&id) {
        for child in by_name.iter().filter(|t| children.contains(&t.id())) {
            visit(child.id(), by_name, below, seen, sorted);
        }
    }
    sorted.push(id);
}

fn unrelated(survey: &Survey, root: Root<'_>, placing: &Placing<'_>, ties: &[Tie]) -> Vec<Unrelated> {
    let mut tables: Vec<Unrelated> = survey
        .tables
        .iter()
        .filter(|t| t.id() != root.table.id())
        .filter(|t| !placing.placed.contains_key(&t.id()) && !placing.unclassified.contains_key(&t.id()))
        .map(|table| {
            let hints = ties.iter().filter(|t| t.child == table.id() && placing.placed.contains_key(&t.parent));
            let hint = hints.filter_map(|t| t.doubt.as_ref()).map(|d| d.why.clone()).next();
            Unrelated { table: table.written(), remark: hint }
        })
        .collect();
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    tables
}

#[cfg(test)]
mod tests;
