//! What happens before the first row is gone.

use k8s_openapi::jiff::{Timestamp, ToSpan as _};
use sqlx::Executor as _;
use testbed::Signal;
use testbed::proxy::SqlProxy;

use super::{Arc, Large, Scene, Seen, Variant, World, json, launch};
use crate::support::{PATIENCE, eventually};
use crate::tests;

tests![
    a_large_organization_is_not_rehearsed_in_one_transaction,
    what_takes_too_long_to_count_goes_in_pages,
    what_takes_too_long_to_count_is_handed_over_uncounted,
    what_blocks_is_not_checked_again_before_each_page_that_finds_nothing,
    retain_waits_for_nothing_while_the_first_page_does,
];

/// The beginning of the statement that records that pages begin, after the check of everything that blocks.
const BEGINS: &str = "INSERT INTO organization_operator.erasures";

/// How often everything that blocks was checked.
fn checks(proxy: &SqlProxy) -> usize {
    proxy.log().iter().filter(|passed| passed.what.contains(BEGINS)).count()
}

/// A large tenant whose operator connects through a proxy.
async fn behind_a_proxy(world: Arc<World>) -> (Large, SqlProxy) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let proxy = scene.sql_proxy().await;
    let launch = launch(&scene).url(&scene.url_through(&proxy));
    (Large::launched(scene, launch, 0).await, proxy)
}

/// What blocked an attempt for long is gone. The next attempt must not try all deletes at once to find out what else blocks.
async fn a_large_organization_is_not_rehearsed_in_one_transaction(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let (scene, acme) = (&large.scene, &large.acme);
    // A sequence also counts deletes that are rolled back.
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{acme}'); \
             GRANT SELECT ON contracts TO organization_operator; CREATE SEQUENCE deletes; \
             CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
             $$ BEGIN PERFORM nextval('public.deletes'); RETURN OLD; END $$; \
             CREATE TRIGGER counted BEFORE DELETE ON task_outputs FOR EACH ROW EXECUTE FUNCTION counted()"
        ))
        .await;
    scene.delete("acme").await;
    scene.until("acme", "the blocker", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    scene.sql("DELETE FROM contracts").await;
    large.erased().await;
    assert_eq!(scene.value::<i64>("SELECT last_value FROM deletes").await, super::BEFORE, "rows went more than once");
    large.stop().await;
}

/// Pages are made for it.
async fn what_takes_too_long_to_count_goes_in_pages(world: Arc<World>) {
    // The server stops the statement as it does when its time is over.
    const CANCEL: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND wait_event_type = 'Lock' AND query LIKE 'SELECT count(*) FROM (SELECT%task_outputs%' AND pg_cancel_backend(pid)";
    let (large, proxy) = behind_a_proxy(world).await;
    let scene = &large.scene;
    let mut holder = scene.connect().await;
    holder.execute("BEGIN; LOCK TABLE task_outputs").await.expect("a lock");
    proxy.record();
    scene.delete("acme").await;
    eventually("a count that takes too long", || async { (scene.value::<i64>(CANCEL).await > 0).then_some(()) }).await;
    holder.execute("ROLLBACK").await.expect("released");
    large.erased().await;
    assert!(checks(&proxy) > 0, "it did not go in pages");
    let metrics = large.operator.metrics().await;
    let failed = metrics.lines().find(|line| line.contains("failures_total{reason=\"StatementTimeout\"}"));
    assert!(failed.is_none_or(|line| line.ends_with(" 0")), "{failed:?}");
    large.stop().await;
}

async fn what_takes_too_long_to_count_is_handed_over_uncounted(world: Arc<World>) {
    let (large, proxy) = behind_a_proxy(world).await;
    let scene = &large.scene;
    scene.apply(&scene.org("newer", &large.acme).policy("Retain")).await;
    scene.until("newer", "refused", |s: &Seen| s.reason("Ready") == "OrganizationClaimed").await;
    proxy.record();
    scene.delete("acme").await;
    scene.gone("acme").await;
    scene.event("acme", "Transferred").await;
    let counted = |what: &str| what.starts_with("SELECT count(*) FROM (SELECT") && what.contains("LIMIT");
    let before_the_transfer = proxy.log().into_iter().map(|passed| passed.what);
    let mut before_the_transfer =
        before_the_transfer.take_while(|what| !what.contains("UPDATE organization_operator.claims"));
    assert!(!before_the_transfer.any(|what| counted(&what)), "rows were counted for nothing");
    assert_eq!(large.gone().await, []);
    large.stop().await;
}

/// The first rows of the table are another tenant's: the first pages delete nothing.
async fn what_blocks_is_not_checked_again_before_each_page_that_finds_nothing(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    scene.seed_sized(&scene.key(98), 20, 10, 20, 50).await;
    let proxy = scene.sql_proxy().await;
    let behind = |scene: &Scene| {
        let slow = launch(scene).url(&scene.url_through(&proxy));
        slow.configure("database.lockTimeoutSeconds", json!(18))
    };
    let launch = behind(&scene);
    let large = Large::launched(scene, launch, 0).await;
    let mut holder = large.scene.connect().await;
    holder.execute("BEGIN; SELECT FROM task_outputs FOR UPDATE").await.expect("locks");
    proxy.record();
    large.scene.delete("acme").await;
    let scene = &large.scene;
    let moved = "SELECT count(*) FROM organization_operator.erasures WHERE paged_table IS NOT NULL AND NOT EXISTS \
        (SELECT FROM jsonb_array_elements(deleted) d WHERE (d->>'deleted')::bigint > 0)";
    eventually("a page that found nothing", || async { (scene.value::<i64>(moved).await == 1).then_some(()) }).await;
    assert_eq!(checks(&proxy), 1, "before the first page");
    large.operator.signal(Signal::Kill);
    assert!(large.operator.guard().wait_exit(PATIENCE).await.is_some(), "it was not killed");
    holder.execute("ROLLBACK").await.expect("released");
    let Large { scene, acme, rows, others, .. } = large;
    proxy.record();
    let operator = behind(&scene).start().await;
    let large = Large { scene, acme, rows, others, operator };
    large.erased().await;
    assert_eq!(checks(&proxy), 0, "and not again");
    large.stop().await;
}

/// Nothing can be gone, so the database need not be asked.
async fn retain_waits_for_nothing_while_the_first_page_does(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let proxy = scene.sql_proxy().await;
    let of_day = |time: Timestamp| time.to_string()[11..16].to_owned();
    let hours = format!("{}-{}", of_day(Timestamp::now() + 2.hours()), of_day(Timestamp::now() + 3.hours()));
    let closed = json!({"batch": {"rows": 1000, "hours": hours}});
    let launch = scene.operator().configure("cascade", closed).url(&scene.url_through(&proxy));
    let launch = launch.configure("database.connectTimeoutSeconds", json!(1));
    let large = Large::launched(scene, launch, 0).await;
    let scene = &large.scene;
    scene.delete("acme").await;
    let waits = |s: &Seen| s.deletion().and_then(|d| d.progress).is_some_and(|p| p.waiting_for.is_some());
    scene.until("acme", "the hours are waited for", waits).await;
    proxy.sever().await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    let told = scene.event("acme", "Retained").await;
    assert!(told.contains("may still be deactivated") && !told.contains("pages"), "{told}");
    assert_eq!(large.gone().await, []);
    proxy.restore().await.expect("the database is back");
    large.stop().await;
}
