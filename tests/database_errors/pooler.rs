//! Through `PgBouncer` in transaction mode: each transaction may come to another session of the server.

use std::sync::Arc;

use super::case::run;
use super::schema::{every_action, raising};
use super::sessions::a_lock_that_is_held;
use super::stage::{Stage, Via, scene};
use crate::database_errors::on;
use crate::support::{PASSWORD, ROLE, Test, Variant, World, binary};

pub fn tests() -> Vec<Test> {
    on![(Via::Pooler, "pgbouncer"); deletions, activation, migrations]
}

async fn deletions(world: Arc<World>, via: Via) {
    let mut stage = Stage::open(world, via, Variant::Ordinary).await;
    let healthy = stage.doomed(0).await;
    stage.delete(&healthy).await;
    stage.healed(&healthy).await;
    run(&mut stage, via, &every_action()).await;
    run(&mut stage, via, &raising()).await;
    a_lock_that_is_held(&mut stage).await;
    stage.close().await;
}

async fn activation(world: Arc<World>, via: Via) {
    // Foreign keys that are checked at COMMIT.
    let mut stage = Stage::open(world, via, Variant::Platform).await;
    let doomed = stage.doomed(0).await;
    for (state, active) in [("Deactivated", false), ("Active", true), ("Deactivated", false)] {
        stage.scene.patch(&doomed.name, &format!(r#"{{"state":"{state}"}}"#)).await;
        stage.scene.until(&doomed.name, state, |s| s.is("Ready", "True")).await;
        assert_eq!(stage.scene.active(&doomed.key).await, active);
    }
    stage.delete(&doomed).await;
    stage.healed(&doomed).await;

    let kept = stage.doomed(0).await;
    stage.scene.patch(&kept.name, r#"{"deletionPolicy":"Deactivate"}"#).await;
    stage.delete(&kept).await;
    stage.scene.gone(&kept.name).await;
    assert!(!stage.scene.active(&kept.key).await);
    stage.close().await;
}

/// A lock of the session would stay with the session of the server, and the next migration would wait for whoever has it.
async fn migrations(world: Arc<World>, via: Via) {
    let scene = scene(world, via, Variant::Ordinary).await;
    scene.sql("DROP SCHEMA organization_operator CASCADE").await;
    let url = scene.world.postgres().url_through(scene.world.pooler().await.port(), ROLE, PASSWORD, &scene.database);
    let migrate = async || {
        let mut command = tokio::process::Command::new(binary());
        command.args(["migrate", "--database-url", &url]).env_remove("CONFIG").env_remove("DATABASE_URL");
        let output = command.kill_on_drop(true).output().await.expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

    // The role may not create the schema.
    for _ in 0..2 {
        let (done, said) = migrate().await;
        assert!(!done && said.contains("GRANT CREATE ON DATABASE"), "{said}");
        assert_eq!(scene.value::<i64>(locks).await, 0, "a migration that failed holds nothing");
    }
    scene.sql(&format!("CREATE SCHEMA organization_operator AUTHORIZATION {ROLE}")).await;
    let all = tokio::join!(migrate(), migrate(), migrate());
    for (done, said) in [&all.0, &all.1, &all.2] {
        assert!(*done, "{said}");
    }
    let said = [all.0.1, all.1.1, all.2.1];
    assert_eq!(said.iter().filter(|s| s.contains("created or updated")).count(), 1, "{said:?}");
    let (done, said) = migrate().await;
    assert!(done && said.contains("up to date"), "{said}");
    assert_eq!(scene.value::<i64>(locks).await, 0);
}
