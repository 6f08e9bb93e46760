//! Rows to which only the organization's rows refer. One query cannot find them: a row stays if a row that stays refers to it.

use sqlx::{PgConnection, Row as _};

use super::run::Run;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::{captured, query, unpaired};
use crate::domain::Failure;
use planner::CapturedKeys;
use planner::cascade::{Cascade, Exclusive};
use planner::statement::Statement;

/// Finds these rows without locking anything, for an organization that nobody deletes now.
pub(crate) async fn find(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
) -> Result<CapturedKeys, sqlx::Error> {
    found(connection, cascade, key, |e| &e.referred).await
}

/// The same, in a short time: a row is taken to be referred to from outside where only a scan of a large table could tell.
pub(crate) async fn find_quickly(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
) -> Result<CapturedKeys, sqlx::Error> {
    found(connection, cascade, key, |e| &e.quick_referred).await
}

async fn found(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
    referred: impl Fn(&Exclusive) -> &Statement,
) -> Result<CapturedKeys, sqlx::Error> {
    let mut keys = CapturedKeys::default();
    for exclusive in &cascade.exclusive {
        let row = query(&exclusive.find, key, &keys).fetch_one(&mut *connection).await?;
        captured(&mut keys, exclusive.step, &row, 0, &exclusive.columns)?;
    }
    while forget_referred(connection, cascade, key, &mut keys, &referred).await? {}
    Ok(keys)
}

/// Forgets each row to which something outside refers. Returns whether there was one.
async fn forget_referred(
    connection: &mut PgConnection,
    cascade: &Cascade,
    key: &str,
    keys: &mut CapturedKeys,
    statement: impl Fn(&Exclusive) -> &Statement,
) -> Result<bool, sqlx::Error> {
    let mut changed = false;
    for exclusive in &cascade.exclusive {
        let referred: Vec<bool> =
            query(statement(exclusive), key, keys).fetch_one(&mut *connection).await?.try_get(0)?;
        changed |= referred.contains(&true);
        keys.forget_in_use(exclusive.step, &exclusive.columns, &referred).map_err(unpaired)?;
    }
    Ok(changed)
}

impl Run<'_> {
    /// Locks and captures these rows.
    pub(super) async fn capture_exclusive(&mut self) -> Result<(), Failure> {
        for exclusive in &self.erase.exclusive {
            for referrer in &exclusive.referrers {
                let during = During::table("locking rows of", Some(&referrer.table.entity), &referrer.table.name);
                self.row(&referrer.lock, during).await?;
            }
            let during = During::table("locking rows of", Some(&exclusive.table.entity), &exclusive.table.name);
            let row = self.row(&exclusive.lock, during).await?;
            captured(&mut self.captured, exclusive.step, &row, 0, &exclusive.columns).or_failure(during)?;
        }
        self.forget_all_referred().await?;
        for exclusive in &self.erase.exclusive {
            let during = During::table("locking rows of", Some(&exclusive.table.entity), &exclusive.table.name);
            self.row(&exclusive.lock_alone, during).await?;
        }
        // A new reference may have appeared before the lock.
        self.forget_all_referred().await
    }

    async fn forget_all_referred(&mut self) -> Result<(), Failure> {
        let during = During::action("finding the rows to which nothing else refers");
        let keys = &mut self.captured;
        while forget_referred(self.connection, self.erase, self.key, keys, |e| &e.referred).await.or_failure(during)? {}
        Ok(())
    }
}
