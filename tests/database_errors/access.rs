//! Rights, names and credentials.

use std::sync::Arc;

use organization_operator::api::Reason;
use serde_json::json;

use super::case::{Case, run};
use super::stage::{Expect, Stage, Via, launch, scene};
use crate::database_errors::on;
use crate::support::{ROLE, Test, Variant, World, eventually};

pub fn tests() -> Vec<Test> {
    on![(Via::Default, "default"), (Via::Eighteen, "postgresql_18");
        found_by_the_server, a_rotated_password,
    ]
}

/// The plan was compiled before, and is not compiled again in time: the server itself refuses. The message is the one that
/// a plan compiled now would give.
async fn found_by_the_server(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    let slow = json!({"initialSeconds": 3, "maxSeconds": 3});
    let launch = launch(&scene, via).await.configure("pollIntervalSeconds", json!(3600)).configure("retry.slow", slow);
    let mut stage = Stage::with(scene, launch).await;
    for case in [
        Case::new(
            "a privilege that was revoked",
            Reason::PermissionDenied,
            "REVOKE DELETE ON task_outputs FROM organization_operator",
            "",
        )
        .state("42501")
        .at("", "public.task_outputs")
        .says(&["lacks the privilege DELETE on the table `public.task_outputs`"])
        .remedy(&["GRANT DELETE ON \"public\".\"task_outputs\" TO \"organization_operator\";"]),
        Case::new(
            "rows that row-level security hides",
            Reason::PermissionDenied,
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY hidden ON users USING (false)",
            "ALTER TABLE users DISABLE ROW LEVEL SECURITY",
        )
        .state("42501")
        .at("", "public.users")
        .says(&["row-level security of the table `public.users`"])
        .remedy(&["BYPASSRLS"]),
        Case::new(
            "a table that is gone",
            Reason::SchemaMismatch,
            "ALTER TABLE task_outputs RENAME TO results",
            "ALTER TABLE results RENAME TO task_outputs",
        )
        .state("42P01")
        .at("", "task_outputs")
        .says(&["names the table `task_outputs`, which is not in the database"])
        .remedy(&["plan (cascade)"]),
        Case::new(
            "a column that is gone",
            Reason::SchemaMismatch,
            "ALTER TABLE task_outputs RENAME flow_execution_id TO execution",
            "ALTER TABLE task_outputs RENAME execution TO flow_execution_id",
        )
        .state("42703")
        .says(&["names the column `flow_execution_id`"])
        .remedy(&["plan (cascade)"]),
    ] {
        run(&mut stage, via, &case).await;
    }
    stage.close().await;
}

async fn a_rotated_password(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    let role = format!("rotated_{}", scene.database);
    let (old, new) = ("canary-password-old", "canary-password-new");
    scene.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{old}' IN ROLE {ROLE}")).await;
    let url = |password: &str| scene.world.postgres().url(&role, password, &scene.database);
    let file = scene.file("url", &url(old));
    let launch = launch(&scene, via).await.url_file(&file);
    let (right, scene) = (url(new), scene);
    let mut stage = Stage::with(scene, launch).await;
    let doomed = stage.doomed(0).await;
    stage.scene.sql(&format!("ALTER ROLE {role} PASSWORD '{new}'")).await;
    disconnect(&stage).await;
    stage.delete(&doomed).await;
    let expect = Expect {
        sql_state: Some("28P01"),
        says: &["refuses the operator's user or password"],
        remedy: &["into the operator's database URL", "again by itself"],
        ..Expect::new(Reason::AuthenticationFailed)
    };
    stage.blocked(&doomed, &expect).await;
    std::fs::write(&file, right).expect("a file");
    stage.healed(&doomed).await;
    let scene = Arc::new(stage.close().await);
    eventually("the role to be free", || async {
        let drop = format!("REASSIGN OWNED BY {role} TO {ROLE}; DROP ROLE {role}");
        scene.world.postgres().run_sql(&scene.database, &drop).await.ok()
    })
    .await;
}

/// Ends the operator's sessions, so that it has to connect again.
pub async fn disconnect(stage: &Stage) {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'organization-operator'";
    let _: i64 = stage.scene.value(end).await;
}
