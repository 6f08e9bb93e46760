//! "Whatever is written while a tenant is being deleted: nothing of it stays, and nobody else loses a row."
//!
//! The one limit, and no deletion can lift it: where a table is not protected by a foreign key, a row that is
//! written after the last count stays. That count takes place when `drainSeconds` have passed in which nothing appeared;
//! a platform without foreign keys must stop writing for an organization that is gone within that time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::sync::Mutex;

use crate::support::{Scene, Variant, World, eventually};
use crate::tests;

tests![
    writes_before_every_statement_platform,
    writes_before_every_statement_ordinary,
    writes_before_every_statement_cascade,
    writes_before_every_statement_without_keys,
    a_row_in_flight_is_waited_for,
    rows_of_an_organization_that_is_gone_are_erased,
    a_row_that_appears_while_nothing_is_found_does_not_stay,
    writers_that_do_not_stop,
    a_row_that_moves_away_meanwhile_survives,
    a_parent_that_moves_away_meanwhile_keeps_its_children,
    a_late_row_is_not_orphaned_by_set_null,
    a_trigger_that_suppresses_deletes_is_content_changed,
    a_trigger_that_writes_rows_again_is_content_changed,
    a_lock_of_another_session_is_a_lock_timeout,
    two_operators_leave_one_record,
];

/// Statements after the last count of the tables that are not protected by a foreign key: see above.
const AFTER_THE_LAST_COUNT: [&str; 2] =
    ["UPDATE organization_operator.ledger", "DELETE FROM organization_operator.captured_keys"];

async fn writes_before_every_statement_platform(world: Arc<World>) {
    writes_before_every_statement(world, Variant::Platform, 2).await;
}

async fn writes_before_every_statement_ordinary(world: Arc<World>) {
    writes_before_every_statement(world, Variant::Ordinary, 2).await;
}

async fn writes_before_every_statement_cascade(world: Arc<World>) {
    writes_before_every_statement(world, Variant::Cascade, 2).await;
}

/// Each statement runs in up to four transactions here: deactivate, erase, count again, count once more.
async fn writes_before_every_statement_without_keys(world: Arc<World>) {
    writes_before_every_statement(world, Variant::NoKeys, 4).await;
}

/// One deletion, with every kind of write right before each of its statements, `times` times for each.
async fn writes_before_every_statement(world: Arc<World>, variant: Variant, times: usize) {
    let scene = Scene::new(world, variant).await;
    let writer = Arc::new(Writer::new(&scene).await);
    let others = writer.others(&scene).await;
    let proxy = scene.sql_proxy().await;
    let operator = scene
        .operator()
        .configure("pollIntervalSeconds", serde_json::json!(3600))
        .url(&scene.url_through(&proxy))
        .start()
        .await;
    scene.apply(&scene.org("acme", &writer.tenant).policy("Delete")).await;
    scene.ready("acme").await;

    let struck = Arc::new(AtomicUsize::new(0));
    let seen = std::sync::Mutex::new((HashMap::<String, usize>::new(), false));
    let (writing, count) = (writer.clone(), struck.clone());
    proxy.count_only(move |statement| {
        let strikes = {
            let mut seen = seen.lock().expect("a lock");
            if statement.starts_with("BEGIN") {
                seen.1 = false;
            }
            seen.1 |= AFTER_THE_LAST_COUNT.iter().any(|s| statement.starts_with(s));
            let hits = seen.0.entry(statement.to_owned()).or_default();
            *hits += 1;
            *hits <= times && !seen.1
        };
        if strikes {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(writing.write_everything()));
        }
        true
    });
    proxy.record();
    scene.delete("acme").await;
    scene.gone("acme").await;

    let struck = struck.load(Ordering::Relaxed);
    assert!(struck >= 20, "{variant:?}: only {struck} statements were preceded by writes");
    writer.check(&scene, &others, &format!("{variant:?}")).await;
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].verified), ("Erased", true));
    operator.stop().await;
}

