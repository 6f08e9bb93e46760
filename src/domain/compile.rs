//! `(Plan, Catalog) -> CompiledPlan`: names resolved, types known, statements written, order fixed, faults listed.

mod checks;
pub(super) mod faults;
mod root;
pub(super) mod rules;
mod steps;

use sha2::{Digest as _, Sha256};

use super::catalog::{Catalog, OnDelete, TableId};
use super::failure::Failure;
use super::findings::{self, Finding, Kind};
use super::plan::Plan;
use super::statement::Statement;

pub use root::{ActivationColumn, Root};

/// Rows are counted up to here where an exact number is not needed.
pub const COUNT_LIMIT: i64 = 10_000;

/// A plan that was compiled against the live catalogue.
#[derive(Clone, Debug)]
pub struct CompiledPlan {
    /// The organization's table.
    pub root: Root,
    /// What to run to erase. Absent when names of the plan could not be resolved or there is no order.
    pub erase: Option<ErasePlan>,
    /// Why the plan as a whole must not be used to erase, with every cause.
    pub fault: Option<Failure>,
    /// What a person should know about the schema: the faults, and warnings that block nothing.
    pub findings: Vec<Finding>,
    /// Changes when the plan or the part of the schema that matters to it changes.
    pub digest: String,
    /// Fingerprint of the part of the schema that it was compiled against, see [`Catalog::fingerprint`].
    pub fingerprint: String,
    /// The tables that the fingerprint is about.
    pub fingerprint_tables: Vec<TableId>,
    /// The columns that mark a table as belonging to a tenant.
    pub tenant_columns: Vec<String>,
}

/// What to run to erase one organization.
#[derive(Clone, Debug)]
pub struct ErasePlan {
    /// Entities in the order of deletion, with their tables.
    pub entities: Vec<Entity>,
    /// Rows of every table before the first delete, one column a table in the order of `tables`.
    pub count: Statement,
    /// The same, each counted up to [`COUNT_LIMIT`] + 1, except for users.
    pub inventory: Statement,
    /// Rows to capture or to lock before the first delete, parents first.
    pub captures: Vec<Capture>,
    /// One delete a step, in the real order.
    pub deletes: Vec<Delete>,
    /// The same as `count`, but by captured parents where the parents are gone by then.
    pub recount: Statement,
    /// Deletes that are run again after COMMIT on tables that nothing fences.
    pub sweeps: Vec<Delete>,
    /// Tables in the order of the columns of `count`, `inventory` and `recount`.
    pub tables: Vec<PlanTable>,
    /// What may refer to the rows from outside. One column a check.
    pub preflight: Option<(Statement, Vec<Check>)>,
    /// Deletes the organization itself.
    pub delete_organization: Statement,
    /// Existence, activation and number of users of many organizations.
    pub census: Statement,
    /// Deletable foreign keys are checked at COMMIT.
    pub defer_constraints: bool,
}

/// A table of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanTable {
    /// Its identity.
    pub id: TableId,
    /// Its name.
    pub name: String,
    /// The entity under which its rows are counted.
    pub entity: String,
}

/// An entity with its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Names of its tables.
    pub tables: Vec<String>,
}

/// Rows that are captured or locked before the first delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The step.
    pub step: usize,
    /// Its table.
    pub table: String,
    /// The columns that are captured; none locks only.
    pub columns: Vec<String>,
    /// Returns one row with one array of text a column; without columns a number of rows.
    pub statement: Statement,
    /// The rows are kept until the tables below them were counted again after COMMIT.
    pub residue: bool,
}

/// The delete of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The step, as declared.
    pub step: usize,
    /// Index into `tables`.
    pub table: usize,
    /// How many captured columns the statement returns after the number of rows, each as an array of text.
    pub columns: usize,
    /// Returns one row: the number of rows, then the columns.
    pub statement: Statement,
    /// A chain of foreign keys to the locked organization keeps new rows out.
    pub fenced: bool,
}

