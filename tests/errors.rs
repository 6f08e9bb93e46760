//! "It tells me exactly why it did not delete, how I unblock it, and goes on by itself when I did."

use std::sync::Arc;
use std::time::Duration;

use organization_operator::api::Reason;
use organization_operator::api::status::ErrorDetail;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use testbed::proxy::{Fault, Moment};

use crate::support::{Launch, PASSWORD, ROLE, Scene, Seen, Variant, World, eventually, path};
use crate::tests;

tests![
    an_absent_organization_is_waited_for,
    deleting_an_absent_organization_is_recorded_as_not_found,
    an_id_of_the_wrong_type_is_named_and_can_be_let_go,
    a_value_that_cannot_be_compared_says_nothing_about_the_id,
    foreign_keys_from_outside_are_all_named_and_the_remedy_unblocks,
    a_cascade_of_the_schema_never_reaches_another_tenant,
    starts_without_the_database_and_heals,
    a_lost_connection_in_the_middle_deletes_nothing_by_half,
    a_crash_of_postgres_in_mid_transaction_deletes_nothing_by_half,
    a_second_object_for_the_same_id_touches_nothing,
    a_claim_of_another_cluster_is_respected_until_adopted,
    a_missing_privilege_is_found_before_the_deletion_and_granted,
    row_level_security_is_refused,
    another_database_than_that_of_the_claim_is_refused,
    a_copy_without_an_identity_is_refused,
    a_missing_table_or_column_is_named,
    a_missing_organization_table_is_named,
    a_table_that_the_plan_does_not_classify_blocks,
    every_attempt_that_took_long_is_shown_as_blocked,
    a_trigger_that_refuses_is_named,
    nothing_secret_or_personal_is_ever_shown,
];

/// What every error shows, on every object.
pub fn shows(seen: &Seen, reason: Reason) -> ErrorDetail {
    let yaml = seen.yaml();
    let error = seen.error().unwrap_or_else(|| panic!("no error detail: {yaml}"));
    assert_eq!(error.reason, reason, "{yaml}");
    assert_eq!(error.code, reason.code(), "{yaml}");
    assert!(!error.message.is_empty() && error.remedy.as_ref().is_some_and(|r| !r.is_empty()), "{yaml}");
    assert!(error.first_seen_time.is_some() && error.last_seen_time.is_some(), "{yaml}");
    assert!(error.attempts.is_some_and(|n| n >= 1), "{yaml}");
    assert!(seen.is("Ready", "False"), "{yaml}");
    assert_eq!(seen.reason("Ready"), reason.as_str(), "{yaml}");
    // kstatus: exactly one of the two.
    assert_eq!(seen.is("Stalled", "True"), reason.needs_a_person(), "{yaml}");
    assert_eq!(seen.is("Reconciling", "True"), !reason.needs_a_person(), "{yaml}");
    assert_eq!(seen.has("Stalled"), !seen.has("Reconciling"), "{yaml}");
    assert_eq!(seen.status().observed_generation, seen.0.metadata.generation, "{yaml}");
    error
}

/// An operator with the plan of the example, which keeps `invoices`.
fn keeping_invoices(scene: &Scene) -> Launch {
    let text = std::fs::read_to_string(path("examples/platform/config.yaml")).expect("the example");
    let config: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
    scene.operator().configure("cascade", config["cascade"].clone())
}

/// Waits until a live object shows this error.
async fn refused(scene: &Scene, name: &str, reason: Reason) -> ErrorDetail {
    let what = format!("error {reason}");
    let seen = scene.until(name, &what, |s| s.is("Ready", "False") && s.reason("Ready") == reason.as_str()).await;
    assert!(!seen.has("Deleting") && !seen.has("DeletionBlocked"), "{}", seen.yaml());
    shows(&seen, reason)
}

