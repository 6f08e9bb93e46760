//! Through `PgBouncer` in transaction mode: each transaction may come to another session of the server.

use std::sync::Arc;

use super::case::run;
use super::schema::{every_action, raising};
use super::sessions::a_lock_that_is_held;
use super::stage::{Stage, Via};
use crate::database_errors::on;
use crate::support::{Test, Variant, World};

pub fn tests() -> Vec<Test> {
    on![(Via::Pooler, "pgbouncer"); deletions, activation]
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
