//! "Two replicas: one leads, and when it is gone the other does its work." Whatever happens to the leader in the middle of an
//! erasure, it is recorded once, announced once, and nobody else is touched.

mod cut_off;
mod frozen;
mod hold;
pub mod pair;
mod standby;

use std::sync::Arc;
use std::time::{Duration, Instant};

use testbed::Signal;

use crate::support::{Test, World};
use crate::tests;
use hold::Hold;
use pair::{LEASE, Pair};

/// All tests about replicas.
pub fn all() -> Vec<Test> {
    [tests(), cut_off::tests(), frozen::tests(), standby::tests()].concat()
}

tests![
    a_leader_that_is_killed_is_replaced_within_the_lease,
    a_leader_that_stops_hands_over_at_once,
    a_leader_ends_its_work_before_it_hands_over,
];

/// How much longer than planned something may take on a machine that runs eight tests at once.
const SLACK: Duration = Duration::from_secs(5);

async fn a_leader_that_is_killed_is_replaced_within_the_lease(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let hold = Hold::before(&pair.first.sql, "INSERT INTO organization_operator.ledger");
    pair.delete().await;
    hold.reached().await;
    pair.first.operator.signal(Signal::Kill);
    let killed = Instant::now();
    hold.release();
    pair.second.leads().await;
    assert!(killed.elapsed() < LEASE + SLACK, "it took {:?}", killed.elapsed());
    pair.erased_once().await;
    pair.end().await;
}

async fn a_leader_that_stops_hands_over_at_once(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let stopped = Instant::now();
    let exit = pair.first.operator.guard().stop().await.expect("it stops");
    assert!(exit.success(), "{exit}");
    pair.second.leads().await;
    assert!(stopped.elapsed() < LEASE / 2, "it took {:?}", stopped.elapsed());
    let log = pair.first.operator.log();
    assert!(log.contains("the Lease is released"), "{log}");
    pair.delete().await;
    pair.erased_once().await;
    pair.end().await;
}

/// SIGTERM in the middle of an erasure: the leader commits, reports, and only then gives the Lease away.
async fn a_leader_ends_its_work_before_it_hands_over(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let hold = Hold::before(&pair.first.sql, "INSERT INTO organization_operator.ledger");
    pair.delete().await;
    hold.reached().await;
    pair.first.operator.signal(Signal::Terminate);
    // Longer than a candidate waits between two attempts. Renewals go on meanwhile.
    pair.renewals(2).await;
    assert!(!pair.second.operator.leads().await, "the first one still works");
    hold.release();
    let exit = pair.first.operator.guard().wait_exit(crate::support::PATIENCE).await.expect("it ends");
    assert!(exit.success(), "{exit}: {}", pair.first.operator.log());
    assert_eq!(pair.announced_by().await, [pair.first.name()], "who began it ended it");
    pair.erased_once().await;
    pair.second.leads().await;
    pair.end().await;
}
