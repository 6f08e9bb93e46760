//! What the operator's role lacks.

use std::sync::Arc;

use planner::Kind;

use super::situation::{Situation, prove};
use super::stage::{Stage, plan};
use crate::support::{Need, World};

crate::tests![needs Need::Psql; privileges_are_granted, all_privileges_are_granted_at_once];

async fn privileges_are_granted(world: Arc<World>) {
    let lacks = |name, sql, place| Situation {
        answers: &["GRANT"],
        ..Situation::new(name, sql, Kind::MissingPrivilege, place)
    };
    let situations = [
        lacks("SELECT on a step", "REVOKE SELECT ON flows FROM :role", "public.flows"),
        lacks("DELETE on a step", "REVOKE DELETE ON runs FROM :role", "public.runs"),
        Situation {
            says: "UPDATE (\"is_active\")",
            ..lacks(
                "UPDATE for the activation",
                "REVOKE UPDATE ON organizations FROM :role; GRANT UPDATE (id) ON organizations TO :role",
                "public.organizations",
            )
        },
        Situation {
            says: "UPDATE (\"id\")",
            ..lacks(
                "a lock on parents that have a key",
                "CREATE TABLE notes (author bigint REFERENCES users ON DELETE SET NULL); CREATE INDEX ON notes (author);
                 REVOKE UPDATE ON users FROM :role",
                "public.users",
            )
        },
        Situation {
            steps: &["{entity: notes, table: Other One.No\"tes, organization: o}"],
            says: "USAGE",
            ..lacks(
                "USAGE on a schema",
                "CREATE SCHEMA \"Other One\"; CREATE TABLE \"Other One\".\"No\"\"tes\" (o text REFERENCES organizations);
                 CREATE INDEX ON \"Other One\".\"No\"\"tes\" (o)",
                "Other One.No\"tes",
            )
        },
        lacks(
            "SELECT on a table outside",
            "CREATE TABLE notes (author bigint REFERENCES users); CREATE INDEX ON notes (author); REVOKE ALL ON notes FROM :role",
            "public.notes",
        ),
        lacks(
            "its own ledger",
            "REVOKE INSERT ON organization_operator.ledger FROM :role",
            "organization_operator.ledger",
        ),
        Situation {
            answers: &["ALTER ROLE"],
            ..Situation::new(
                "row-level security",
                "ALTER TABLE flows ENABLE ROW LEVEL SECURITY",
                Kind::RowSecurity,
                "public.flows",
            )
        },
    ];
    prove(&world, &situations, false).await;
}

/// What a blocked plan shows in the status of each object, pasted as it is.
async fn all_privileges_are_granted_at_once(world: Arc<World>) {
    let stage = Stage::new(
        &world,
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :role; REVOKE ALL ON organization_operator.claims FROM :role;
         REVOKE USAGE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO :role; ALTER TABLE users ENABLE ROW LEVEL SECURITY",
    )
    .await;
    let plan = plan(&[], "");
    let failure = stage.erase(&plan).await.expect_err("it may not");
    let remedy = failure.remedy.expect("a remedy");
    let answers = stage.paste(&remedy).await;
    assert!(answers.len() > 10 && answers.iter().all(|a| ["GRANT", "ALTER ROLE"].contains(&a.as_str())), "{remedy}");
    stage.erase(&plan).await.expect("erased");
    stage.close().await;
}