/// The cascade itself shows the stage `Erasing`. A reconciliation must write its status also if it ends as the one before.
async fn every_attempt_that_took_long_is_shown_as_blocked(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.operator().configure("database.lockTimeoutSeconds", json!(3)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM users WHERE organization_id = '{acme}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    scene.delete("acme").await;
    // Three is no attempt that is shown for its own sake.
    let third = |s: &Seen| s.error().is_some_and(|e| e.attempts == Some(3)) && s.is("DeletionBlocked", "True");
    let seen = scene.until("acme", "the third attempt shown as blocked", third).await;
    assert_eq!(seen.reason("DeletionBlocked"), "LockTimeout", "{}", seen.yaml());
    holder.execute("ROLLBACK").await.expect("the lock is released");
    scene.gone("acme").await;
    operator.stop().await;
}

/// Waits until the deletion of an object is blocked by this error.
async fn blocked(scene: &Scene, name: &str, reason: Reason) -> ErrorDetail {
    let what = format!("DeletionBlocked by {reason}");
    let wanted = |s: &Seen| s.is("DeletionBlocked", "True") && s.reason("DeletionBlocked") == reason.as_str();
    let seen = scene.until(name, &what, wanted).await;
    let yaml = seen.yaml();
    assert!(seen.is("Deleting", "True"), "{yaml}");
    assert!(seen.deletion().is_some_and(|d| d.outcome.is_none() && d.finish_time.is_none()), "{yaml}");
    scene.warned(name, reason.as_str()).await;
    shows(&seen, reason)
}

/// Applies, waits until it is ready, and asks for the deletion.
async fn delete_ready(scene: &Scene, name: &str, key: &str) {
    scene.apply(&scene.org(name, key).policy("Delete")).await;
    scene.ready(name).await;
    scene.delete(name).await;
}

/// The only ledger row says that everything was erased in one go.
async fn erased_once(scene: &Scene, key: &str, rows: i64) {
    assert_eq!(scene.total(key).await, 0, "rows are left");
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].outcome, "Erased");
    assert_eq!(ledger[0].organizations_deleted, 1);
    let deleted: i64 = ledger[0].steps.as_array().expect("steps").iter().filter_map(|s| s["deleted"].as_i64()).sum();
    assert_eq!(deleted + 1, rows, "the one transaction deleted every row: {ledger:?}");
}

async fn an_absent_organization_is_waited_for(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    let error = refused(&scene, "acme", Reason::OrganizationNotFound).await;
    assert_eq!(error.code, 404);
    let status = scene.get("acme").await.expect("it waits").status();
    assert_eq!(serde_json::to_value(status.state).expect("a word"), "Absent");
    scene.event("acme", "OrganizationNotFound").await;

    scene.seed(&scene.key(1)).await;
    let seen = scene.ready("acme").await;
    assert!(seen.error().is_none() && !seen.has("Reconciling"), "{}", seen.yaml());
}

async fn deleting_an_absent_organization_is_recorded_as_not_found(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(2)).await;
    let others = scene.others(&[]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("ghost", &scene.key(1)).policy("Delete")).await;
    refused(&scene, "ghost", Reason::OrganizationNotFound).await;
    scene.ok(&["delete", "organization", &scene.name("ghost")]).await;

    scene.event("ghost", "NotFound").await;
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!((ledger[0].outcome.as_str(), ledger[0].organizations_deleted), ("NotFound", 0));
    assert_eq!(scene.others(&[]).await, others);
}