/// A foreign key over which rows outside may refer to rows inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Name of the constraint.
    pub constraint: String,
    /// The referring table.
    pub table: String,
    /// The table referred to.
    pub parent_table: String,
    /// The entity of the table referred to; the organization itself has none.
    pub parent_entity: Option<String>,
    /// What deleting the parent would do to the referring rows.
    pub on_delete: OnDelete,
    /// The referring table is a step of the plan: the rows are another organization's, or nobody's.
    pub in_plan: bool,
    /// The referring table is kept on purpose: its rows must never be proposed for deletion.
    pub kept: bool,
    /// `SET` list that detaches the referring rows; none where a referring column cannot be NULL.
    pub detach: Option<String>,
    /// The referring table, quoted.
    pub child_sql: String,
    /// The table referred to, quoted.
    pub parent_sql: String,
    /// The way from the referring table to the organization's.
    pub path: Vec<String>,
    /// Which rows: the referring table is `c`, the other `p`, and `:key` stands for the organization's key.
    pub condition: String,
}

impl CompiledPlan {
    /// Compiles a plan.
    ///
    /// # Errors
    /// Fails when the organization's own table or key cannot be resolved: then nothing can be done for any object.
    /// All other faults leave a plan that can observe and deactivate, with [`CompiledPlan::fault`] set.
    pub fn new(plan: &Plan, catalog: &Catalog, role: &str) -> Result<Self, Failure> {
        let mut faults = faults::Faults::new(role);
        let Some(root) = root::resolve(plan, catalog, &mut faults) else {
            return Err(faults.into_failure());
        };
        let erase = steps::compile(plan, catalog, &root, &mut faults);
        faults.unclassified(plan, catalog);
        faults.privileges(plan, catalog);
        rules::find(plan, catalog, &mut faults);
        let mut compiled = Self {
            root,
            erase,
            fault: faults.into_option(),
            findings: Vec::new(),
            digest: digest(plan, catalog),
            fingerprint: catalog.fingerprint.clone(),
            fingerprint_tables: catalog.plan_tables.clone(),
            tenant_columns: plan.tenant_columns.clone(),
        };
        compiled.findings = findings::find(plan, catalog, &compiled);
        Ok(compiled)
    }

    /// What to run to erase, or why the plan must not be used for it.
    ///
    /// # Errors
    /// Returns the fault of the plan.
    pub fn erase(&self) -> Result<&ErasePlan, Failure> {
        match (&self.fault, &self.erase) {
            (Some(fault), _) => Err(fault.clone()),
            (None, Some(erase)) => Ok(erase),
            (None, None) => Err(Failure::new(
                crate::api::Reason::InternalError,
                "the plan has no statements and no fault; report this as a bug",
            )),
        }
    }
}

impl CompiledPlan {
    /// What the server refused, in the words of the plan's own fault if that is the cause: it names each privilege.
    #[must_use]
    pub fn explain(&self, failure: Failure) -> Failure {
        use crate::api::Reason::PermissionDenied;
        let missing = |f: &Finding| matches!(f.kind, Kind::MissingPrivilege | Kind::RowSecurity);
        match &self.fault {
            Some(fault) if failure.reason == PermissionDenied && fault.findings.iter().any(missing) => fault.clone(),
            _ => failure,
        }
    }
}

impl ErasePlan {
    /// Whether some table is not tied to the organization by foreign keys.
    #[must_use]
    pub fn has_unfenced(&self) -> bool {
        self.deletes.iter().any(|d| !d.fenced)
    }

    /// Sums the numbers of the tables by entity, in the order of deletion.
    #[must_use]
    pub fn by_entity(&self, per_table: &[i64]) -> Vec<(String, i64)> {
        self.entities
            .iter()
            .map(|entity| {
                let rows = self
                    .tables
                    .iter()
                    .zip(per_table)
                    .filter(|(table, _)| table.entity == entity.name)
                    .map(|(_, rows)| rows)
                    .sum();
                (entity.name.clone(), rows)
            })
            .collect()
    }
}

/// Without what only warnings are about: an index more is no reason to look at every object again.
fn digest(plan: &Plan, catalog: &Catalog) -> String {
    let mut catalog = catalog.clone();
    for traits in catalog.traits.values_mut() {
        traits.indexes.clear();
        traits.triggers.clear();
        traits.not_valid.clear();
    }
    let hash = Sha256::digest(format!("{plan:?}{catalog:?}").as_bytes());
    hash.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;
