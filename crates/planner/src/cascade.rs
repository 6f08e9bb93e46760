//! The statements that erase one organization, and what each of them is about.

mod pages;
mod partition;
mod preflight;
mod table;

use std::ops::{Deref, DerefMut};

use crate::captured::KeySet;
use crate::limits::COUNT_LIMIT;
use crate::query::Query;
use crate::statement::Statement;
use crate::step::StepId;
pub use pages::{
    Because, ByTids, CAPTURED_TIDS, Guard, NotPaged, PageStatements, PagedTable, TIDS_PER_CHUNK, TableSize, Walk,
};
pub use partition::{OwnPartition, Removal};
pub use preflight::{AmbiguousRows, Check, Preflight, SharedRows};
pub use table::PlanTable;

/// The entity whose rows are the organization's users: counted exactly and shown in a column.
pub const USERS: &str = "users";

/// A number of [`Cascade::inventory`] as it can be shown, and whether there may be more rows: only users are counted beyond
/// [`COUNT_LIMIT`].
#[must_use]
pub fn capped(entity: &str, rows: i64) -> (i64, bool) {
    if entity == USERS || rows <= COUNT_LIMIT { (rows, false) } else { (COUNT_LIMIT, true) }
}

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
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own of the plan and its schema")]
pub struct Cascade {
    /// Entities in the order of deletion, with their tables.
    pub entities: Vec<Entity>,
    /// Rows of every table before the first delete.
    pub count: Query<PlanTable>,
    /// The same, each counted up to [`COUNT_LIMIT`](crate::COUNT_LIMIT) + 1, except for users.
    pub inventory: Query<PlanTable>,
    /// To be run before `lock_tables`, where partitions are dropped: such deletions run one after the other. Each of two at
    /// once would wait for the other's lock on the table.
    pub lock_partitioned: Option<Statement>,
    /// Keeps the schema as it is until the transaction ends.
    pub lock_tables: Statement,
    /// Rows that go only if nothing outside refers to them, by their step: to be captured before everything else.
    pub exclusive: Vec<Exclusive>,
    /// The same after COMMIT: the organization's rows are also found by captured parents, which are gone by then.
    pub late_exclusive: Vec<Exclusive>,
    /// Rows to capture or to lock before the first delete, parents first.
    pub captures: Vec<Capture>,
    /// Partitions whose rows go with them.
    pub partitions: Vec<OwnPartition>,
    /// References that are set to NULL before the first delete, so that tables that refer to each other go one by one.
    pub detaches: Vec<Detach>,
    /// The deletes in the real order, that of the organization itself among them.
    pub deletes: Vec<Delete>,
    /// The deletes that are run again after COMMIT: those from tables that no chain of foreign keys protects against new
    /// rows, and never that of the organization.
    pub late_deletes: Vec<Delete>,
    /// The same as `count`, but by captured parents where the parents are gone by then.
    pub recount: Query<PlanTable>,
    /// The same, of the tables of which foreign keys do not prove that nothing is left: enough if the organization was there, and
    /// its row is gone. `None` if there is no such table.
    pub recount_unproven: Option<Query<PlanTable>>,
    /// A trigger or a rule may change what the deletes do, or write something. Otherwise a delete removes the rows that it finds,
    /// and nothing else.
    pub may_interfere: bool,
    /// Captured parents that are still there after the last delete. `None` if no step has a parent.
    pub parents_left: Option<Query<ParentLeft>>,
    /// The deletes count the captured parents that they did not delete, of every parent. If there are none, `parents_left` has
    /// nothing to find.
    pub accounted: bool,
    /// Rows that the organization's rows referred to and nothing refers to any more, and that are still there: rows appeared
    /// that refer to them. `None` if no such row can appear.
    pub left_behind: Option<Query<PlanTable>>,
    /// Forget the captured parts of keys that a row outside has as well, before the first delete. No child row has such a part,
    /// or the preflight finds it.
    pub parents_shared: Vec<Back>,
    /// Forget the keys that are kept to count again and belong to a parent that is there again.
    pub parents_back: Vec<Back>,
    /// What must not be there before the first delete.
    pub preflight: Preflight,
    /// What must not be there before the deletes that are run again after COMMIT.
    pub late_preflight: Preflight,
    /// The same as `preflight`, without what only a scan of a large table could find.
    pub quick_check: Preflight,
    /// Rows of no organization, a query for each table that may have such rows. No deletion runs it.
    pub nobodys_rows: Vec<Query<NobodysRows>>,
    /// Existence, activation and number of users of many organizations.
    pub observe_many: Statement,
    /// `observe_many` counts the rows that refer to the users: which users go with an organization, one query cannot tell.
    pub observes_referrers: bool,
    /// Deferrable foreign keys are checked at COMMIT.
    pub defer_constraints: bool,
    /// Tables from which a large deletion deletes page by page before the last transaction, in this order.
    pub pages: Vec<PagedTable>,
    /// The other tables: all their rows wait for the last transaction.
    pub not_paged: Vec<NotPaged>,
    /// Estimates how large a deletion is.
    pub sizes: Vec<TableSize>,
}

/// An entity with its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Names of its tables.
    pub tables: Vec<String>,
}