async fn an_id_of_the_wrong_type_is_named_and_can_be_let_go(world: Arc<World>) {
    for (variant, id) in [(Variant::Ordinary, "acme"), (Variant::Bigint, "99999999999999999999")] {
        let scene = Scene::new(world.clone(), variant).await;
        scene.seed(&scene.key(1)).await;
        let others = scene.others(&[]).await;
        let _operator = scene.start().await;
        scene.apply(&scene.org("wrong", id).policy("Delete")).await;
        let error = refused(&scene, "wrong", Reason::InvalidOrganizationId).await;
        assert!(error.sql_state.is_some_and(|s| s.starts_with("22")));
        scene.warned("wrong", "InvalidOrganizationId").await;

        scene.delete("wrong").await;
        let error = blocked(&scene, "wrong", Reason::InvalidOrganizationId).await;
        // The way out is the remedy, word for word.
        let remedy = error.remedy.expect("a remedy");
        let command = remedy.strip_prefix("kubectl ").unwrap_or_else(|| panic!("{remedy}"));
        let patch = r#"{"spec":{"deletionPolicy":"Retain"}}"#;
        let expected = format!("patch organization {} --type merge -p '{patch}'", scene.name("wrong"));
        assert!(command.starts_with(&expected), "{remedy}");
        scene.ok(&["patch", "organization", &scene.name("wrong"), "--type", "merge", "-p", patch]).await;
        scene.gone("wrong").await;
        scene.event("wrong", "Retained").await;
        assert_eq!(scene.others(&[]).await, others);
    }
}

/// The id is valid: no message may say that it has no data.
async fn a_value_that_cannot_be_compared_says_nothing_about_the_id(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Text).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    scene
        .sql(
            "CREATE TABLE notes (id int PRIMARY KEY, organization_id text NOT NULL);
             GRANT SELECT, DELETE ON notes TO organization_operator",
        )
        .await;
    let operator = scene.operator().configure("cascade", crate::check::with_notes()).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.sql("ALTER TABLE notes ALTER organization_id TYPE bigint USING 0").await;
    scene.delete("acme").await;
    let error = blocked(&scene, "acme", Reason::SchemaMismatch).await;
    assert!(error.message.contains("do not agree about which values are equal"), "{error:?}");
    let remedy = error.remedy.expect("a remedy");
    assert!(!remedy.contains("Retain"), "{remedy}");
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");

    scene.sql(&remedy).await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
    operator.stop().await;
}

async fn foreign_keys_from_outside_are_all_named_and_the_remedy_unblocks(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(&format!(
            "CREATE TABLE invoices (n int PRIMARY KEY, organization_id uuid CONSTRAINT invoices_owner REFERENCES organizations);
             CREATE TABLE \"Api Tokens\" (n int PRIMARY KEY, user_id uuid NOT NULL CONSTRAINT \"Token User\" REFERENCES users);
             GRANT SELECT ON invoices, \"Api Tokens\" TO {ROLE};
             INSERT INTO invoices VALUES (1, '{acme}'), (2, '{acme}'), (3, '{globex}');
             INSERT INTO \"Api Tokens\" SELECT row_number() OVER (), id FROM users;"
        ))
        .await;
    let others = scene.others(&[&acme]).await;
    let rows = scene.total(&acme).await;
    let _operator = keeping_invoices(&scene).start().await;
    delete_ready(&scene, "acme", &acme).await;

    let error = blocked(&scene, "acme", Reason::ForeignKeyViolation).await;
    let mut causes: Vec<_> =
        error.causes.iter().map(|c| (c.table.as_deref(), c.constraint.as_deref(), c.rows)).collect();
    causes.sort_unstable();
    assert_eq!(
        causes,
        [
            (Some("public.Api Tokens"), Some("Token User"), Some(3)),
            (Some("public.invoices"), Some("invoices_owner"), Some(2))
        ]
    );
    assert_eq!(error.rows, Some(5));
    for word in ["invoices_owner", "Token User", "Nothing was deleted"] {
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    assert_eq!(scene.others(&[&acme]).await, others);

    scene.sql(&error.remedy.expect("a remedy")).await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
    assert_eq!(scene.others(&[&acme]).await, others);
    assert_eq!(
        scene.value::<i64>("SELECT count(*) FROM invoices").await,
        3,
        "what the plan keeps is detached, not deleted"
    );
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM \"Api Tokens\"").await, 3, "only the tenant's own tokens went");
}

