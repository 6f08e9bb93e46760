//! A connection that is kept.

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::Postgres;
use crate::error::Result;

/// A connection of the superuser to one database that is kept from one query to the next. A new one costs the server 12 ms of
/// processor time (`pgbench -C -n`), and whatever it reads from a catalog for the first time some more.
///
/// For queries only: a statement that changes the session, or begins a transaction, would be felt by the next query.
#[derive(Debug, Default)]
pub struct Kept(Mutex<Option<PgConnection>>);

impl Kept {
    /// The connection; a new one if there is none yet, or the server has ended it. Whoever comes next waits until this one is
    /// let go.
    ///
    /// # Errors
    ///
    /// Fails when the server is not running or the database does not exist.
    pub async fn get(&self, postgres: &Postgres, database: &str) -> Result<MappedMutexGuard<'_, PgConnection>> {
        let mut kept = self.0.lock().await;
        let mut connection = kept.take();
        if let Some(last) = &mut connection
            && last.ping().await.is_err()
        {
            connection = None;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => postgres.connect(database).await?,
        };
        Ok(MutexGuard::map(kept, |kept| kept.insert(connection)))
    }
}