/// A transaction that has written a row holds a lock on the organization it refers to. The cascade waits for it before
/// its first query, and so finds the row.
async fn a_row_in_flight_is_waited_for(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Ordinary, Variant::Cascade] {
        let scene = Scene::new(world.clone(), variant).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;
        let mut session = scene.connect().await;
        let mut writing = session.begin().await.expect("a transaction");
        let sql = format!("INSERT INTO users (organization_id, email) VALUES ('{acme}', 'in flight')");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *writing).await.expect("a row");
        scene.delete("acme").await;
        waits_for_a_lock(&scene).await;
        writing.commit().await.expect("committed");
        scene.gone("acme").await;
        assert_eq!(scene.total(&acme).await, 0, "{variant:?}");
        let events = scene.events("acme").await;
        assert!(
            events.iter().all(|(reason, _)| reason != "ContentChanged"),
            "{variant:?}: an attempt in vain: {events:?}"
        );
        operator.stop().await;
    }
}

/// Somebody else deleted the organization's own row, but not the rows of tables without a foreign key to it.
async fn rows_of_an_organization_that_is_gone_are_erased(world: Arc<World>) {
    let scene = Scene::new(world, Variant::NoKeys).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.sql(&format!("DELETE FROM organizations WHERE id = '{acme}'")).await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
    let ledger = scene.ledger().await;
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].organizations_deleted), ("Erased", 0), "{ledger:?}");
    operator.stop().await;
}

/// "Not found" counts every table again, under the locks.
async fn a_row_that_appears_while_nothing_is_found_does_not_stay(world: Arc<World>) {
    let scene = Scene::new(world, Variant::NoKeys).await;
    let acme = scene.key(1);
    let proxy = scene.sql_proxy().await;
    let session = Mutex::new(scene.connect().await);
    let fired = Arc::new(AtomicBool::new(false));
    let once = fired.clone();
    let late = format!("INSERT INTO users (organization_id, email) VALUES ('{acme}', 'late')");
    proxy.count_only(move |statement| {
        let locks = statement.contains("FROM \"public\".\"organizations\"") && statement.ends_with("FOR UPDATE");
        if locks && !once.swap(true, Ordering::Relaxed) {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let mut session = session.lock().await;
                    sqlx::query(AssertSqlSafe(late.clone())).execute(&mut *session).await.expect("a late row");
                });
            });
        }
        true
    });
    let operator = scene.operator().url(&scene.url_through(&proxy)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.until("acme", "OrganizationNotFound", |s| s.reason("Ready") == "OrganizationNotFound").await;
    proxy.record();
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert!(fired.load(Ordering::Relaxed), "it never appeared");
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.ledger().await[0].outcome, "Erased");
    operator.stop().await;
}

/// Several sessions write all the time, and stop only when the object or, without keys, the organization is gone.
async fn writers_that_do_not_stop(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Ordinary, Variant::Cascade, Variant::NoKeys] {
        let scene = Arc::new(Scene::new(world.clone(), variant).await);
        let writer = Arc::new(Writer::new(&scene).await);
        let others = writer.others(&scene).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &writer.tenant).policy("Delete")).await;
        scene.ready("acme").await;

        let stop = Arc::new(AtomicBool::new(false));
        let mut sessions = tokio::task::JoinSet::new();
        for session in 0..4 {
            let (scene, stop) = (scene.clone(), stop.clone());
            let mut writer = Writer::again(&scene, &writer).await;
            sessions.spawn(async move {
                // Writers that never pause could keep an ordinary schema's cascade from ever finding a quiet moment; that
                // is what deactivating first is for. These give up after a while.
                let end = Instant::now() + Duration::from_secs(5);
                let mut turn = session;
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    if variant == Variant::NoKeys && writer.organization_is_gone().await {
                        break;
                    }
                    writer.write(turn).await;
                    turn += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                writer
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        scene.delete("acme").await;
        scene.gone("acme").await;
        stop.store(true, Ordering::Relaxed);
        while let Some(session) = sessions.join_next().await {
            let session = session.expect("a session");
            assert!(session.written() > 0, "{variant:?}: a session wrote nothing");
            session.check(&scene, &others, &format!("{variant:?}")).await;
        }
        operator.stop().await;
    }
}

/// Invariant 2 in the case that popular batch deletes get wrong: the row was the tenant's when the statement began, and is
/// another one's when the lock is had.
async fn a_row_that_moves_away_meanwhile_survives(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Ordinary, Variant::Cascade, Variant::NoKeys] {
        let scene = Scene::new(world.clone(), variant).await;
        let (acme, globex) = (scene.key(1), scene.key(2));
        scene.seed(&acme).await;
        scene.seed(&globex).await;
        scene.sql(&format!("INSERT INTO users (organization_id, email) VALUES ('{acme}', 'mover')")).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;

        let mut session = scene.connect().await;
        let mut moving = session.begin().await.expect("a transaction");
        let sql = format!("UPDATE users SET organization_id = '{globex}' WHERE email = 'mover'");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *moving).await.expect("it moves");
        scene.delete("acme").await;
        waits_for_a_lock(&scene).await;
        moving.commit().await.expect("it has moved");
        scene.gone("acme").await;

        assert_eq!(scene.total(&acme).await, 0, "{variant:?}");
        let owner: Vec<String> =
            scene.value("SELECT array_agg(organization_id::text) FROM users WHERE email = 'mover'").await;
        assert_eq!(owner, [globex], "{variant:?}: the row of another organization was deleted");
        operator.stop().await;
    }
}

