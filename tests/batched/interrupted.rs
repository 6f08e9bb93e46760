//! The policy is lowered after rows are gone: the deletion stops, says what is gone and what is left, and waits for a person.

use super::*;

tests![
    a_lowered_policy_stops_and_delete_again_goes_on,
    the_rest_is_kept_for_good_by_uid,
    retain_waits_for_the_database_where_rows_may_be_gone,
    what_is_left_is_counted_once,
    a_database_lost_in_the_first_slice_hides_no_row_that_is_gone,
    an_uninstallation_releases_and_says_what_is_gone,
    an_uninstallation_waits_for_nothing_that_deletions_wait_for,
    before_the_first_page_retain_undoes,
];

async fn warnings(scene: &Scene) -> usize {
    scene.events("acme").await.iter().filter(|(reason, _)| reason == "ErasureInterrupted").count()
}

async fn a_lowered_policy_stops_and_delete_again_goes_on(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let scene = &large.scene;
    let holder = large.held().await;
    let seen = large.lower("Retain").await;
    large.release(holder).await;
    let yaml = seen.yaml();
    assert!(seen.is("Stalled", "True") && !seen.has("Reconciling"), "{yaml}");
    let error = seen.error().expect("an error");
    assert_eq!((error.code, error.rows), (409, Some(BEFORE)), "{yaml}");
    for part in [
        "set to Retain",
        "after 1000 rows (1000 taskOutputs). Left: the organization itself, ",
        "20 users",
        "10 flows",
        "200 flowExecutions",
        "1000 taskStatuses",
    ] {
        assert!(error.message.contains(part), "{part}: {yaml}");
    }
    assert!(seen.deletion().is_some_and(|d| d.policy.as_str() == "Delete" && d.progress.is_some()), "{yaml}");
    let told = scene.warned("acme", "ErasureInterrupted").await;
    assert!(told.contains("1000 rows") && told.contains("keep-remainder"), "{told}");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].policy.as_str()), ("Interrupted", "Retain"), "{ledger:?}");
    assert!(!ledger[0].verified && ledger[0].organizations_deleted == 0, "{ledger:?}");
    assert_eq!(numbers(&ledger[0].steps), [("taskOutputs".into(), BEFORE)]);
    let left: String = scene.value("SELECT detail FROM organization_operator.ledger").await;
    assert!(left.contains("200 flowExecutions"), "{left}");
    assert!(!scene.active(&large.acme).await, "it stays deactivated");

    // Nothing moves, also for a new operator, and nothing is told twice.
    let gone = large.gone().await;
    let Large { scene, acme, rows, others, operator } = large;
    operator.stop().await;
    let operator = launch(&scene).start().await;
    scene.retry("acme", "1").await;
    let reconciled = || async {
        let count = "organization_operator_failures_total{reason=\"ErasureInterrupted\"} ";
        let metrics = operator.metrics().await;
        metrics.lines().any(|line| line.starts_with(count) && !line.ends_with(" 0")).then_some(())
    };
    eventually("the new operator reconciles it", reconciled).await;
    let large = Large { scene, acme, rows, others, operator };
    assert_eq!(large.gone().await, gone, "rows went after the interruption");
    assert_eq!(warnings(&large.scene).await, 1);
    assert_eq!(large.scene.ledger().await.len(), 1);
    assert!(large.scene.get("acme").await.is_some(), "it is not released");

    // Deactivate is no other decision.
    large.scene.admission("acme").await;
    let name = large.scene.name("acme");
    let raise = |policy: &str| json!({"spec": {"deletionPolicy": policy}}).to_string();
    let text = large.scene.refused(&["patch", "organization", &name, "--type=merge", "-p", &raise("Deactivate")]).await;
    assert!(text.contains("may only be lowered"), "{text}");
    large.scene.patch("acme", r#"{"deletionPolicy":"Delete"}"#).await;
    large.erased().await;
    large.stop().await;
}

