//! Deleting in pages: from which tables a large deletion deletes in short transactions before the last one, which ends it.

use super::table::PlanTable;
use crate::statement::Statement;

/// The operator's own table of tuple identifiers (`ctid`) that were captured of the walked table.
pub const CAPTURED_TIDS: &str = "organization_operator.captured_tids";

/// How many tuple identifiers a row of that table has, except for the last one: the row stays below 2 kB, so it is not stored out
/// of line.
pub const TIDS_PER_CHUNK: i64 = 256;

/// A table from which rows are deleted page by page. A page is a range of the walked table and what the organization has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedTable {
    /// The table.
    pub table: PlanTable,
    /// Whose blocks are walked.
    pub walk: Walk,
    /// Returns one row: the number of blocks of the walked table, of the largest partition if there are several. No parameters.
    pub blocks: String,
    /// The statements of a page that is a range of blocks of the walked table, of each of its partitions at once: `$2` and `$3` are
    /// the `ctid` with which the page begins and the one with which the next begins, as text.
    pub by_blocks: PageStatements,
    /// Rows of the table refer to others of it: the table is paged again while a whole pass deletes enough.
    pub repeats: bool,
    /// A trigger may run, and may write elsewhere.
    pub triggers: bool,
    /// How to visit only the organization's rows of the walked table. `None` if no index finds them, if the walked table is
    /// partitioned, or if the table is paged again (`repeats`).
    pub by_tids: Option<ByTids>,
}

/// Pages without reading all blocks of the walked table: where its rows of the organization lie is captured first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByTids {
    /// Captures them, at most `$2` of them, and returns one row: how many. `$1` is the organization's key.
    pub capture: String,
    /// The statements of a page that is a range of those tuple identifiers: `$2` and `$3` are the number of the first one of the
    /// page and of the next page, counted from 0, as text.
    pub page: PageStatements,
}

/// The statements of one page. Each takes `$1`, the organization's key, and `$2` and `$3`, the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageStatements {
    /// What to run before the delete. `None` if the delete alone can neither change rows that refer to its rows nor delete a row of
    /// two organizations.
    pub guard: Option<Guard>,
    /// Deletes the page and returns one row: the number of rows; how many of them belonged to no row that is the organization's
    /// now; and whether the page may have more. If any row belonged to none, the page must be rolled back. The rows to which they
    /// belong are locked, so they stay the organization's until the transaction ends.
    ///
    /// With a guard it also takes `$4` and `$5`, arrays of the locked rows' `tableoid` and `ctid`, as text. Where parents are walked
    /// it also takes `$4`, the most rows of the page; there is no guard then.
    pub delete: String,
}

/// Whose blocks a page is a range of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Those of the table itself.
    Own,
    /// Those of the table to which the rows belong: an index finds the rows of each parent, so that each parent is looked up
    /// and locked once, and no row of another organization is read.
    Parents {
        /// The parents' table.
        table: String,
    },
}

/// What to run before the delete of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Locks the page's rows (`$1` to `$3`), so that nobody can refer to them or change them. Returns one row with an array of
    /// text of their `tableoid` and one of their `ctid`.
    pub lock: String,
    /// Counts those of the locked rows to which rows outside refer (`$1` to `$3`, and the arrays as `$4` and `$5`). Returns one row
    /// with one number, 0 if nothing refers to them. Rows that also belong to another organization, the delete itself leaves.
    pub check: String,
}

/// A table whose rows are not deleted page by page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPaged {
    /// The table.
    pub table: PlanTable,
    /// Why not.
    pub because: Because,
}

/// Why the rows of a table are not deleted page by page. `Display` writes a clause in which "it" and "its" stand for the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Because {
    /// Tables that refer to each other in a cycle go by one statement.
    #[error("one statement deletes its rows and those of other tables, because the tables refer to each other")]
    Cycle,
    /// References of its rows, or to its rows, are set to NULL first.
    #[error("references to or from its rows are set to NULL before the first delete")]
    Detached,
    /// The last transaction removes the partition, in milliseconds.
    #[error("its rows go with a partition")]
    WithPartition,
    /// It has no blocks of its own.
    #[error("it is a view")]
    View,
    /// Which of its rows go depends on rows that refer to them.
    #[error("its rows go only if nothing else refers to them")]
    ReferencedBy,
    /// People are found by its rows.
    #[error("the operator finds rows of `{0}` through its rows")]
    Refers(String),
    /// Its parents are known only by captured keys.
    #[error("the operator finds its rows through `{0}`, whose rows go only if nothing else refers to them")]
    OfReferenced(String),
    /// A view's rows cannot be kept from changing.
    #[error("the operator finds its rows through the view `{0}`")]
    OfView(String),
    /// The last count after COMMIT needs the keys of all its rows.
    #[error("the operator finds rows of `{0}` through its rows, and no foreign key protects those")]
    Unprotected(String),
    /// A table that refers to it is not paged before it.
    #[error("rows of `{0}` refer to its rows and are not deleted in pages")]
    Referred(String),
    /// Part of a parent's key finds its rows.
    #[error("the operator finds its rows by part of a key")]
    PartOfKey,
    /// The role may not lock the rows of a parent.
    #[error("the operator's role may not lock rows of `{0}`, for which it needs UPDATE on one of its columns")]
    Lock(String),
}

/// Estimates how many rows of a table a deletion deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// The table.
    pub table: PlanTable,
    /// Returns every row that a deletion would delete: to be explained, or counted up to a limit in a subquery.
    pub rows: Statement,
}