/// The row was the tenant's when its children were found, and is another one's when it is to be deleted itself: then so
/// are its children.
async fn a_parent_that_moves_away_meanwhile_keeps_its_children(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Ordinary, Variant::Cascade, Variant::NoKeys] {
        for (table, column) in [("flows", "organization_id"), ("flow_executions", "flow_id")] {
            let scene = Scene::new(world.clone(), variant).await;
            let (acme, globex) = (scene.key(1), scene.key(2));
            scene.seed(&acme).await;
            scene.seed(&globex).await;
            let id = |key: &str, what: &str| format!("md5('{key} {what}')::uuid");
            let (moved, to) = match table {
                "flows" => (id(&acme, "flow 1"), format!("'{globex}', name = 'moved'")),
                _ => (id(&acme, "execution 1 1"), id(&globex, "flow 1")),
            };
            let outputs =
                format!("SELECT count(*) FROM task_outputs WHERE flow_execution_id = {}", id(&acme, "execution 1 1"));
            let before: i64 = scene.value(&outputs).await;
            assert!(before > 0);
            // A schema may set the author of a flow to NULL, and this flow's author is of the tenant that goes.
            scene.sql("UPDATE flows SET created_by = NULL; UPDATE flow_executions SET started_by = NULL").await;

            let proxy = scene.sql_proxy().await;
            let session = Mutex::new(scene.connect().await);
            let fired = Arc::new(AtomicBool::new(false));
            let once = fired.clone();
            let delete = format!("DELETE FROM \"public\".\"{table}\" t");
            let sql = format!("UPDATE {table} SET {column} = {to} WHERE id = {moved}");
            proxy.count_only(move |statement| {
                if statement.contains(&delete) && !once.swap(true, Ordering::Relaxed) {
                    tokio::task::block_in_place(|| {
                        tokio::runtime::Handle::current().block_on(async {
                            let mut session = session.lock().await;
                            sqlx::query(AssertSqlSafe(sql.clone())).execute(&mut *session).await.expect("it moves");
                        });
                    });
                }
                true
            });
            proxy.record();
            let operator = scene.operator().url(&scene.url_through(&proxy)).start().await;
            scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
            scene.ready("acme").await;
            scene.delete("acme").await;
            scene.gone("acme").await;
            assert!(fired.load(Ordering::Relaxed), "{variant:?} {table}: it never moved");
            assert_eq!(scene.total(&acme).await, 0, "{variant:?} {table}");
            let there = format!("SELECT count(*) FROM {table} WHERE id = {moved}");
            assert_eq!(scene.value::<i64>(&there).await, 1, "{variant:?} {table}: the moved row was deleted");
            assert_eq!(scene.value::<i64>(&outputs).await, before, "{variant:?} {table}: what is below it was deleted");
            operator.stop().await;
        }
    }
}

