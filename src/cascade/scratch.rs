//! Where a transaction that is rolled back captures keys.

use sqlx::{PgConnection, Row as _};

use crate::db::statement::{Keys, own};
use planner::statement::CAPTURED_KEYS;

/// The operator's own table may not be there yet, be an earlier version's, or not be writable: a person may ask before anything
/// is installed, as another role, or a standby.
const OWN: &str = "SELECT NOT pg_is_in_recovery() AND EXISTS (
    SELECT FROM pg_namespace n
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'captured_keys'
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'key_set'
    WHERE n.nspname = 'organization_operator' AND has_schema_privilege(n.oid, 'USAGE')
        AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND has_table_privilege(c.oid, 'DELETE'))";

const TEMPORARY: &str = "CREATE TEMPORARY TABLE captured_keys
    (erasure text NOT NULL, key_set text NOT NULL, earlier boolean NOT NULL DEFAULT false, keys text[] NOT NULL)
    ON COMMIT DROP";

/// The operator's own table if the role may write to it, because then nothing is written to the catalogue; else a temporary one.
/// The transaction must be rolled back.
pub(super) async fn keys(connection: &mut PgConnection) -> Result<Keys, sqlx::Error> {
    if own(OWN).fetch_one(&mut *connection).await?.try_get(0)? {
        return Ok(Keys::rolled_back(CAPTURED_KEYS));
    }
    own(TEMPORARY).execute(connection).await?;
    Ok(Keys::rolled_back("pg_temp.captured_keys"))
}