async fn a_cascade_of_the_schema_never_reaches_another_tenant(world: Arc<World>) {
    for action in ["CASCADE", "SET NULL"] {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let (acme, globex) = (scene.key(1), scene.key(2));
        scene.seed(&acme).await;
        scene.seed(&globex).await;
        scene
            .sql(&format!(
                "ALTER TABLE flows DROP CONSTRAINT flows_created_by_fkey;
                 ALTER TABLE flows ADD CONSTRAINT flow_author FOREIGN KEY (created_by) REFERENCES users ON DELETE {action};
                 CREATE TABLE notes (n int PRIMARY KEY, user_id uuid CONSTRAINT note_author REFERENCES users ON DELETE {action});
                 GRANT SELECT ON notes TO {ROLE}; GRANT UPDATE (id) ON users, flows TO {ROLE};
                 INSERT INTO notes SELECT 1, id FROM users WHERE organization_id = '{acme}' LIMIT 1;
                 UPDATE flows SET created_by = (SELECT id FROM users WHERE organization_id = '{acme}' LIMIT 1)
                     WHERE organization_id = '{globex}';"
            ))
            .await;
        let others = scene.others(&[&acme]).await;
        let rows = scene.total(&acme).await;
        let _operator = scene.start().await;
        delete_ready(&scene, "acme", &acme).await;

        let error = blocked(&scene, "acme", Reason::ForeignKeyViolation).await;
        for constraint in ["flow_author", "note_author"] {
            let cause = error.causes.iter().find(|c| c.constraint.as_deref() == Some(constraint));
            let cause = cause.unwrap_or_else(|| panic!("{action}: {constraint} is not named: {error:?}"));
            assert!(cause.message.contains(&format!("ON DELETE {action}")), "{}", cause.message);
        }
        assert_eq!(scene.total(&acme).await, rows, "{action}: nothing was deleted");
        assert_eq!(scene.others(&[&acme]).await, others, "{action}: the other tenant changed");
        assert_eq!(scene.value::<i64>("SELECT count(user_id) FROM notes").await, 1, "{action}");

        // The fingerprint is taken before anybody can see the change.
        let mut connection = scene.connect().await;
        let mut tx = connection.begin().await.expect("BEGIN");
        let repair =
            format!("UPDATE flows SET created_by = NULL WHERE organization_id = '{globex}'; DELETE FROM notes");
        tx.execute(AssertSqlSafe(repair)).await.expect("repaired");
        let row = tx.fetch_one(sqlx::query("SELECT others_fingerprint($1)").bind(&acme)).await.expect("a fingerprint");
        let others: String = row.get(0);
        tx.commit().await.expect("COMMIT");
        scene.gone("acme").await;
        erased_once(&scene, &acme, rows).await;
        assert_eq!(scene.others(&[&acme]).await, others, "{action}: the other tenant changed");
    }
}

async fn starts_without_the_database_and_heals(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    scene.seed(&scene.key(2)).await;
    let rows = scene.total(&scene.key(2)).await;
    let proxy = scene.sql_proxy().await;
    proxy.sever().await;
    let launch = scene.operator().url(&scene.url_through(&proxy));
    let operator = launch.configure("database.connectTimeoutSeconds", json!(1)).launch().await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    scene.apply(&scene.org("globex", &scene.key(2)).policy("Delete")).await;
    refused(&scene, "acme", Reason::DatabaseUnavailable).await;
    refused(&scene, "globex", Reason::DatabaseUnavailable).await;
    scene.warned("acme", "DatabaseUnavailable").await;
    assert_eq!(operator.fetch("/healthz").await.map(|a| a.0), Some(200));
    assert_eq!(operator.fetch("/readyz").await.map(|a| a.0), Some(503));

    // Retain waits for nobody; Delete waits.
    scene.delete("globex").await;
    blocked(&scene, "globex", Reason::DatabaseUnavailable).await;
    scene.ok(&["delete", "organization", &scene.name("acme"), "--timeout=30s"]).await;
    scene.event("acme", "Retained").await;
    assert_eq!(scene.total(&scene.key(2)).await, rows);

    proxy.restore().await.expect("the port");
    scene.gone("globex").await;
    erased_once(&scene, &scene.key(2), rows).await;
    operator.wait_ready().await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    scene.ready("acme").await;
}

