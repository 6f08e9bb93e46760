//! Partitions that can hold only one organization's rows, and that go with them.

use super::table::PlanTable;
use crate::identifier::Table;
use crate::row_set::{KeySource, RowSet};
use crate::statement::{Statement, Writer};
use crate::step::StepId;

/// A table whose rows of an organization go with their partition, if it has one that can hold only this organization's rows.
///
/// The statements on the partition itself are written when its name is known: it has a partition for each organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPartition {
    /// The step.
    pub step: StepId,
    /// The partitioned table.
    pub table: PlanTable,
    /// Its name, quoted.
    pub(crate) parent: Table,
    /// How its partitions go.
    pub removal: Removal,
    /// Returns one row if the table has such a partition and the operator's role may remove it: schema and name.
    pub find: Statement,
    /// Which rows of the partition are the organization's.
    pub(crate) rows: RowSet,
}

/// How a partition goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// `TRUNCATE`: the empty partition stays.
    Truncate,
    /// `DETACH PARTITION` and `DROP TABLE`: PostgreSQL truncates no table to which a foreign key refers.
    Drop,
}

impl OwnPartition {
    /// Keeps everybody else out of the partition until the transaction ends.
    #[must_use]
    pub fn lock(&self, partition: &Table) -> String {
        format!("LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE")
    }

    /// Returns one row: how many rows the partition has, and how many of them are the organization's.
    #[must_use]
    pub fn count(&self, partition: &Table) -> Statement {
        let mut writer = Writer::default();
        let ours = self.rows.condition("t", &KeySource::Bound, &mut writer);
        writer.finish(format!("SELECT count(*), count(*) FILTER (WHERE {ours}) FROM {partition} t"))
    }

    /// The statements that remove the partition with all its rows.
    #[must_use]
    pub fn remove(&self, partition: &Table) -> Vec<String> {
        match self.removal {
            Removal::Truncate => vec![format!("TRUNCATE {partition}")],
            Removal::Drop => vec![
                format!("ALTER TABLE {} DETACH PARTITION {partition}", self.parent),
                format!("DROP TABLE {partition}"),
            ],
        }
    }
}
