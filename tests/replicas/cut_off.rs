//! The leader is cut off from the API server only, or from the database only.

use std::sync::Arc;

use super::hold::Hold;
use super::pair::Pair;
use crate::support::{PATIENCE, World, eventually};
use crate::tests;

tests![from_the_api_server_only, from_the_database_only];

/// It cannot know whether another one leads by now, so it ends, and what it had begun is rolled back. The kubelet starts it
/// again, and it stands by.
async fn from_the_api_server_only(world: Arc<World>) {
    let mut pair = Pair::start(world).await;
    let hold = Hold::before(&pair.first.sql, "INSERT INTO organization_operator.ledger");
    pair.delete().await;
    hold.reached().await;
    pair.first.api.sever().await;
    let exit = pair.first.operator.guard().wait_exit(PATIENCE).await.expect("it ends");
    assert_eq!(exit.code(), Some(1), "{exit}");
    let log = pair.first.operator.log();
    assert!(log.contains("could not renew the Lease replicas/organization-operator-"), "{log}");
    assert!(!pair.second.operator.leads().await, "the first one ended before anybody else began");
    hold.release();
    pair.second.leads().await;
    pair.erased_once().await;
    assert_eq!(pair.announced_by().await, ["second"]);
    pair.first.api.restore().await.expect("the network is back");
    let scene = pair.scene.clone();
    pair.first.restart(&scene).await;
    assert!(!pair.first.operator.leads().await, "it stands by");
    assert!(pair.second.operator.leads().await);
    pair.end().await;
}

/// It stays the leader and says so: the other one cannot know better, and `Retain` needs no database.
async fn from_the_database_only(world: Arc<World>) {
    let pair = Pair::start(world).await;
    pair.first.sql.sever().await;
    pair.delete().await;
    let blocked = |seen: &crate::support::Seen| seen.reason("DeletionBlocked") == "DatabaseUnavailable";
    pair.scene.until("acme", "DatabaseUnavailable", blocked).await;
    eventually("the leader is not ready", || async {
        let (status, text) = pair.first.operator.fetch("/readyz").await?;
        (status == 503 && text.contains("the database cannot be used")).then_some(())
    })
    .await;
    // Longer than a Lease.
    pair.renewals(10).await;
    assert!(pair.first.operator.leads().await && !pair.second.operator.leads().await);
    pair.first.sql.restore().await.expect("the network is back");
    pair.erased_once().await;
    assert_eq!(pair.announced_by().await, ["first"]);
    pair.end().await;
}
