//! What a person would use instead of the operator: SQL written for this schema.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::Scene;

/// Children first, as ordinary foreign keys need it.
const CHILDREN_FIRST: [&str; 6] = [
    "DELETE FROM task_outputs WHERE flow_execution_id IN (SELECT e.id FROM flow_executions e JOIN flows f ON f.id = e.flow_id \
     WHERE f.organization_id = $1::text::uuid)",
    "DELETE FROM task_statuses WHERE flow_execution_id IN (SELECT e.id FROM flow_executions e JOIN flows f ON f.id = e.flow_id \
     WHERE f.organization_id = $1::text::uuid)",
    "DELETE FROM flow_executions WHERE flow_id IN (SELECT id FROM flows WHERE organization_id = $1::text::uuid)",
    "DELETE FROM flows WHERE organization_id = $1::text::uuid",
    "DELETE FROM users WHERE organization_id = $1::text::uuid",
    ORGANIZATION,
];

const ORGANIZATION: &str = "DELETE FROM organizations WHERE id = $1::text::uuid";

/// All foreign keys of the schema, as they are but for `ON DELETE CASCADE`. What is there need not be checked again.
const TO_CASCADE: &str = "
DO $$ DECLARE k record; BEGIN
    FOR k IN SELECT conrelid::regclass AS child, conname, pg_get_constraintdef(oid) AS definition
             FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s ON DELETE CASCADE NOT VALID',
                       k.child, k.conname, k.conname, k.definition);
    END LOOP;
END $$";

/// Deletes a tenant in one transaction. Returns the number of rows.
pub async fn children_first(connection: &mut PgConnection, key: &str) -> u64 {
    run(connection, key, &CHILDREN_FIRST).await
}

/// Deletes the organization, and the foreign keys the rest. Returns the number of rows that the statement says.
pub async fn organization(connection: &mut PgConnection, key: &str) -> u64 {
    run(connection, key, &[ORGANIZATION]).await
}

async fn run(connection: &mut PgConnection, key: &str, statements: &[&'static str]) -> u64 {
    let mut tx = connection.begin().await.expect("a transaction");
    let mut rows = 0;
    for statement in statements {
        let done = sqlx::query(*statement).bind(key).execute(&mut *tx).await.expect("deleted");
        rows += done.rows_affected();
    }
    tx.commit().await.expect("committed");
    rows
}

/// Gives every foreign key of the schema `ON DELETE CASCADE`.
pub async fn cascade_on_delete(scene: &Scene) {
    scene.sql(TO_CASCADE).await;
}

/// A transaction that reads what was there when it began, for as long as the connection lives.
pub async fn old_snapshot(scene: &Scene) -> PgConnection {
    let mut connection = scene.connect().await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM organizations";
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut connection).await.expect("a snapshot");
    connection
}