async fn a_lost_connection_in_the_middle_deletes_nothing_by_half(world: Arc<World>) {
    // The third DELETE is never seen by the server; a COMMIT is carried out and its answer lost.
    for (what, ordinal, moment) in [("DELETE FROM", 3, Moment::Before), ("COMMIT", 1, Moment::After)] {
        let scene = Scene::new(world.clone(), Variant::Platform).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        scene.seed(&scene.key(2)).await;
        let (rows, others) = (scene.total(&acme).await, scene.others(&[&acme]).await);
        let proxy = Arc::new(scene.sql_proxy().await);
        let launch = scene.operator().url(&scene.url_through(&proxy));
        let operator = launch.configure("database.connectTimeoutSeconds", json!(1)).start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;

        // `BEGIN` names READ COMMITTED.
        proxy.count_only(move |statement| statement.contains(what) && !statement.starts_with("BEGIN"));
        let (runtime, gate) = (tokio::runtime::Handle::current(), proxy.clone());
        proxy.arm(Fault { ordinal, moment }, move || runtime.block_on(gate.sever()));
        scene.delete("acme").await;
        proxy.wait_fired(crate::support::PATIENCE).await.unwrap_or_else(|| panic!("{what} never came"));
        blocked(&scene, "acme", Reason::DatabaseUnavailable).await;
        let left = eventually("the server to end the transaction", || async {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = \
                        'organization_operator' AND xact_start IS NOT NULL";
            if scene.value::<i64>(open).await > 0 { None } else { Some(scene.total(&acme).await) }
        })
        .await;
        let open = operator.log().contains("It is not known whether the transaction was committed");
        assert_eq!(open, what == "COMMIT", "{what}: only a lost answer to the commit leaves that open");
        assert_eq!(left, if moment == Moment::Before { rows } else { 0 }, "{what}: deleted by half");

        proxy.restore().await.expect("the port");
        scene.gone("acme").await;
        erased_once(&scene, &acme, rows).await;
        assert_eq!(scene.others(&[&acme]).await, others, "{what}: other tenants changed");
        scene.event("acme", "Erased").await;
    }
}

async fn a_crash_of_postgres_in_mid_transaction_deletes_nothing_by_half(_: Arc<World>) {
    let world = Arc::new(World::alone().await);
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene.seed(&scene.key(2)).await;
    let (rows, others) = (scene.total(&acme).await, scene.others(&[&acme]).await);
    let launch = scene.operator().configure("database.lockTimeoutSeconds", json!(15));
    let _operator = launch.configure("database.connectTimeoutSeconds", json!(1)).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;

    // A user's row is locked, so the cascade stops there, with outputs and statuses deleted but not committed.
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM users WHERE organization_id = '{acme}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    scene.delete("acme").await;
    eventually("the cascade to wait for the lock", || async {
        (scene.value::<i64>("SELECT count(*) FROM pg_locks WHERE NOT granted").await > 0).then_some(())
    })
    .await;
    world.postgres().kill().await.expect("killed");
    blocked(&scene, "acme", Reason::DatabaseUnavailable).await;
    world.postgres().start_again().await.expect("started");
    scene.gone("acme").await;
    // One ledger row that counts every row: nothing had been gone before.
    erased_once(&scene, &acme, rows).await;
    assert_eq!(scene.others(&[&acme]).await, others, "other tenants changed");
}

async fn a_second_object_for_the_same_id_touches_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("first", &acme).policy("Delete")).await;
    scene.ready("first").await;
    // The same id in another spelling, too.
    for (name, id) in [("second", acme.clone()), ("third", acme.to_uppercase().replace('-', ""))] {
        scene.apply(&scene.org(name, &id).policy("Delete").state("Deactivated")).await;
        let error = refused(&scene, name, Reason::OrganizationClaimed).await;
        assert!(error.message.contains(&scene.name("first")), "the owner is named: {}", error.message);
        scene.warned(name, "OrganizationClaimed").await;
        scene.ok(&["delete", "organization", &scene.name(name)]).await;
        scene.event(name, "Retained").await;
    }
    assert_eq!(scene.others(&[]).await, before, "nothing was touched");
    let owner: String = scene.value("SELECT object_name FROM organization_operator.claims").await;
    assert_eq!(owner, scene.name("first"));
    scene.ready("first").await;
}