/// Where the schema would set a child's way to its tenant to NULL, a child that appears late would be nobody's.
async fn a_late_row_is_not_orphaned_by_set_null(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(
            "ALTER TABLE flow_executions DROP CONSTRAINT flow_executions_flow_id_fkey, ALTER flow_id DROP NOT NULL, \
             ADD FOREIGN KEY (flow_id) REFERENCES flows ON DELETE SET NULL; GRANT UPDATE (id) ON flows TO organization_operator",
        )
        .await;
    let proxy = scene.sql_proxy().await;
    let mut session = scene.connect().await;
    sqlx::query("SET lock_timeout = 40").execute(&mut session).await.expect("a setting");
    let (session, tried) = (Mutex::new(session), Arc::new(AtomicBool::new(false)));
    let once = tried.clone();
    let late = format!("INSERT INTO flow_executions (flow_id) VALUES (md5('{acme} flow 1')::uuid)");
    proxy.count_only(move |statement| {
        if statement.contains("DELETE FROM \"public\".\"flows\" t") && !once.swap(true, Ordering::Relaxed) {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    // It may be refused: the lock on its parent is what keeps it out.
                    drop(sqlx::query(AssertSqlSafe(late.clone())).execute(&mut *session.lock().await).await);
                });
            });
        }
        true
    });
    proxy.record();
    let others = scene.others(&[&acme]).await;
    let operator = scene.operator().url(&scene.url_through(&proxy)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert!(tried.load(Ordering::Relaxed));
    let orphans: i64 = scene.value("SELECT count(*) FROM flow_executions WHERE flow_id IS NULL").await;
    assert_eq!(orphans, 0, "a row of the tenant stayed and is nobody's");
    assert_eq!(scene.others(&[&acme]).await, others);
    operator.stop().await;
}

async fn a_trigger_that_suppresses_deletes_is_content_changed(world: Arc<World>) {
    let trigger = "CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
                   CREATE TRIGGER meddle BEFORE DELETE ON task_outputs FOR EACH ROW EXECUTE FUNCTION suppress()";
    for variant in [Variant::Platform, Variant::Ordinary, Variant::Cascade, Variant::NoKeys] {
        meddling_trigger(&world, variant, trigger, "task_outputs").await;
    }
}

async fn a_trigger_that_writes_rows_again_is_content_changed(world: Arc<World>) {
    let trigger = "CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN \
                   INSERT INTO users (organization_id, email) VALUES (OLD.organization_id, 'again ' || OLD.email); \
                   RETURN NULL; END $$; \
                   CREATE TRIGGER meddle AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION again()";
    for variant in [Variant::Platform, Variant::Ordinary, Variant::NoKeys] {
        meddling_trigger(&world, variant, trigger, "users").await;
    }
}

/// A trigger keeps a deletion from being complete: everything stays, the error says so, and without it the deletion ends.
async fn meddling_trigger(world: &Arc<World>, variant: Variant, trigger: &str, table: &str) {
    let scene = Scene::new(world.clone(), variant).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let (rows, others) = (scene.rows(&acme).await, scene.others(&[&acme]).await);
    scene.sql(trigger).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    let seen = scene.until("acme", "ContentChanged", |s| s.reason("DeletionBlocked") == "ContentChanged").await;
    let error = seen.error().expect("an error");
    assert!(error.message.contains("othing was deleted"), "{variant:?}: {}", error.message);
    assert_eq!(error.table, Some(format!("public.{table}")), "{variant:?}: {error:?}");
    assert_eq!(scene.rows(&acme).await, rows, "{variant:?}: not everything was rolled back");
    assert!(scene.ledger().await.is_empty(), "{variant:?}");

    scene.sql(&format!("DROP TRIGGER meddle ON {table}")).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0, "{variant:?}");
    assert_eq!(scene.others(&[&acme]).await, others, "{variant:?}: other tenants changed");
    operator.stop().await;
}