async fn the_rest_is_kept_for_good_by_uid(world: Arc<World>) {
    let large = Large::ready(world, Variant::Platform).await;
    let scene = &large.scene;
    let holder = large.held().await;
    large.lower("Deactivate").await;
    large.release(holder).await;
    let (name, uid, gone) = (scene.name("acme"), scene.uid("acme").await, large.gone().await);
    let keep = |uid: &str| format!("organization-operator.io/keep-remainder={uid}");
    // That of another object decides nothing.
    scene.ok(&["annotate", "organization", &name, &keep("another")]).await;
    scene.until("acme", "still stopped", |s| s.reason("DeletionBlocked") == "ErasureInterrupted").await;
    scene.ok(&["annotate", "organization", &name, &keep(&uid), "--overwrite"]).await;
    scene.gone("acme").await;
    assert_eq!(large.gone().await, gone, "the rest is kept");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].policy.as_str()), ("Interrupted", "Deactivate"), "{ledger:?}");
    assert!(ledger[0].verified, "{ledger:?}");
    assert_eq!(numbers(&ledger[0].steps), numbers_of(&gone));
    nothing_under_way(scene).await;
    let told = scene.warned("acme", "Interrupted").await;
    for part in ["1000 rows (1000 taskOutputs)", "The rest is kept: the organization itself", "20 users"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!scene.active(&large.acme).await, "it stays deactivated");
    // Whoever wants to use what is left may.
    scene.apply(&scene.org("rest", &large.acme).policy("Retain").state("Active")).await;
    scene.ready("rest").await;
    assert!(scene.active(&large.acme).await);
    large.stop().await;
}

/// `Retain` never waits for the database, but it must not say that everything was kept.
async fn retain_waits_for_the_database_where_rows_may_be_gone(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    seed(&scene, &acme).await;
    let proxy = scene.sql_proxy().await;
    let slow = json!(1);
    let launch = launch(&scene).url(&scene.url_through(&proxy)).configure("database.connectTimeoutSeconds", slow);
    let operator = launch.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut holder = hold(&scene, &acme).await;
    scene.delete("acme").await;
    scene.until("acme", "pages before the held row", partly).await;
    proxy.sever().await;
    scene.until("acme", "no database", |s| s.reason("DeletionBlocked") == "DatabaseUnavailable").await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    let lowered = |s: &Seen| s.is("DeletionBlocked", "True") && s.reason("DeletionBlocked") == "DatabaseUnavailable";
    let seen = scene.until("acme", "the lowered policy is seen, and nothing is released", lowered).await;
    assert!(seen.deletion().is_some_and(|d| d.progress.is_some_and(|p| p.rows_deleted == BEFORE)), "{}", seen.yaml());
    proxy.restore().await.expect("the database is back");
    scene.until("acme", "stopped", |s| s.reason("DeletionBlocked") == "ErasureInterrupted").await;
    assert_eq!(scene.ledger().await[0].outcome, "Interrupted");
    holder.execute("ROLLBACK").await.expect("released");
    operator.stop().await;
}