async fn a_claim_of_another_cluster_is_respected_until_adopted(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let before = scene.others(&[]).await;
    let rows = scene.total(&acme).await;
    let operator = scene.start().await;
    for key in [&acme, &globex] {
        scene
            .sql(&format!(
                "INSERT INTO organization_operator.claims (organization_key, cluster_id, object_uid, object_name, policy)
                 VALUES ('{key}', 'elsewhere', 'uid of {key}', 'theirs', 'Delete')"
            ))
            .await;
    }
    scene.apply(&scene.org("acme", &acme).policy("Delete").state("Deactivated")).await;
    scene.apply(&scene.org("globex", &globex)).await;
    let error = refused(&scene, "acme", Reason::OrganizationClaimed).await;
    assert!(error.message.contains("elsewhere") && error.remedy.expect("a remedy").contains("adoptFrom"));
    refused(&scene, "globex", Reason::OrganizationClaimed).await;
    scene.delete("acme").await;
    blocked(&scene, "acme", Reason::OrganizationClaimed).await;
    assert_eq!(scene.others(&[]).await, before, "nothing was touched");

    operator.stop().await;
    let _operator = scene.operator().configure("claims", json!({"adoptFrom": ["elsewhere"]})).start().await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
    scene.ready("globex").await;
    let owner: String = scene.value("SELECT object_name FROM organization_operator.claims").await;
    assert_eq!(owner, scene.name("globex"));
}