async fn a_lock_of_another_session_is_a_lock_timeout(world: Arc<World>) {
    for (variant, table) in [
        (Variant::Platform, "organizations"),
        (Variant::Ordinary, "task_statuses"),
        (Variant::Cascade, "users"),
        (Variant::NoKeys, "flows"),
    ] {
        let scene = Scene::new(world.clone(), variant).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        let rows = scene.rows(&acme).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;

        let mut session = scene.connect().await;
        let mut holding = session.begin().await.expect("a transaction");
        let sql = format!("SELECT FROM {table} FOR UPDATE");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *holding).await.expect("locks");
        scene.delete("acme").await;
        let seen = scene.until("acme", "LockTimeout", |s| s.reason("DeletionBlocked") == "LockTimeout").await;
        let error = seen.error().expect("an error");
        assert_eq!((error.code, error.sql_state.as_deref()), (423, Some("55P03")), "{table}: {error:?}");
        assert!(error.remedy.as_deref().is_some_and(|r| r.contains("pg_stat_activity")), "{table}: {error:?}");
        assert_eq!(scene.rows(&acme).await, rows, "{table}: not everything was rolled back");
        holding.rollback().await.expect("released");
        scene.gone("acme").await;
        assert_eq!(scene.total(&acme).await, 0, "{table}");
        operator.stop().await;
    }
}

/// During a rolling update, or after a network partition, two operators serve the same objects for a while.
async fn two_operators_leave_one_record(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::NoKeys] {
        let scene = Scene::new(world.clone(), variant).await;
        let names = ["a", "b", "c", "d", "e"];
        let keys: Vec<String> = (1..=5).map(|n| scene.key(n)).collect();
        let globex = scene.key(9);
        scene.seed(&globex).await;
        for key in &keys {
            scene.seed(key).await;
        }
        let all: Vec<&str> = keys.iter().map(String::as_str).collect();
        let others = scene.others(&all).await;
        let (first, second) = (scene.start().await, scene.start().await);
        for (name, key) in names.iter().zip(&keys) {
            scene.apply(&scene.org(name, key).policy("Delete")).await;
        }
        for name in names {
            scene.ready(name).await;
        }
        for name in names {
            scene.delete(name).await;
        }
        for name in names {
            scene.gone(name).await;
        }
        let mut ledger = scene.ledger().await;
        ledger.sort_by(|a, b| a.object_name.cmp(&b.object_name));
        assert_eq!(ledger.len(), names.len(), "{variant:?}: {ledger:?}");
        for (entry, key) in ledger.iter().zip(&keys) {
            assert_eq!((&entry.organization_key, entry.outcome.as_str()), (key, "Erased"), "{variant:?}");
            assert_eq!((entry.organizations_deleted, entry.verified), (1, true), "{variant:?}: {entry:?}");
            assert_eq!(scene.total(key).await, 0, "{variant:?}");
        }
        for name in names {
            let erased = scene.events(name).await.iter().filter(|(reason, _)| reason == "Erased").count();
            assert_eq!(erased, 1, "{variant:?}: {name}");
        }
        assert_eq!(scene.others(&all).await, others, "{variant:?}: other tenants changed");
        first.stop().await;
        second.stop().await;
    }
}

/// Waits until the operator waits for a lock in this database.
async fn waits_for_a_lock(scene: &Scene) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'organization-operator' AND wait_event_type = 'Lock'";
    eventually("the operator waits for a lock", || async { (scene.value::<i64>(waiting).await > 0).then_some(()) })
        .await;
}

/// Writes for a tenant, and between it and another one, through a session of its own.
struct Writer {
    session: Mutex<PgConnection>,
    tenant: String,
    /// The tenant with which rows are exchanged.
    friend: String,
    /// Outputs that have become the friend's. They must survive.
    moved_away: std::sync::Mutex<Vec<String>>,
    written: AtomicUsize,
}

/// Kinds of writes.
const KINDS: usize = 7;

