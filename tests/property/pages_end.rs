//! What ends a deletion in pages while another process commits one more page.

use std::sync::Arc;
use std::time::Duration;

use organization_operator::api::DeletionPolicy;
use organization_operator::cascade::shrink::{Begun, Shrunk};
use organization_operator::domain::decide::KeepBecause;
use organization_operator::domain::{Failure, Subject};
use organization_operator::pace::Next;
use organization_operator::store::Actor;
use planner::CompiledPlan;
use sqlx::{Executor as _, PgConnection, Row as _};

use super::case::Ground;
use crate::support::{World, eventually, subject};
use crate::tests;

tests![
    an_organization_is_not_activated_if_a_page_went_meanwhile,
    what_an_uninstallation_records_has_the_last_page,
    the_end_of_an_erasure_has_what_others_began,
    another_plan_ends_the_slice,
];

const CLUSTER: &str = "property";

const PLAN: &str = "{organization: {table: organizations, key: id, active: {column: is_active, inactive: false}}, \
    steps: [{entity: users, table: users, organization: organization_id}]}";

/// The organization is deactivated, and two of its rows went in a page.
async fn prepared(ground: &Ground) -> CompiledPlan {
    let sql = "CREATE TABLE organizations (id bigint PRIMARY KEY, is_active boolean); \
        CREATE TABLE users (id bigint PRIMARY KEY, organization_id bigint REFERENCES organizations); \
        INSERT INTO organizations VALUES (1, false); INSERT INTO users SELECT i, 1 FROM generate_series(1, 5) i; \
        INSERT INTO organization_operator.claims (organization_key, cluster_id, object_uid, object_name, policy, \
            window_started_at, window_was_active) VALUES ('1', 'property', 'acme', 'acme', 'Delete', now(), true); \
        INSERT INTO organization_operator.erasures (cluster_id, object_uid, organization_key, estimated_rows, plan_digest, \
            deleted, started_at) VALUES ('property', 'acme', '1', 7, 'the plan of the pages', '[]', '2020-01-01T00:00:00Z')";
    ground.prepare(sql, PLAN).await.expect("a plan")
}

/// A page of another process before its COMMIT: it holds what a page locks, and has counted its rows.
async fn page(ground: &Ground) -> PgConnection {
    let mut page = ground.connect().await;
    page.execute(
        "BEGIN; SELECT FROM organization_operator.claims c JOIN organization_operator.erasures e USING (organization_key) \
         FOR UPDATE OF c, e; UPDATE organization_operator.erasures SET deleted = \
         '[{\"entity\": \"users\", \"tables\": [\"users\"], \"found\": 2, \"deleted\": 2}]', \
         written = '[{\"table\": \"log\", \"inserted\": 2, \"updated\": 0, \"deleted\": 0}]'",
    )
    .await
    .expect("a page");
    page
}

/// Runs `end`, and commits the page when it waits for that.
async fn meanwhile<T>(ground: &Ground, end: impl Future<Output = T>) -> T {
    let mut page = page(ground).await;
    let committed = async {
        eventually("somebody waits for the page", || async {
            let waiting = "SELECT count(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (ground.number(waiting).await > 0).then_some(())
        })
        .await;
        page.execute("COMMIT").await.expect("committed");
    };
    tokio::join!(end, committed).0
}

async fn an_organization_is_not_activated_if_a_page_went_meanwhile(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = prepared(&ground).await;
    let subject = subject("acme", "1");
    let actor = Actor { cluster: CLUSTER, subject: &subject, key: "1" };
    let undone = meanwhile(&ground, Box::pin(ground.database().end_window(actor, &compiled))).await;
    assert!(matches!(undone, Ok(false)), "{undone:?}");
    assert_eq!(ground.number("SELECT count(*) FROM organizations WHERE is_active").await, 0, "it is in use again");
}

/// What the ledger says: the outcome, the plan, the year of its start, and the deleted rows and what triggers wrote.
async fn recorded(ground: &Ground) -> (String, String, String, String) {
    let row = sqlx::query(
        "SELECT outcome, plan_digest, date_part('year', started_at)::text, \
         format('%s %s', steps #>> '{0,deleted}', written #>> '{0,inserted}') FROM organization_operator.ledger",
    )
    .fetch_one(&mut ground.connect().await)
    .await
    .expect("one entry");
    (row.get(0), row.get(1), row.get(2), row.get(3))
}

