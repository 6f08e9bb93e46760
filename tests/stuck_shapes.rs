//! How deletions of other operators got stuck, or were cancelled and left something behind (`F12` and so on: see
//! docs/failure-shapes.md). Each is tried on this one.

use std::sync::Arc;

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::failure_shapes::Recorder;
use crate::support::{ROLE, Scene, Seen, Variant, World, eventually};
use crate::tests;

tests![
    f12_an_open_session_does_not_block_for_ever,
    f13_a_missing_privilege_is_known_before_anybody_deletes,
    f15_cancelling_leaves_no_stale_condition,
    f16_nothing_that_is_paused_blocks_the_deletion,
];

/// A session that holds the users of a tenant.
async fn holding(scene: &Scene, key: &str) -> PgConnection {
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM users WHERE organization_id = '{key}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    holder
}

async fn f12_an_open_session_does_not_block_for_ever(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let [acme, globex, hooli] = [1, 2, 3].map(|n| scene.key(n));
    for key in [&acme, &globex, &hooli] {
        scene.seed(key).await;
    }
    let _operator = scene.start().await;
    for (name, key) in [("acme", &acme), ("globex", &globex), ("hooli", &hooli)] {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    // One that has only read blocks nobody; the others hold rows and never end.
    let mut reader = scene.connect().await;
    reader.execute("BEGIN; SELECT count(*) FROM users").await.expect("read");
    let mut holder = holding(&scene, &acme).await;
    let _other = holding(&scene, &hooli).await;
    for name in ["acme", "globex", "hooli"] {
        scene.delete(name).await;
    }
    // Nobody waits for somebody else's lock.
    scene.gone("globex").await;
    let again = |s: &Seen| s.error().is_some_and(|e| e.sql_state.as_deref() == Some("55P03") && e.attempts >= Some(2));
    for name in ["acme", "hooli"] {
        scene.until(name, "a second attempt", again).await;
    }
    // Between attempts the operator holds nothing: others can work with the rest of the tenant.
    eventually("the operator to let go", || async {
        let lock = "SELECT count(*) FROM (SELECT FROM task_outputs FOR UPDATE NOWAIT) t";
        scene.world.postgres().run_sql(&scene.database, lock).await.ok()
    })
    .await;
    // Giving up needs no lock.
    scene.patch("hooli", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.gone("hooli").await;
    scene.event("hooli", "Retained").await;
    holder.execute("ROLLBACK").await.expect("released");
    scene.gone("acme").await;
    assert_eq!((scene.total(&acme).await, scene.total(&globex).await), (0, 0));
    assert!(scene.total(&hooli).await > 0);
}

async fn f13_a_missing_privilege_is_known_before_anybody_deletes(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let able = |s: &Seen| s.is("DeletionReady", "True");
    scene.until("acme", "DeletionReady", able).await;
    let tables = ["users", "flows", "flow_executions", "task_outputs", "task_statuses"];
    let mut lost: Vec<(String, String)> = vec![
        ("DELETE".into(), "public\".\"organizations".into()),
        ("UPDATE (\"is_active\")".into(), "public\".\"organizations".into()),
        ("INSERT".into(), "organization_operator\".\"ledger".into()),
        ("UPDATE".into(), "organization_operator\".\"ledger".into()),
        ("DELETE".into(), "organization_operator\".\"claims".into()),
        ("INSERT".into(), "organization_operator\".\"captured_keys".into()),
    ];
    for table in tables {
        lost.push(("SELECT".into(), format!("public\".\"{table}")));
        lost.push(("DELETE".into(), format!("public\".\"{table}")));
    }
    let revokes: Vec<String> = lost.iter().map(|(p, t)| format!("REVOKE {p} ON \"{t}\" FROM {ROLE}")).collect();
    scene.sql(&revokes.join(";")).await;
    let asked = |s: &Seen| -> Vec<String> {
        let said = s.message("DeletionReady");
        let grants = said.lines().filter_map(|line| line.get(line.find("GRANT ")?..));
        grants.filter_map(|line| line.get(..=line.find(';')?)).map(str::to_owned).collect()
    };
    // A schema that is read while the privileges go shows some of them still; the next poll shows that all are gone.
    let all = |s: &Seen| {
        let asked = asked(s);
        lost.iter().all(|(p, t)| asked.contains(&format!("GRANT {p} ON \"{t}\" TO \"{ROLE}\";")))
    };
    let seen = scene
        .until("acme", "a message that asks to grant all of them", |s| s.is("DeletionReady", "False") && all(s))
        .await;
    assert_eq!(seen.reason("DeletionReady"), "PermissionDenied", "{}", seen.yaml());
    assert!(seen.0.metadata.deletion_timestamp.is_none());
    scene.sql(&asked(&seen).join("\n")).await;
    scene.until("acme", "DeletionReady", able).await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
}

async fn f15_cancelling_leaves_no_stale_condition(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let [acme, globex, hooli] = [1, 2, 3].map(|n| scene.key(n));
    for key in [&acme, &globex, &hooli] {
        scene.seed(key).await;
    }
    let _operator = scene.start().await;

    // A wish that the database refuses, withdrawn.
    scene.apply(&scene.org("hooli", &hooli).policy("Delete")).await;
    scene.ready("hooli").await;
    scene.sql("ALTER TABLE organizations ADD CONSTRAINT always CHECK (is_active)").await;
    for wish in [json!({"state": "Deactivated"}), json!({"expirationTime": "2001-01-01T00:00:00Z"})] {
        scene.patch("hooli", &wish.to_string()).await;
        scene.until("hooli", "refused", |s| s.is("Stalled", "True") && s.error().is_some()).await;
        let withdrawn: serde_json::Map<_, _> =
            wish.as_object().expect("a wish").keys().map(|k| (k.clone(), json!(null))).collect();
        scene.patch("hooli", &json!(withdrawn).to_string()).await;
        clean(&scene.ready("hooli").await);
    }
    scene.sql("ALTER TABLE organizations DROP CONSTRAINT always").await;

    // A deletion that is blocked, and one that waits in its recovery window, both cancelled.
    scene.sql(&format!("CREATE TABLE notes (user_id uuid REFERENCES users); GRANT SELECT ON notes TO {ROLE}")).await;
    scene.sql(&format!("INSERT INTO notes SELECT id FROM users WHERE organization_id = '{acme}'")).await;
    for (name, key, window) in [("acme", &acme, 0), ("globex", &globex, 3600)] {
        let recorder = Recorder::start(&scene, name);
        scene.apply(&scene.org(name, key).policy("Delete").window(window)).await;
        scene.ready(name).await;
        let rows = scene.total(key).await;
        scene.delete(name).await;
        if window == 0 {
            scene.until(name, "blocked", |s| s.is("DeletionBlocked", "True") && s.is("Stalled", "True")).await;
        } else {
            scene.until(name, "the window", |s| s.deletion().is_some_and(|d| d.erase_time.is_some())).await;
            assert!(!scene.active(key).await);
        }
        scene.patch(name, r#"{"deletionPolicy":"Retain"}"#).await;
        scene.gone(name).await;
        let seen = eventually("the last event", || async { recorder.ended().then(|| recorder.seen()) }).await;
        let last = seen.last().expect("versions");
        let yaml = last.yaml();
        assert!(!last.has("Stalled") && last.error().is_none(), "{yaml}");
        assert!(last.is("DeletionBlocked", "False") && last.reason("Deleting") == "Completed", "{yaml}");
        let deletion = last.deletion().expect("how it ended");
        assert!(deletion.erase_time.is_none() && deletion.next_attempt_time.is_none(), "{yaml}");
        assert_eq!(serde_json::to_value(deletion.outcome).expect("a word"), "Retained", "{yaml}");
        assert_eq!(scene.total(key).await, rows);
        assert!(scene.active(key).await, "what the window switched off is on again");
        // The next object of the name knows nothing of it.
        scene.apply(&scene.org(name, key)).await;
        clean(&scene.ready(name).await);
    }
}

/// Nothing speaks of a failure or of a deletion.
fn clean(seen: &Seen) {
    let yaml = seen.yaml();
    assert!(seen.error().is_none() && seen.deletion().is_none(), "{yaml}");
    for kind in ["Stalled", "Reconciling", "Deleting", "DeletionBlocked"] {
        assert!(!seen.has(kind), "{kind}: {yaml}");
    }
}

async fn f16_nothing_that_is_paused_blocks_the_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let keys = [1, 2, 3].map(|n| scene.key(n));
    for key in &keys {
        scene.seed(key).await;
    }
    let names = ["suspended", "deactivated", "failing"];
    let operator = scene.start().await;
    for (name, key) in names.iter().zip(&keys) {
        scene.apply(&scene.org(name, key).policy("Delete")).await;
        scene.ready(name).await;
    }
    // Annotations that pause other controllers; the operator has none of its own.
    let pauses = [
        "crossplane.io/paused=true",
        "kustomize.toolkit.fluxcd.io/reconcile=disabled",
        "argocd.argoproj.io/skip-reconcile=true",
        "organization-operator.io/paused=true",
    ];
    let name = scene.name("suspended");
    scene.ok(&[&["annotate", "organization", name.as_str()], pauses.as_slice()].concat()).await;
    // A tenant that is suspended itself, and a live object that fails again and again.
    scene.patch("deactivated", r#"{"state":"Deactivated"}"#).await;
    scene.until("deactivated", "Deactivated", |s| s.reason("Ready") == "Deactivated").await;
    scene.sql("ALTER TABLE organizations ADD CONSTRAINT always CHECK (is_active OR name NOT LIKE '%3')").await;
    scene.patch("failing", r#"{"state":"Deactivated"}"#).await;
    scene.until("failing", "refused", |s| s.reason("Ready") == "ConstraintViolation").await;
    // The operator is away when the deletion is asked for.
    operator.stop().await;
    for name in names {
        scene.delete(name).await;
    }
    let _operator = scene.start().await;
    for (name, key) in names.iter().zip(&keys) {
        scene.gone(name).await;
        assert_eq!(scene.total(key).await, 0, "{name}");
    }
}