impl Writer {
    /// Three tenants: the one to delete, its friend, and one that has nothing to do with either.
    async fn new(scene: &Scene) -> Self {
        let (tenant, friend, bystander) = (scene.key(1), scene.key(2), scene.key(3));
        for key in [&tenant, &friend, &bystander] {
            scene.seed_sized(key, 3, 2, 2, 20).await;
        }
        let movers = format!(
            "INSERT INTO users (organization_id, email) SELECT '{friend}', 'mover' || i FROM generate_series(1, 200) i"
        );
        scene.sql(&movers).await;
        Self::session(scene, tenant, friend).await
    }

    async fn again(scene: &Scene, other: &Self) -> Self {
        Self::session(scene, other.tenant.clone(), other.friend.clone()).await
    }

    async fn session(scene: &Scene, tenant: String, friend: String) -> Self {
        let mut session = scene.connect().await;
        // Whoever waits for the cascade gives up soon.
        sqlx::query("SET lock_timeout = 40").execute(&mut session).await.expect("a setting");
        let (session, moved_away) = (Mutex::new(session), std::sync::Mutex::default());
        Self { session, tenant, friend, moved_away, written: AtomicUsize::new(0) }
    }

    async fn others(&self, scene: &Scene) -> String {
        scene.others(&[&self.tenant, &self.friend]).await
    }

    async fn write_everything(&self) {
        for kind in 0..KINDS {
            self.write(kind).await;
        }
    }

    /// One write; it may be refused.
    async fn write(&self, kind: usize) {
        let Self { tenant, friend, .. } = self;
        let execution = |key: &str| format!("md5('{key} execution 1 1')::uuid");
        let sql = match kind % KINDS {
            0 => format!("INSERT INTO users (organization_id, email) VALUES ('{tenant}', gen_random_uuid())"),
            1 => format!("INSERT INTO flows (organization_id, name) VALUES ('{tenant}', gen_random_uuid())"),
            2 => format!("INSERT INTO flow_executions (flow_id) VALUES (md5('{tenant} flow 1')::uuid)"),
            3 => format!("INSERT INTO task_outputs (flow_execution_id, task) VALUES ({}, 'late')", execution(tenant)),
            4 => format!("INSERT INTO task_statuses (flow_execution_id, task) VALUES ({}, 'late')", execution(tenant)),
            5 => format!(
                "UPDATE users SET organization_id = '{tenant}' WHERE id = \
                 (SELECT id FROM users WHERE organization_id = '{friend}' AND email LIKE 'mover%' LIMIT 1)"
            ),
            _ => format!(
                "UPDATE task_outputs SET flow_execution_id = {} WHERE id = \
                 (SELECT id FROM task_outputs WHERE flow_execution_id = {} AND task <> 'late' LIMIT 1) RETURNING id::text",
                execution(friend),
                execution(tenant)
            ),
        };
        let mut session = self.session.lock().await;
        let Ok(rows) = sqlx::query(AssertSqlSafe(sql)).persistent(false).fetch_all(&mut *session).await else { return };
        self.written.fetch_add(1, Ordering::Relaxed);
        self.moved_away.lock().expect("a lock").extend(rows.iter().map(|r| r.get::<String, _>(0)));
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    async fn organization_is_gone(&mut self) -> bool {
        let session = self.session.get_mut();
        let query = sqlx::query("SELECT FROM organizations WHERE id::text = $1").bind(&self.tenant);
        query.fetch_optional(session).await.expect("an answer").is_none()
    }

    /// Nothing of the tenant is left, not even rows whose way to it is gone; the friend has what it was given; nobody else
    /// noticed.
    async fn check(&self, scene: &Scene, others: &str, what: &str) {
        assert_eq!(scene.rows(&self.tenant).await.iter().map(|r| r.1).sum::<i64>(), 0, "{what}: rows are left");
        assert_eq!(self.others(scene).await, others, "{what}: other tenants changed, or rows of nobody are left");
        let moved = self.moved_away.lock().expect("a lock").clone();
        let sql = format!("SELECT count(*) FROM task_outputs WHERE id::text = ANY ('{{{}}}')", moved.join(","));
        assert_eq!(
            scene.value::<i64>(&sql).await,
            i64::try_from(moved.len()).expect("few"),
            "{what}: moved rows are gone"
        );
    }
}
