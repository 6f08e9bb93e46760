//! Both ends of what is supported are tested, whatever the machine has.

use std::sync::Arc;

use testbed::{Postgres, PostgresOptions};

use super::readme;
use crate::support::{NEWEST, Need, OLDEST, World, given};

crate::tests![needs Need::Newest; oldest_and_newest];

async fn major(postgres: &Postgres) -> u16 {
    let mut connection = postgres.connect("postgres").await.expect("connected");
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await
        .expect("a version");
    u16::try_from(version / 10_000).expect("a version")
}

async fn oldest_and_newest(world: Arc<World>) {
    assert!(readme().contains(&format!("Tested with PostgreSQL {OLDEST} and {NEWEST} ")), "the README says it");
    // Whoever sets DATABASE_URL has chosen.
    if !given() {
        assert_eq!(major(world.postgres()).await, OLDEST);
    }
    assert_eq!(major(world.newer().await.postgres()).await, NEWEST);
    assert_eq!(major(world.with_postgres(PostgresOptions::default()).await.postgres()).await, OLDEST);
}
