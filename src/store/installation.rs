//! The identity of the database: an object that was claimed in one database is refused in another.

use sqlx::Row as _;

use crate::db::Database;
use crate::db::error::{During, OrFailure as _};
use crate::db::statement::own;
use crate::domain::Failure;

impl Database {
    /// Whether this is the database with that identity. A database without the operator's schema is not: a claim is made
    /// where the schema is.
    ///
    /// # Errors
    /// Fails when the database cannot be read.
    pub async fn is_installation(&self, id: &str) -> Result<bool, Failure> {
        let during = During::table("reading the database's identity in", None, "organization_operator.installation");
        let mut tx = self.begin().await?;
        let exists = own("SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'organization_operator' AND c.relname = 'installation')")
        .fetch_one(&mut *tx)
        .await
        .and_then(|row| row.try_get(0))
        .or_failure(during)?;
        let same = if exists {
            own("SELECT EXISTS (SELECT FROM organization_operator.installation WHERE id::text = $1)")
                .bind(id)
                .fetch_one(&mut *tx)
                .await
                .and_then(|row| row.try_get(0))
                .or_failure(during)?
        } else {
            false
        };
        tx.rollback().await.or_failure(during)?;
        Ok(same)
    }
}
