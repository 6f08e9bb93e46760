//! Rows to which only the organization's rows refer. One query cannot find them: a row stays if a row that stays refers to it.

use sqlx::{PgConnection, Row as _};

use super::run::Run;
use super::scratch;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{Keys, query};
use crate::domain::Failure;
use planner::cascade::{Cascade, Exclusive};
use planner::statement::Statement;

/// Finds these rows without locking anything, for an organization that nobody deletes now. The keys go with the transaction,
/// which must be rolled back, and must not be read-only yet if there are such steps.
pub(crate) async fn find(connection: &mut PgConnection, cascade: &Cascade, key: &str) -> Result<Keys, sqlx::Error> {
    found(connection, cascade, key, |e| &e.referred).await
}

/// The same, in a short time: a row is taken to be referred to from outside where only a scan of a large table could tell.
pub(crate) async fn find_quickly(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
) -> Result<Keys, sqlx::Error> {
    found(connection, cascade, key, |e| &e.quick_referred).await
}

async fn found(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
    referred: impl Fn(&Exclusive) -> &Statement,
) -> Result<Keys, sqlx::Error> {
    if cascade.exclusive.is_empty() {
        return Ok(Keys::none());
    }
    let keys = scratch::keys(connection).await?;
    for exclusive in &cascade.exclusive {
        query(&exclusive.find, key, &keys).execute(&mut *connection).await?;
    }
    while forget_referred(connection, &cascade.exclusive, key, &keys, &referred).await? {}
    Ok(keys)
}

/// Forgets each row to which something outside refers. Returns whether there was one.
async fn forget_referred(
    connection: &mut PgConnection,
    steps: &[Exclusive],
    key: &str,
    keys: &Keys,
    statement: impl Fn(&Exclusive) -> &Statement,
) -> Result<bool, sqlx::Error> {
    let mut changed = false;
    for exclusive in steps {
        let forgotten: i64 = query(statement(exclusive), key, keys).fetch_one(&mut *connection).await?.try_get(0)?;
        changed |= forgotten > 0;
    }
    Ok(changed)
}

impl Run<'_> {
    /// Locks and captures these rows.
    pub(super) async fn capture_exclusive(&mut self, steps: &[Exclusive]) -> Result<(), Failure> {
        for exclusive in steps {
            for referrer in &exclusive.referrers {
                let during = During::table("locking rows of", Some(&referrer.table.entity), &referrer.table.name);
                self.row(&referrer.lock, during).await?;
            }
            let during = During::table("locking rows of", Some(&exclusive.table.entity), &exclusive.table.name);
            self.change(&exclusive.lock, during).await?;
        }
        self.forget_all_referred(steps).await?;
        for exclusive in steps {
            let during = During::table("locking rows of", Some(&exclusive.table.entity), &exclusive.table.name);
            self.row(&exclusive.lock_alone, during).await?;
        }
        // A new reference may have appeared before the lock.
        self.forget_all_referred(steps).await
    }

    async fn forget_all_referred(&mut self, steps: &[Exclusive]) -> Result<(), Failure> {
        let during = During::action("finding the rows to which nothing else refers");
        while forget_referred(self.connection, steps, self.key, &self.keys, |e| &e.referred).await.or_failure(during)? {
        }
        Ok(())
    }
}
