//! The leader's process is frozen in the middle of an erasure (SIGSTOP; a node that hangs), the Lease expires, the other replica
//! does the work, and then the first one goes on (SIGCONT).

use std::sync::Arc;

use serde_json::json;
use testbed::Signal;
use testbed::proxy::{Fault, Moment};

use super::SLACK;
use super::hold::Hold;
use super::pair::{LEASE, Pair};
use crate::support::{PATIENCE, Variant, World, eventually};
use crate::tests;

tests![
    frozen_between_two_statements,
    frozen_between_two_pages,
    frozen_while_the_server_works_and_thawed_before_it_is_done,
    frozen_after_its_commit,
];

/// The frozen leader is thawed. It ends, says why, and has written nothing to the API server.
async fn thawed(pair: &Pair) {
    let log = pair.first.operator.guard().log().len();
    pair.first.api.record();
    pair.first.operator.signal(Signal::Continue);
    let exit = pair.first.operator.guard().wait_exit(PATIENCE).await.expect("it ends");
    assert_eq!(exit.code(), Some(1), "{exit}");
    assert_eq!(pair.first.api.log().iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    let said = pair.first.operator.guard().log().split_off(log);
    assert!(said.contains("leads no longer"), "{said}");
}

/// The leader is frozen, and the other one leads in time.
async fn replaced(pair: &Pair) {
    pair.first.operator.guard().pause().expect("it is frozen");
    let frozen = std::time::Instant::now();
    pair.second.leads().await;
    assert!(frozen.elapsed() < LEASE + SLACK, "it took {:?}", frozen.elapsed());
}

/// The server rolls the frozen one's transaction back before the other one leads: it does not even wait.
async fn frozen_between_two_statements(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let hold = Hold::before(&pair.first.sql, "INSERT INTO organization_operator.ledger");
    pair.delete().await;
    hold.reached().await;
    replaced(&pair).await;
    pair.erased_once().await;
    assert_eq!(pair.announced_by().await, ["second"]);
    // What the frozen one had sent comes too late.
    hold.release();
    thawed(&pair).await;
    pair.erased_once().await;
    pair.end().await;
}

async fn frozen_between_two_pages(world: Arc<World>) {
    let paged = |launch: crate::support::Launch| launch.configure("cascade", json!({"batch": {"rows": 1}}));
    let pair = Pair::start_with(world, Variant::Ordinary, paged).await;
    let hold = Hold::before(&pair.first.sql, "UPDATE organization_operator.erasures");
    pair.delete().await;
    hold.reached().await;
    replaced(&pair).await;
    pair.erased_once().await;
    hold.release();
    thawed(&pair).await;
    pair.erased_once().await;
    pair.end().await;
}

/// The server is still at work for the frozen one when the other one leads: its locks keep the other one away. The frozen one
/// is thawed, has the answer, and could commit. It does not: the other one erases.
async fn frozen_while_the_server_works_and_thawed_before_it_is_done(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let scene = &pair.scene;
    let mut blocker = scene.connect().await;
    for sql in ["BEGIN", "SELECT FROM task_outputs FOR UPDATE"] {
        sqlx::query(sql).execute(&mut blocker).await.expect("locked");
    }
    pair.delete().await;
    eventually("a session that waits for the lock", || async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        (scene.value::<i64>(waiting).await > 0).then_some(())
    })
    .await;
    replaced(&pair).await;
    pair.first.api.record();
    pair.first.sql.count_only(|statement| statement == "COMMIT");
    pair.first.sql.record();
    pair.first.operator.signal(Signal::Continue);
    drop(blocker);
    let exit = pair.first.operator.guard().wait_exit(PATIENCE).await.expect("it ends");
    assert_eq!(exit.code(), Some(1), "{exit}");
    assert_eq!(pair.first.sql.count(), 0, "the first one committed after its time");
    assert_eq!(pair.first.api.count(), 0, "{:?}", pair.first.api.log());
    pair.erased_once().await;
    assert_eq!(pair.announced_by().await, ["second"]);
    pair.end().await;
}

/// The erasure is committed, and the leader does not know: the other one finds the ledger row, and erases nothing again.
async fn frozen_after_its_commit(world: Arc<World>) {
    let pair = Pair::start(world).await;
    let record = Hold::before(&pair.first.sql, "INSERT INTO organization_operator.ledger");
    pair.delete().await;
    record.reached().await;
    pair.first.sql.count_only(|statement| statement == "COMMIT");
    let first = pair.first.operator.clone();
    pair.first.sql.arm(Fault { ordinal: 1, moment: Moment::After }, move || {
        first.guard().pause().expect("it is frozen");
    });
    record.release();
    pair.first.sql.wait_fired(PATIENCE).await.expect("the commit");
    assert_eq!(pair.scene.ledger().await.len(), 1, "it is committed");
    replaced(&pair).await;
    pair.erased_once().await;
    assert_eq!(pair.announced_by().await, ["second"]);
    thawed(&pair).await;
    pair.erased_once().await;
    pair.end().await;
}
