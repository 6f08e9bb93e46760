//! Privileges on the operator's own schema.

use sqlx::{PgConnection, Row as _};

use crate::db::statement::own;
use planner::catalog::OwnPrivilege;

/// Privileges that the operator needs, as the script of `migrate --print` grants them, and does not have. A privilege on a
/// table is of no use without USAGE on its schema, and is asked for on its own.
const MISSING: &str = "SELECT n.nspname::text AS schema, NULL AS name, 'USAGE' AS privilege
FROM pg_namespace n
WHERE n.nspname = 'organization_operator' AND NOT has_schema_privilege(n.oid, 'USAGE')
UNION ALL
SELECT n.nspname::text, t.name, t.privilege
FROM (VALUES
        ('installation', 'SELECT'),
        ('migrations', 'SELECT'),
        ('standbys', 'SELECT'), ('standbys', 'INSERT'),
        ('ledger', 'SELECT'), ('ledger', 'INSERT'), ('ledger', 'UPDATE'),
        ('claims', 'SELECT'), ('claims', 'INSERT'), ('claims', 'UPDATE'), ('claims', 'DELETE'),
        ('captured_keys', 'SELECT'), ('captured_keys', 'INSERT'), ('captured_keys', 'UPDATE'),
        ('captured_keys', 'DELETE'),
        ('captured_tids', 'SELECT'), ('captured_tids', 'INSERT'), ('captured_tids', 'DELETE'),
        ('earlier_captured_keys', 'SELECT'), ('earlier_captured_keys', 'DELETE'),
        ('erasures', 'SELECT'), ('erasures', 'INSERT'), ('erasures', 'UPDATE'), ('erasures', 'DELETE')
    ) t(name, privilege)
    JOIN pg_namespace n ON n.nspname = 'organization_operator'
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name
WHERE NOT has_table_privilege(c.oid, t.privilege)
ORDER BY name NULLS FIRST, privilege";

/// What the operator's role lacks on the operator's own schema, so that it is known before anybody deletes.
pub(super) async fn missing_privileges(connection: &mut PgConnection) -> Result<Vec<OwnPrivilege>, sqlx::Error> {
    own(MISSING)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(OwnPrivilege {
                privilege: row.try_get("privilege")?,
                schema: row.try_get("schema")?,
                table: row.try_get("name")?,
            })
        })
        .collect()
}
