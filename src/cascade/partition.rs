//! Partitions that can hold only the organization's rows: `partitions: drop`.

use sqlx::{AssertSqlSafe, Row as _};

use super::changed::{classified, not_only_ours};
use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::about;
use crate::domain::Failure;
use planner::cascade::{DeletedTable, OwnPartition};
use planner::identifier::Table;

/// A partition that can hold only the organization's rows. Nobody else can use it until the transaction ends.
pub(super) struct Locked<'a> {
    of: &'a OwnPartition,
    partition: Table,
}

impl<'a> Run<'a> {
    /// Finds these partitions and locks them, so that no row appears in them any more, and so that nobody detaches one: without
    /// that it keeps its bound. Others may be attached meanwhile.
    pub(super) async fn lock_partitions(&mut self) -> Result<Vec<Locked<'a>>, Failure> {
        let mut locked = Vec::new();
        for of in &self.erase.partitions {
            let during =
                During::table("locking the organization's partition of", Some(&of.table.entity), &of.table.name);
            let found = about(&of.find, self.key).fetch_optional(&mut *self.connection).await.or_failure(during)?;
            let Some(row) = found else { continue };
            let name = |column| row.try_get::<&str, _>(column).or_failure(during);
            let partition = Table::qualified(name("schema")?, name("name")?);
            self.on_partition(of.lock(&partition), during).await?;
            locked.push(Locked { of, partition });
        }
        Ok(locked)
    }

    /// Removes the partition of a table, if it is one of these. Returns how many rows went with it.
    pub(super) async fn remove_partition(
        &mut self,
        table: &DeletedTable,
        locked: &[Locked<'_>],
    ) -> Result<i64, Failure> {
        let mut rows = 0;
        for Locked { of, partition } in locked.iter().filter(|locked| locked.of.table.id == table.table.id) {
            let during =
                During::change("removing the organization's partition of", Some(&of.table.entity), &of.table.name);
            let counted = self.row(&of.count(partition), during).await?;
            let all: i64 = counted.try_get(0).or_failure(during)?;
            let ours: i64 = counted.try_get(1).or_failure(during)?;
            if all != ours {
                return Err(not_only_ours(&of.table, all - ours));
            }
            for statement in of.remove(partition) {
                self.on_partition(statement, during).await.map_err(|failure| classified(failure, self.erase))?;
            }
            rows += all;
        }
        Ok(rows)
    }

    /// Runs a statement on a partition. The planner quoted its name.
    async fn on_partition(&mut self, sql: String, during: During<'_>) -> Result<(), Failure> {
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        statement.execute(&mut *self.connection).await.or_failure(during)?;
        Ok(())
    }
}