async fn what_an_uninstallation_records_has_the_last_page(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = prepared(&ground).await;
    let lowered = Subject { policy: DeletionPolicy::Retain, ..subject("acme", "1") };
    let retained = ground.database().retain(CLUSTER, &lowered, &KeepBecause::Uninstall, Some(&compiled));
    let ended: Result<_, Failure> = meanwhile(&ground, Box::pin(retained)).await;
    assert_eq!(ended.expect("released").steps()[0].deleted, 2);
    let expected = ["Interrupted", "the plan of the pages", "2020", "2 2"].map(String::from);
    assert_eq!(<[String; 4]>::from(recorded(&ground).await), expected);
    assert_eq!(ground.number("SELECT count(*) FROM organizations WHERE is_active").await, 0);
}

/// The object that ends the erasure is not the one that began it, and may have had no claim before.
async fn the_end_of_an_erasure_has_what_others_began(world: Arc<World>) {
    for (claims, there) in [(true, true), (false, true), (true, false), (false, false)] {
        let ground = Ground::new(&world).await;
        let compiled = prepared(&ground).await;
        page(&ground).await.execute("COMMIT").await.expect("committed");
        let claim = if claims {
            "UPDATE organization_operator.claims SET object_uid = 'next'"
        } else {
            "DELETE FROM organization_operator.claims"
        };
        ground.execute(claim).await;
        let next = subject("next", "1");
        let actor = Actor { cluster: CLUSTER, subject: &next, key: "1" };
        let before = ground.database().observe(CLUSTER, &next, &compiled).await.expect("observed");
        assert_eq!(before.under_way().map(|begun| (begun.uid.as_str(), begun.rows())), Some(("acme", 2)), "{claims}");
        let (outcome, rows) = if there {
            ground.erase_by(ground.database(), "next", "1", &compiled).await.expect("erased");
            ("Erased", "7 ")
        } else {
            // Somebody deleted the rest.
            ground.execute("TRUNCATE organizations, users").await;
            ground.database().not_found(actor, &compiled).await.expect("nothing is left").expect("a proof");
            ("NotFound", "2 2")
        };
        let (recorded, _, year, numbers) = recorded(&ground).await;
        assert_eq!((recorded.as_str(), year.as_str()), (outcome, "2020"), "{claims}");
        assert!(numbers.starts_with(rows), "{claims}: {numbers}");
        for table in ["erasures", "claims"] {
            let left = ground.number(&format!("SELECT count(*) FROM organization_operator.{table}")).await;
            assert_eq!(left, 0, "{claims}: {table}");
        }
    }
}

/// Two processes may have two configurations. Each checks what blocks the deletion by its own, which may take long, so the object
/// is read again before the next page.
async fn another_plan_ends_the_slice(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let compiled = prepared(&ground).await;
    let subject = subject("acme", "1");
    let actor = Actor { cluster: CLUSTER, subject: &subject, key: "1" };
    let shrink = async || {
        let mut asked = 0;
        let pages = ground.database().shrink(
            actor,
            &compiled,
            || Duration::from_millis(100).into(),
            |_, _| {
                asked += 1;
                Next::Continue
            },
        );
        (pages.await.expect("no failure"), asked)
    };
    assert_eq!(ground.number("SELECT count(*) FROM users").await, 5);
    let (ended, asked) = shrink().await;
    assert!(matches!(&ended, Shrunk::More(progress) if progress.pages == 0 && progress.estimated == 7), "{ended:?}");
    assert_eq!((asked, ground.number("SELECT count(*) FROM users").await), (0, 5), "a page of another plan");
    let digest = ground.text("SELECT plan_digest FROM organization_operator.erasures").await;
    assert_ne!(digest, "the plan of the pages");
    let begun = ground.database().begin_shrinking(actor, None, &compiled, 7).await;
    assert!(matches!(begun, Ok(Begun::Ready)), "{begun:?}");
    let (ended, _) = shrink().await;
    assert!(matches!(&ended, Shrunk::Done(_)), "{ended:?}");
}
