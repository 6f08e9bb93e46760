//! What the README says is what happens.

pub mod versions;

use std::sync::Arc;

use testbed::{Progress, Tool};

use crate::support::{Need, World, path};

crate::tests![needs Need::Psql; the_files_are_loaded_without_a_word];

fn readme() -> String {
    std::fs::read_to_string(path("README.md")).expect("the README")
}

/// The line of "By hand" that loads the platform, as it stands there, in a shell where `testbed up` has said its lines.
async fn the_files_are_loaded_without_a_word(world: Arc<World>) {
    let readme = readme();
    let by_hand = readme.split("\n## ").find(|part| part.starts_with("By hand\n")).expect("By hand");
    let lines: Vec<&str> = by_hand.lines().filter(|line| line.contains("psql ")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let database = format!("by_hand_{}", world.number());
    world.postgres().create_database(&database).await.expect("a database");
    let output = tokio::process::Command::new("bash")
        .args(["-c", lines[0]])
        .current_dir(path(""))
        .envs(Tool::Psql.environment(&Progress::default()).await.expect("psql"))
        .env("DATABASE_URL", world.postgres().admin_url(&database))
        .kill_on_drop(true)
        .output()
        .await
        .expect("bash runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success());
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    let mut connection = world.postgres().connect(&database).await.expect("connected");
    let loaded: (i64, i64, bool) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM organizations), (SELECT count(*) FROM invoices), \
         has_table_privilege('organization_operator', 'task_outputs', 'DELETE')",
    )
    .fetch_one(&mut connection)
    .await
    .expect("loaded");
    assert_eq!(loaded, (4, 3, true));
    drop(connection);
    world.postgres().drop_database(&database).await.expect("dropped");
}