/// Somebody may decide only after weeks, and each count of a large organization costs others.
async fn what_is_left_is_counted_once(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    seed(&scene, &acme).await;
    let proxy = scene.sql_proxy().await;
    let operator = launch(&scene).url(&scene.url_through(&proxy)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut holder = hold(&scene, &acme).await;
    scene.delete("acme").await;
    scene.until("acme", "pages before the held row", partly).await;
    let interrupted = |s: &Seen| s.reason("DeletionBlocked") == "ErasureInterrupted";
    proxy.record();
    let counts = || proxy.log().iter().filter(|statement| statement.what.contains("\"flow_executions\"")).count();
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    let before = scene.until("acme", "the interruption", interrupted).await.error().expect("an error").message;
    assert!(counts() > 0, "it was counted to say what is left");
    proxy.record();
    for again in ["1", "2"] {
        let failures = async || {
            let metrics = operator.metrics().await;
            let line = metrics.lines().find(|line| line.contains("failures_total{reason=\"ErasureInterrupted\"}"));
            line.map(str::to_owned)
        };
        let seen = failures().await;
        scene.retry("acme", again).await;
        eventually("another reconciliation", || async { (failures().await != seen).then_some(()) }).await;
    }
    assert_eq!(counts(), 0, "{:?}", proxy.log());
    let message = scene.until("acme", "the interruption", interrupted).await.error().expect("an error").message;
    assert_eq!(message, before);
    holder.execute("ROLLBACK").await.expect("released");
    operator.stop().await;
}

/// When the database goes, the operator has not observed the pages yet that it has just deleted.
async fn a_database_lost_in_the_first_slice_hides_no_row_that_is_gone(world: Arc<World>) {
    let scene = super::scene(world, Variant::Ordinary).await;
    let proxy = scene.sql_proxy().await;
    let launch = launch(&scene).url(&scene.url_through(&proxy));
    let launch = launch.configure("database.lockTimeoutSeconds", json!(18));
    let launch = launch.configure("database.connectTimeoutSeconds", json!(1));
    let large = Large::launched(scene, launch, 0).await;
    let scene = &large.scene;
    let holder = hold(scene, &large.acme).await;
    scene.delete("acme").await;
    let waits = format!(
        "SELECT count(*) FROM organization_operator.erasures, pg_stat_activity a, jsonb_array_elements(deleted) d \
         WHERE (d->>'deleted')::bigint = {BEFORE} AND a.wait_event_type = 'Lock' AND a.datname = current_database()"
    );
    eventually("the page with the held row", || async { (scene.value::<i64>(&waits).await > 0).then_some(()) }).await;
    proxy.sever().await;
    let lost = |s: &Seen| s.is("DeletionBlocked", "True") && s.reason("DeletionBlocked") == "DatabaseUnavailable";
    let seen = scene.until("acme", "no database", lost).await;
    let message = seen.message("DeletionBlocked");
    assert!(message.contains("1000 rows had already been deleted in pages"), "{message}");
    let deletion = seen.deletion().expect("a deletion");
    assert_eq!(deletion.progress.map(|p| p.rows_deleted), Some(BEFORE));
    assert_eq!(numbers(&json!(deletion.steps)), [("taskOutputs".into(), BEFORE)]);
    large.release(holder).await;
    proxy.restore().await.expect("the database is back");
    large.erased().await;
    large.stop().await;
}

async fn an_uninstallation_releases_and_says_what_is_gone(world: Arc<World>) {
    const CRD: &str = "organizations.organization-operator.io";
    let world = Arc::new(world.apart().await);
    let large = Large::ready(world, Variant::Ordinary).await;
    let scene = &large.scene;
    let holder = large.held().await;
    large.lower("Retain").await;
    large.release(holder).await;
    let gone = large.gone().await;
    scene.ok(&["annotate", "crd", CRD, "organization-operator.io/allow-crd-deletion=true"]).await;
    scene.ok(&["delete", "crd", CRD, "--timeout=60s"]).await;
    assert_eq!(large.gone().await, gone);
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].outcome, "Interrupted");
    assert!(ledger[0].verified, "{ledger:?}");
    assert_eq!(numbers(&ledger[0].steps), numbers_of(&gone));
    assert!(!scene.active(&large.acme).await);
}

/// Terminating objects are told nothing when the CRD is deleted, and one of them waits for an hour.
async fn an_uninstallation_waits_for_nothing_that_deletions_wait_for(world: Arc<World>) {
    const CRD: &str = "organizations.organization-operator.io";
    let world = Arc::new(world.apart().await);
    let large = Large::with_window(world, Variant::Ordinary, 3600).await;
    let scene = &large.scene;
    scene.delete("acme").await;
    scene.until("acme", "the window", |s| s.reason("Deleting") == "RecoveryWindow").await;
    scene.ok(&["annotate", "crd", CRD, "organization-operator.io/allow-crd-deletion=true"]).await;
    scene.ok(&["delete", "crd", CRD, "--timeout=60s"]).await;
    assert_eq!(large.gone().await, []);
    let ledger = scene.ledger().await;
    assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "Retained"), "{ledger:?}");
    assert!(scene.active(&large.acme).await, "the recovery window is undone");
}

/// The first page waits for a lock: nothing is gone yet.
async fn before_the_first_page_retain_undoes(world: Arc<World>) {
    let large = Large::ready(world, Variant::Ordinary).await;
    let scene = &large.scene;
    let mut holder = scene.connect().await;
    holder.execute("BEGIN; SELECT FROM task_outputs FOR UPDATE").await.expect("locks");
    scene.delete("acme").await;
    scene.until("acme", "the first page waits", |s| s.reason("DeletionBlocked") == "LockTimeout").await;
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("acme").await;
    holder.execute("ROLLBACK").await.expect("released");
    assert_eq!(large.gone().await, [], "nothing is gone");
    assert!(scene.active(&large.acme).await, "it is in use again");
    let ledger = scene.ledger().await;
    assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "Retained"), "{ledger:?}");
    nothing_under_way(scene).await;
    large.stop().await;
}
