//! The statements that erase one organization, and what each of them is about.

use std::ops::{Deref, DerefMut};

use crate::catalog::{OnDelete, TableId};
use crate::statement::Statement;

/// A cascade that may be run: its plan has no fault. Only [`crate::compile::compile`] makes one.
#[derive(Clone, Debug)]
pub struct ErasePlan(Cascade);

impl ErasePlan {
    pub(crate) fn new(cascade: Cascade) -> Self {
        Self(cascade)
    }
}

impl Deref for ErasePlan {
    type Target = Cascade;

    fn deref(&self) -> &Cascade {
        &self.0
    }
}

impl DerefMut for ErasePlan {
    fn deref_mut(&mut self) -> &mut Cascade {
        &mut self.0
    }
}

/// Every statement that erases one organization, in order.
#[derive(Clone, Debug)]
pub struct Cascade {
    /// Entities in the order of deletion, with their tables.
    pub entities: Vec<Entity>,
    /// Rows of every table before the first delete, one column a table in the order of `tables`.
    pub count: Statement,
    /// The same, each counted up to [`COUNT_LIMIT`] + 1, except for users.
    pub inventory: Statement,
    /// Keeps the schema as it is until the transaction ends.
    pub lock_tables: Statement,
    /// Rows to capture or to lock before the first delete, parents first.
    pub captures: Vec<Capture>,
    /// References that are taken back before the first delete, because no order of deletion honours them.
    pub detaches: Vec<Detach>,
    /// One delete a table, in the real order.
    pub deletes: Vec<Delete>,
    /// The same as `count`, but by captured parents where the parents are gone by then.
    pub recount: Statement,
    /// Captured parents that are still there after the last delete, one number for each of these tables.
    pub parents_left: (Statement, Vec<String>),
    /// Which keys that are kept to count again belong to a parent that is there again.
    pub parents_back: Vec<Back>,
    /// Deletes that are run again after COMMIT on tables that nothing fences.
    pub sweeps: Vec<Delete>,
    /// Tables in the order of the columns of `count`, `inventory` and `recount`.
    pub tables: Vec<PlanTable>,
    /// What may refer to the rows from outside. One column a check.
    pub preflight: Option<(Statement, Vec<Check>)>,
    /// The same for `sweeps`.
    pub sweep_preflight: Option<(Statement, Vec<Check>)>,
    /// Rows that the plan gives to this organization and to another one as well. One column a table.
    pub shared: Option<(Statement, Vec<SharedRows>)>,
    /// The same as `preflight`, without what only a walk through a large table could tell.
    pub quick_check: Option<(Statement, Vec<Check>)>,
    /// The same of `shared`.
    pub quick_shared: Option<(Statement, Vec<SharedRows>)>,
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

/// A reference of the organization's own rows that is set to NULL, so that a cycle of foreign keys has an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detach {
    /// The referring table.
    pub table: String,
    /// The columns that become NULL.
    pub columns: Vec<String>,
    /// The foreign key that stood in the way.
    pub constraint: String,
    /// Changes exactly the organization's rows.
    pub statement: Statement,
}

/// The delete of one table: of the rows of all its steps at once, so that rows of one may refer to rows of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The first of its steps, as declared.
    pub step: usize,
    /// Index into `tables`.
    pub table: usize,
    /// What the statement returns after the number of rows: for each of these steps so many captured columns, each as an
    /// array of text.
    pub returns: Vec<(usize, usize)>,
    /// Returns one row: the number of rows, then the columns.
    pub statement: Statement,
    /// Counts what is left, while the parents are still there: to be run when fewer rows went than were found.
    pub left: Statement,
    /// A chain of foreign keys to the locked organization keeps new rows out.
    pub protected: bool,
    /// A trigger on the table may keep rows from being deleted.
    pub may_suppress: bool,
}

/// A look whether keys of parents that are gone have been taken by others since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// The parent's step.
    pub step: usize,
    /// Which of its captured columns make up the key.
    pub positions: Vec<usize>,
    /// Returns one row with one boolean for each captured key, in their order.
    pub statement: Statement,
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

/// A table whose rows may belong to several organizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedRows {
    /// Its name.
    pub table: String,
    /// The entity under which its rows are counted.
    pub entity: String,
    /// Shows the rows to a person; `:key` stands for the organization's key.
    pub(crate) query: String,
}

impl Cascade {
    /// Whether some table is not tied to the organization by foreign keys.
    #[must_use]
    pub fn has_unprotected(&self) -> bool {
        self.deletes.iter().any(|d| !d.protected)
    }

    /// Tables that no chain of foreign keys protects against new rows.
    #[must_use]
    pub fn unprotected_tables(&self) -> Vec<&str> {
        let unprotected = self.deletes.iter().filter(|d| !d.protected);
        let mut tables: Vec<&str> = unprotected.map(|d| self.tables[d.table].name.as_str()).collect();
        tables.dedup();
        tables
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