/// The rows of a step to which the organization's rows refer, and nothing else.
///
/// First the referring rows are locked. Then the rows that they refer to are captured and locked against other deletions. Then
/// every row to which something outside refers is forgotten, again and again, until nothing changes: a row that stays keeps
/// what it refers to. What is left is locked so that no reference can appear any more, because a foreign key has to lock the
/// row that it refers to, and asked once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusive {
    /// The step.
    pub step: StepId,
    /// Its table.
    pub table: PlanTable,
    /// The columns that identify a row, and are captured.
    pub columns: Vec<String>,
    /// The referring rows.
    pub referrers: Vec<Referrer>,
    /// Captures the rows to which they refer, and locks them against other deletions (`FOR NO KEY UPDATE`: others may still refer
    /// to them).
    pub lock: Statement,
    /// Locks the captured rows, so that nobody can refer to them, and returns their number.
    pub lock_alone: Statement,
    /// The same without a lock, to count with.
    pub find: Statement,
    /// Forgets each captured key to which something outside refers, and returns how many.
    pub referred: Statement,
    /// The same; a row is taken to be referred to where only a scan of a large table could tell.
    pub quick_referred: Statement,
}

/// Rows that refer to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Their table.
    pub table: PlanTable,
    /// Locks them and returns their number.
    pub lock: Statement,
}

/// Rows that are captured or locked before the first delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The step.
    pub step: StepId,
    /// Its table.
    pub table: PlanTable,
    /// Its table as the plan names it.
    pub declared: String,
    /// The sets of keys.
    pub sets: Vec<KeySet>,
    /// Captures them, and locks the rows. `None` if both were done when the rows were found.
    pub statement: Option<Statement>,
    /// The rows are locked.
    pub locks: bool,
    /// The keys are kept after COMMIT, until the rows that are found by them were counted again.
    pub kept: bool,
}

/// A reference of the organization's own rows that is set to NULL, so that tables that refer to each other go one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detach {
    /// The referring table.
    pub table: String,
    /// The columns that become NULL.
    pub columns: Vec<String>,
    /// The foreign key.
    pub constraint: String,
    /// Changes exactly the organization's rows.
    pub statement: Statement,
}

/// One statement that deletes the rows of one table, those of several that refer to each other in a cycle, or the
/// organization itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The tables. None if it deletes the organization alone.
    pub tables: Vec<DeletedTable>,
    /// Whether it deletes the organization itself.
    pub organization: bool,
    /// Returns one row: for each table the number of rows, and the number of captured keys of rows that it did not delete; and
    /// last, if it deletes the organization as well, the number of its rows.
    pub statement: Statement,
    /// It returns nothing: the number of rows is that of the command.
    pub by_command: bool,
}

/// A table from which a statement deletes: the rows of all its steps at once, so that rows of one may refer to rows of
/// another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTable {
    /// The first of its steps, as declared.
    pub step: StepId,
    /// The table.
    pub table: PlanTable,
    /// Counts what is left, as long as parents that other statements delete are still there: to be run when fewer rows
    /// went than were found.
    pub left: Query<PlanTable>,
    /// A chain of foreign keys to the locked organization keeps new rows out.
    pub protected: bool,
    /// A trigger on the table may keep rows from being deleted.
    pub may_suppress: bool,
}

/// Forgets captured keys that other rows have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// The parent's step.
    pub step: StepId,
    /// Which of its captured columns make up the key.
    pub columns: Vec<String>,
    /// Returns how many it forgot.
    pub statement: Statement,
}

/// A table some of whose rows may belong to no organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NobodysRows {
    /// Its name.
    pub table: String,
    /// The entity under which its rows are counted.
    pub entity: String,
    /// Columns that say to which organization a row belongs and that may be NULL: at least one of each list is NULL in a row
    /// of no organization.
    pub ways: Vec<Vec<String>>,
    /// Shows the rows to a person.
    pub(crate) query: String,
}

/// A parent's table in which captured keys are searched after the last delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentLeft {
    /// The table as the plan names it.
    pub table: String,
    /// The columns are only part of a key: another organization's row may have the same.
    pub part: bool,
}

impl Cascade {
    /// The tables of the plan, in the real order.
    pub fn tables(&self) -> impl Iterator<Item = &PlanTable> {
        self.deletes.iter().flat_map(|delete| &delete.tables).map(|deleted| &deleted.table)
    }

    /// Whether the rows of a step are those to which only the organization's rows refer.
    #[must_use]
    pub fn is_exclusive(&self, step: StepId) -> bool {
        self.exclusive.iter().any(|exclusive| exclusive.step == step)
    }

    /// Whether some table is not protected by a foreign key.
    #[must_use]
    pub fn has_unprotected(&self) -> bool {
        !self.late_deletes.is_empty()
    }

    /// Tables that no chain of foreign keys protects against new rows.
    pub fn unprotected(&self) -> impl Iterator<Item = &DeletedTable> {
        self.late_deletes.iter().flat_map(|delete| &delete.tables)
    }

    /// The names of these tables.
    #[must_use]
    pub fn unprotected_tables(&self) -> Vec<&str> {
        self.unprotected().map(|deleted| deleted.table.name.as_str()).collect()
    }

    /// Whether one statement deletes the organization together with tables.
    #[must_use]
    pub fn organization_is_in_a_cycle(&self) -> bool {
        self.deletes.iter().any(Delete::is_set_with_organization)
    }

    /// Sums the rows of the tables by entity, in the order of deletion.
    #[must_use]
    pub fn by_entity(&self, rows: &[(&PlanTable, i64)]) -> Vec<(&Entity, i64)> {
        let of = |entity: &Entity| rows.iter().filter(|(table, _)| table.entity == entity.name).map(|(_, n)| n).sum();
        self.entities.iter().map(|entity| (entity, of(entity))).collect()
    }
}

impl Capture {
    /// The columns that are captured, each once.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for column in self.sets.iter().flat_map(|set| &set.columns) {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        columns
    }
}

impl Delete {
    fn is_set_with_organization(&self) -> bool {
        self.organization && !self.tables.is_empty()
    }
}