async fn a_missing_privilege_is_found_before_the_deletion_and_granted(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    scene.sql(&format!("REVOKE DELETE ON task_outputs FROM {ROLE}")).await;
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert_eq!(seen.reason("DeletionReady"), "PermissionDenied");
    assert!(seen.message("DeletionReady").contains("GRANT DELETE"), "{}", seen.yaml());
    assert!(seen.is("Ready", "True"), "the organization itself is as it should be: {}", seen.yaml());

    scene.delete("acme").await;
    let error = blocked(&scene, "acme", Reason::PermissionDenied).await;
    assert_eq!(error.table.as_deref(), Some("public.task_outputs"));
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    scene.sql(&error.remedy.expect("a remedy")).await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

async fn row_level_security_is_refused(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY").await;
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert_eq!(seen.reason("DeletionReady"), "PermissionDenied");
    assert!(seen.message("DeletionReady").contains("BYPASSRLS"), "{}", seen.yaml());
    // The users cannot be counted either.
    assert!(seen.error().is_some_and(|e| e.remedy.is_some_and(|r| r.contains("BYPASSRLS"))), "{}", seen.yaml());

    scene.delete("acme").await;
    let error = blocked(&scene, "acme", Reason::PermissionDenied).await;
    assert!(error.remedy.as_ref().is_some_and(|r| r.contains("BYPASSRLS")), "{error:?}");
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    // Not by the remedy: the role is shared by all tests.
    scene.sql("ALTER TABLE users DISABLE ROW LEVEL SECURITY").await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

async fn another_database_than_that_of_the_claim_is_refused(world: Arc<World>) {
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let elsewhere = Scene::new(world, Variant::Ordinary).await;
    let (acme, globex, initech) = (scene.key(1), scene.key(2), scene.key(3));
    for key in [&acme, &globex, &initech] {
        scene.seed(key).await;
    }
    // The other database has one of the tenants, and lacks the others.
    elsewhere.seed(&acme).await;
    let (here, there) = (scene.others(&[]).await, elsewhere.others(&[]).await);
    let rows = scene.total(&acme).await;
    let operator = scene.start().await;
    for (name, key) in [("acme", &acme), ("globex", &globex), ("initech", &initech)] {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    operator.stop().await;

    let operator = scene.operator().url(&elsewhere.url()).start().await;
    refused(&scene, "initech", Reason::DatabaseMismatch).await;
    for name in ["acme", "globex"] {
        scene.delete(name).await;
        let error = blocked(&scene, name, Reason::DatabaseMismatch).await;
        let id: String = scene.value("SELECT id::text FROM organization_operator.installation").await;
        assert!(error.remedy.expect("a remedy").contains(&id), "the right database is named");
    }
    assert_eq!(elsewhere.others(&[]).await, there, "nothing was touched there");
    assert_eq!(elsewhere.ledger().await, []);
    assert_eq!(scene.others(&[]).await, here, "nothing was touched here");
    operator.stop().await;

    let _operator = scene.start().await;
    scene.gone("acme").await;
    scene.gone("globex").await;
    scene.ready("initech").await;
    assert_eq!(scene.total(&acme).await + scene.total(&globex).await, 0);
    assert_eq!(scene.total(&initech).await, rows);
}

async fn a_copy_without_an_identity_is_refused(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    // A restore that brought the tables back and not their rows.
    let id: String = scene.value("SELECT id::text FROM organization_operator.installation").await;
    let rows = scene.total(&acme).await;
    scene.sql("DELETE FROM organization_operator.installation").await;
    scene.delete("acme").await;
    blocked(&scene, "acme", Reason::DatabaseMismatch).await;
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    scene.sql(&format!("INSERT INTO organization_operator.installation (id) VALUES ('{id}')")).await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

async fn a_missing_table_or_column_is_named(world: Arc<World>) {
    let changes = [
        ("ALTER TABLE task_outputs RENAME TO results", "ALTER TABLE results RENAME TO task_outputs", "task_outputs"),
        (
            "ALTER TABLE task_outputs RENAME flow_execution_id TO execution",
            "ALTER TABLE task_outputs RENAME execution TO flow_execution_id",
            "flow_execution_id",
        ),
    ];
    for (change, undo, name) in changes {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let acme = scene.key(1);
        scene.seed(&acme).await;
        let rows = scene.total(&acme).await;
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
        scene.sql(change).await;
        let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
        assert_eq!(seen.reason("DeletionReady"), "SchemaMismatch");
        assert!(seen.message("DeletionReady").contains(name), "{}", seen.yaml());
        eventually("not ready", || async { operator.fetch("/readyz").await.filter(|a| a.0 == 503) }).await;
        scene.delete("acme").await;
        let error = blocked(&scene, "acme", Reason::SchemaMismatch).await;
        assert!(error.message.contains(name), "{}", error.message);
        scene.sql(undo).await;
        scene.gone("acme").await;
        erased_once(&scene, &acme, rows).await;
    }
}

async fn a_missing_organization_table_is_named(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.sql("ALTER TABLE organizations RENAME TO tenants").await;
    refused(&scene, "acme", Reason::SchemaMismatch).await;
    scene.delete("acme").await;
    let error = blocked(&scene, "acme", Reason::SchemaMismatch).await;
    assert!(error.message.contains("organizations"), "{}", error.message);
    let seen = scene.get("acme").await.expect("blocked");
    assert!(!seen.is("DeletionReady", "True"), "a deletion would not work today: {}", seen.yaml());
    scene.sql("ALTER TABLE tenants RENAME TO organizations").await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

async fn a_table_that_the_plan_does_not_classify_blocks(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    // Kept with a reason.
    scene.sql("CREATE TABLE invoices (organization_id uuid)").await;
    let _operator = keeping_invoices(&scene).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.ready("acme").await;
    assert!(seen.is("DeletionReady", "True"), "{}", seen.yaml());

    scene.sql(&format!("CREATE TABLE secrets (organization_id uuid); INSERT INTO secrets VALUES ('{acme}')")).await;
    scene.delete("acme").await;
    let error = blocked(&scene, "acme", Reason::SchemaMismatch).await;
    assert!(error.message.contains("secrets") && !error.message.contains("invoices"), "{}", error.message);
    assert!(error.remedy.expect("a remedy").contains("keep"));
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    scene.sql("DROP TABLE secrets").await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

async fn a_trigger_that_refuses_is_named(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    scene
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no, %', OLD.email; END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    let _operator = scene.start().await;
    delete_ready(&scene, "acme", &acme).await;
    let error = blocked(&scene, "acme", Reason::ConstraintViolation).await;
    assert_eq!(error.sql_state.as_deref(), Some("P0001"));
    assert_eq!(error.entity.as_deref(), Some("users"));
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    scene.sql("DROP TRIGGER refuse ON users").await;
    scene.gone("acme").await;
    erased_once(&scene, &acme, rows).await;
}

/// Each situation puts the canary where a careless message would show it.
async fn nothing_secret_or_personal_is_ever_shown(world: Arc<World>) {
    const CANARY: &str = "canary-person@secret.example";
    let situations = [
        ("ALTER TABLE organizations ADD CHECK (is_active)", Reason::ConstraintViolation),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no, %', OLD.email USING DETAIL = OLD.email; END $$;
             CREATE TRIGGER refuse BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION refuse()",
            Reason::ConstraintViolation,
        ),
        (
            "CREATE FUNCTION convert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM OLD.email::int; RETURN OLD; END $$;
             CREATE TRIGGER convert BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION convert()",
            Reason::ConstraintViolation,
        ),
        (
            "ALTER TABLE users ADD UNIQUE (email);
             CREATE TABLE mails (email text REFERENCES users (email));
             GRANT SELECT ON mails TO organization_operator;
             INSERT INTO mails SELECT email FROM users LIMIT 1",
            Reason::ForeignKeyViolation,
        ),
        ("REVOKE DELETE ON users FROM organization_operator", Reason::PermissionDenied),
    ];
    let mut texts = Vec::new();
    for (change, reason) in situations {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let acme = scene.key(1);
        scene.seed_sized(&acme, 1, 1, 1, 1).await;
        scene.sql(&format!("UPDATE users SET email = '{CANARY}'; UPDATE organizations SET name = '{CANARY}'")).await;
        scene.sql(change).await;
        let operator = scene.operator().launch().await;
        // The first situation refuses the deactivation, the others the deletion.
        scene.apply(&scene.org("acme", &acme).policy("Delete").window(i64::from(change.contains("CHECK")))).await;
        scene.until("acme", "its first check", |s| s.status().state.is_some()).await;
        scene.delete("acme").await;
        blocked(&scene, "acme", reason).await;
        texts.push(everything(&scene, &operator).await);
        operator.stop().await;
    }
    // A password that is refused, and a database that is not there.
    for url in [
        |s: &Scene| s.world.postgres().url(ROLE, "canary-password-wrong", &s.database),
        |s: &Scene| s.world.postgres().url(ROLE, PASSWORD, "canary_database"),
    ] {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let launch = scene.operator().url(&url(&scene)).configure("database.connectTimeoutSeconds", json!(1));
        let operator = launch.launch().await;
        scene.apply(&scene.org("acme", &scene.key(1))).await;
        let what = "the database's refusal";
        scene.until("acme", what, |s| s.reason("Ready") == "AuthenticationFailed" || s.is("Ready", "False")).await;
        texts.push(everything(&scene, &operator).await);
        // SIGTERM while nothing works must not hang.
        tokio::time::timeout(Duration::from_secs(20), operator.stop()).await.expect("it stops");
    }
    for text in texts {
        for secret in ["canary", PASSWORD, "postgres://", "postgresql://"] {
            assert!(!text.contains(secret), "`{secret}` is shown in:\n{text}");
        }
    }
}

/// What anybody can see of the object and the operator.
async fn everything(scene: &Scene, operator: &crate::support::Operator) -> String {
    let object = scene.ok(&["get", "organization", &scene.name("acme"), "-o", "json"]).await;
    format!("{object}\n{:?}\n{}\n{}", scene.events("acme").await, operator.metrics().await, operator.log())
}
