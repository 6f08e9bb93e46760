//! How other operators lost data or got stuck (`F1` and so on: see docs/failure-shapes.md). Each is tried on this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::watcher;
use organization_operator::api::status::Outcome;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{ROLE, Scene, Seen, Variant, World, eventually, path};
use crate::tests;

tests![
    f01_an_error_of_the_backend_never_releases,
    f02_an_id_that_status_forgot_is_not_forgotten,
    f03_an_empty_id_is_not_nothing_to_do,
    f04_a_second_object_never_deletes_the_survivors_data,
    f05_a_failed_read_is_no_permission,
    f06_what_was_adopted_is_not_destroyed,
    f07_deleting_the_crd_erases_nobody,
    f10_a_policy_changed_after_the_finalizer_is_honoured,
    f18_the_event_says_what_happened,
    f19_created_and_deleted_before_the_first_look_leaks_nothing,
    f20_failures_before_do_not_delay_the_deletion,
    f22_an_object_created_again_is_another_object,
    f24_no_early_return_forgets_a_condition,
    f25_a_stricter_schema_does_not_hold_the_finalizer,
    f26_a_row_that_is_gone_ends_the_deletion,
    f27_force_does_not_turn_a_refusal_into_a_deletion,
    f28_the_finalizer_of_another_object_is_not_taken,
    f29_nobody_erases_by_naming_a_victim,
    f30_a_status_that_lies_skips_nothing,
    f31_rows_written_while_counting_do_not_stay,
];

/// A tenant that is served and ready to be deleted, another one beside it, and a fingerprint of the other one.
async fn acme_beside_globex(scene: &Scene) -> (String, String) {
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene.seed(&scene.key(2)).await;
    let others = scene.others(&[&acme]).await;
    (acme, others)
}

/// Takes the finalizer away by hand. The object must be terminating.
async fn strip(scene: &Scene, name: &str) {
    let body = r#"{"metadata":{"finalizers":null}}"#;
    scene.ok(&["patch", "organization", &scene.name(name), "--type=merge", "-p", body]).await;
}

/// Keeps every version of an object that anybody could see.
pub struct Recorder {
    seen: Arc<Mutex<Vec<(bool, Seen)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Recorder {
    pub fn start(scene: &Scene, name: &str) -> Self {
        let config = watcher::Config::default().fields(&format!("metadata.name={}", scene.name(name)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sink, all) = (seen.clone(), watcher(scene.api(), config));
        let task = tokio::spawn(all.for_each(move |event| {
            let version = match event {
                Ok(watcher::Event::Apply(o) | watcher::Event::InitApply(o)) => Some((false, Seen(o))),
                Ok(watcher::Event::Delete(o)) => Some((true, Seen(o))),
                _ => None,
            };
            sink.lock().expect("a lock").extend(version);
            std::future::ready(())
        }));
        Self { seen, task }
    }

    /// Whether the object is gone.
    pub fn ended(&self) -> bool {
        self.seen.lock().expect("a lock").last().is_some_and(|(deleted, _)| *deleted)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a lock").iter().map(|(_, seen)| seen.clone()).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn outcomes(scene: &Scene) -> Vec<String> {
    scene.ledger().await.into_iter().map(|row| row.outcome).collect()
}

fn has_finalizer(seen: &Seen) -> bool {
    seen.0.metadata.finalizers.iter().flatten().any(|f| f == "organization-operator.io/cascade")
}

async fn f01_an_error_of_the_backend_never_releases(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let rows = scene.total(&acme).await;
    // An error that the operator does not know, from the last table of the cascade.
    scene
        .sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = 'XX001'; END $$;
             CREATE TRIGGER fail BEFORE DELETE ON organizations FOR EACH ROW EXECUTE FUNCTION fail()",
        )
        .await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    let again = |s: &Seen| s.error().and_then(|e| e.attempts).is_some_and(|n| n >= 4);
    let seen = scene.until("acme", "four attempts", again).await;
    assert!(has_finalizer(&seen) && seen.is("DeletionBlocked", "True"), "{}", seen.yaml());
    assert_eq!(scene.total(&acme).await, rows);
    assert_eq!(outcomes(&scene).await, [""; 0]);
    scene.sql("DROP TRIGGER fail ON organizations").await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f02_an_id_that_status_forgot_is_not_forgotten(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    let forgotten =
        r#"{"status":{"claim":null,"state":null,"inventory":null,"conditions":null,"observedGeneration":-1}}"#;
    let name = scene.name("acme");
    scene.ok(&["patch", "organization", &name, "--subresource=status", "--type=merge", "-p", forgotten]).await;
    scene.delete("acme").await;
    let _operator = scene.start().await;
    scene.gone("acme").await;
    assert_eq!(outcomes(&scene).await, ["Erased"]);
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f03_an_empty_id_is_not_nothing_to_do(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Text).await;
    let (_, _) = acme_beside_globex(&scene).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    let file = scene.file("empty.yaml", &scene.org("empty", "").policy("Delete").yaml());
    let refused = scene.kubectl(&["apply", "-f", &file]).await;
    assert!(!refused.status.success(), "an empty id was accepted");
    // Blank is an id like any other, of no organization.
    scene.apply(&scene.org("blank", " ").policy("Delete")).await;
    scene.until("blank", "not found", |s| s.reason("Ready") == "OrganizationNotFound").await;
    scene.ok(&["delete", "organization", &scene.name("blank")]).await;
    assert_eq!(outcomes(&scene).await, ["NotFound"]);
    assert_eq!(scene.others(&[]).await, before);
}

async fn f04_a_second_object_never_deletes_the_survivors_data(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, _) = acme_beside_globex(&scene).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("one", &acme).policy("Delete")).await;
    scene.ready("one").await;
    for name in ["two", "three"] {
        scene.apply(&scene.org(name, &acme).policy("Delete")).await;
        scene.until(name, "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    }
    // The one that owns nothing, then the owner: each time an object survives that names the organization.
    for (name, outcome) in [("two", "Retained"), ("one", "Transferred")] {
        scene.ok(&["delete", "organization", &scene.name(name)]).await;
        scene.event(name, outcome).await;
        assert_eq!(scene.others(&[]).await, before, "{name} touched the survivor's data");
    }
    scene.ready("three").await;
    scene.ok(&["delete", "organization", &scene.name("three")]).await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(outcomes(&scene).await, ["Retained", "Transferred", "Erased"]);
}

/// The operator's own rights, less one: reading the object, listing others that name the organization, reading the CRD.
async fn f05_a_failed_read_is_no_permission(world: Arc<World>) {
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let rows = scene.total(&acme).await;
    let namespace = "organization-operator-system";
    let name = format!("f05-{}", scene.class);
    let account = format!("system:serviceaccount:{namespace}:{name}");
    let role = |verbs: &[&str], crd: &[&str]| {
        let rules = json!([
            {"apiGroups": ["organization-operator.io"], "resources": ["organizations"], "verbs": verbs},
            {"apiGroups": ["organization-operator.io"], "resources": ["organizations/status"], "verbs": ["patch"]},
            {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": crd},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
            {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
        ]);
        let metadata = json!({"name": name});
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules});
        scene.file("role.json", &role.to_string())
    };
    let all = ["get", "list", "watch", "patch", "delete", "force-finalize"];
    scene.ok(&["create", "serviceaccount", &name, "-n", namespace]).await;
    scene.ok(&["apply", "-f", &role(&all, &["get"])]).await;
    let subject = format!("--serviceaccount={namespace}:{name}");
    scene.ok(&["create", "clusterrolebinding", &name, &format!("--clusterrole={name}"), &subject]).await;
    let token = scene.ok(&["create", "token", &name, "-n", namespace]).await;
    // After the wait the cache is not known to be complete, so the API server is asked.
    let launch = scene.operator().configure("handoverSeconds", json!(1));
    let _operator = launch.token(&scene, token.trim()).start().await;

    let take = async |missing: &str| {
        let verbs: Vec<&str> = all.iter().copied().filter(|v| *v != missing).collect();
        let crd: &[&str] = if missing == "crd" { &["patch"] } else { &["get"] };
        scene.ok(&["apply", "-f", &role(&verbs, crd)]).await;
        let (verb, resource) = match missing {
            "crd" => ("get", "customresourcedefinitions.apiextensions.k8s.io"),
            verb => (verb, "organizations.organization-operator.io"),
        };
        eventually("the right is gone", || async {
            let answer = scene.kubectl(&["auth", "can-i", verb, resource, "--as", &account]).await;
            (!answer.status.success()).then_some(())
        })
        .await;
    };

    // Whether the owner of a claim is still there cannot be read: it is not taken for gone.
    scene.apply(&scene.org("owner", &acme)).await;
    scene.ready("owner").await;
    take("get").await;
    scene.apply(&scene.org("second", &acme).policy("Delete")).await;
    scene.until("second", "refused", |s| s.reason("Ready") == "PermissionDenied").await;
    scene.delete("second").await;
    let seen = scene.until("second", "blocked", |s| s.is("DeletionBlocked", "True")).await;
    assert_eq!(seen.reason("DeletionBlocked"), "PermissionDenied", "{}", seen.yaml());
    scene.ok(&["apply", "-f", &role(&all, &["get"])]).await;
    scene.gone("second").await;
    scene.delete("owner").await;
    scene.gone("owner").await;
    assert_eq!(scene.total(&acme).await, rows, "something was deleted");

    for missing in ["list", "crd"] {
        scene.apply(&scene.org(missing, &acme).policy("Delete")).await;
        scene.ready(missing).await;
        take(missing).await;
        scene.delete(missing).await;
        let seen = scene.until(missing, "blocked", |s| s.is("DeletionBlocked", "True")).await;
        assert_eq!(seen.reason("DeletionBlocked"), "PermissionDenied", "{missing}: {}", seen.yaml());
        assert!(seen.deletion().is_some_and(|d| d.outcome.is_none()), "{missing}: {}", seen.yaml());
        // The write that says so proves the cache to be complete: the next attempt need not list.
        if missing == "crd" {
            assert_eq!(scene.total(&acme).await, rows, "{missing}: something was deleted");
        }
        scene.ok(&["apply", "-f", &role(&all, &["get"])]).await;
        scene.gone(missing).await;
        assert_eq!(scene.total(&acme).await, 0, "{missing}");
        scene.seed(&acme).await;
    }
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f06_what_was_adopted_is_not_destroyed(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, _) = acme_beside_globex(&scene).await;
    let _operator = scene.start().await;
    // Named like the tenant, but with an id of nobody.
    scene.sql(&format!("UPDATE organizations SET name = '{}' WHERE id = '{acme}'", scene.name("acme"))).await;
    let before = scene.others(&[]).await;
    scene.apply(&scene.org("acme", &scene.key(9)).policy("Delete")).await;
    scene.until("acme", "not found", |s| s.reason("Ready") == "OrganizationNotFound").await;
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    // An organization that was there before its object, and no word about deletion.
    scene.apply(&scene.org("adopted", &acme)).await;
    scene.ready("adopted").await;
    scene.ok(&["delete", "organization", &scene.name("adopted")]).await;
    assert_eq!(outcomes(&scene).await, ["NotFound", "Retained"]);
    assert_eq!(scene.others(&[]).await, before);
}

async fn f07_deleting_the_crd_erases_nobody(world: Arc<World>) {
    let world = Arc::new(world.apart().await);
    let scene = Scene::new(world, Variant::Ordinary).await;
    let _ = acme_beside_globex(&scene).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    for (number, name) in [(1, "acme"), (2, "globex")] {
        scene.apply(&scene.org(name, &scene.key(number)).policy("Delete")).await;
        scene.ready(name).await;
    }
    let crd = "crd/organizations.organization-operator.io";
    scene.ok(&["annotate", crd, "organization-operator.io/allow-crd-deletion=true"]).await;
    scene.ok(&["delete", crd, "--timeout=60s"]).await;
    for name in ["acme", "globex"] {
        let note = scene.event(name, "Retained").await;
        assert!(note.contains("CustomResourceDefinition"), "{note}");
    }
    assert_eq!(scene.others(&[]).await, before);
    assert_eq!(outcomes(&scene).await, ["Retained", "Retained"]);
}

async fn f10_a_policy_changed_after_the_finalizer_is_honoured(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let rows = scene.total(&acme).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("lowered", &acme).policy("Delete")).await;
    scene.ready("lowered").await;
    // Without a pause: the operator may not have seen the new policy when it sees the deletion.
    scene.patch("lowered", r#"{"deletionPolicy":"Retain"}"#).await;
    scene.ok(&["delete", "organization", &scene.name("lowered")]).await;
    assert_eq!(scene.total(&acme).await, rows);

    scene.apply(&scene.org("raised", &acme)).await;
    scene.ready("raised").await;
    scene.patch("raised", r#"{"deletionPolicy":"Delete"}"#).await;
    scene.ok(&["delete", "organization", &scene.name("raised")]).await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(outcomes(&scene).await, ["Retained", "Erased"]);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f18_the_event_says_what_happened(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let _operator = scene.start().await;
    let expected = [
        ("Retain", "Retained", "kept"),
        ("Deactivate", "Deactivated", "kept"),
        ("Delete", "Erased", "erased permanently"),
    ];
    for (number, (policy, outcome, words)) in (1..).zip(expected) {
        let (name, key) = (policy.to_lowercase(), scene.key(number));
        scene.seed(&key).await;
        let rows = scene.total(&key).await;
        scene.apply(&scene.org(&name, &key).policy(policy)).await;
        scene.ready(&name).await;
        scene.ok(&["delete", "organization", &scene.name(&name)]).await;
        let said: Vec<_> = scene.events(&name).await.into_iter().filter(|(r, _)| Outcome::parse(r).is_some()).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].0, outcome);
        assert!(said[0].1.contains(words), "{said:?}");
        assert_eq!(scene.total(&key).await, if policy == "Delete" { 0 } else { rows }, "{policy}");
    }
}

async fn f19_created_and_deleted_before_the_first_look_leaks_nothing(world: Arc<World>) {
    // With the finalizer in the manifest, and with the component that adds it to objects without.
    let apart = Arc::new(world.apart().await);
    let component = path("deploy/components/finalizer-at-creation/finalizer-at-creation.yaml");
    apart.ok(&["apply", "-f", &component]).await;
    for world in [world, apart.clone()] {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let (acme, others) = acme_beside_globex(&scene).await;
        let mut org = scene.org("acme", &acme).policy("Delete");
        if Arc::ptr_eq(&world, &apart) {
            eventually("the component to take effect", || async {
                scene.apply(&scene.org("probe", "none")).await;
                let seen = scene.get("probe").await.expect("created");
                scene.delete("probe").await;
                if has_finalizer(&seen) { Some(()) } else { None }
            })
            .await;
        } else {
            org = org.with_finalizer();
        }
        scene.apply(&org).await;
        scene.delete("acme").await;
        assert!(scene.get("acme").await.is_some_and(|s| has_finalizer(&s)), "it waits for the operator");
        let _operator = scene.start().await;
        scene.gone("acme").await;
        assert_eq!(scene.total(&acme).await, 0);
        assert_eq!(scene.others(&[&acme]).await, others);
    }
}

async fn f20_failures_before_do_not_delay_the_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, _) = acme_beside_globex(&scene).await;
    let hour = json!({"initialSeconds": 3600, "maxSeconds": 3600});
    let launch = scene.operator().configure("retry.backoff", hour.clone()).configure("retry.slow", hour);
    let _operator = launch.start().await;
    // Somebody holds the row that the deactivation has to change, so the live object fails and waits for an hour.
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM organizations WHERE id = '{acme}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    scene.patch("acme", r#"{"state":"Deactivated"}"#).await;
    scene.until("acme", "LockTimeout", |s| s.reason("Ready") == "LockTimeout").await;
    holder.execute("ROLLBACK").await.expect("released");
    scene.ok(&["delete", "organization", &scene.name("acme"), "--timeout=20s"]).await;
    assert_eq!(scene.total(&acme).await, 0);
}

async fn f22_an_object_created_again_is_another_object(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let rows = scene.total(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    // Behind the operator's back the object is replaced by one of the same name that keeps the data.
    scene.delete("acme").await;
    strip(&scene, "acme").await;
    scene.gone("acme").await;
    scene.apply(&scene.org("acme", &acme)).await;
    let _operator = scene.start().await;
    scene.ready("acme").await;
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.total(&acme).await, rows);

    // A record of the old object does not answer for the new one.
    for _ in 0..2 {
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;
        scene.ok(&["delete", "organization", &scene.name("acme")]).await;
        assert_eq!(scene.total(&acme).await, 0);
        scene.seed(&acme).await;
    }
    assert_eq!(outcomes(&scene).await, ["Retained", "Erased", "Erased"]);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f24_no_early_return_forgets_a_condition(world: Arc<World>) {
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let (acme, _) = acme_beside_globex(&scene).await;
    scene.sql(&format!("CREATE TABLE notes (user_id uuid REFERENCES users); GRANT SELECT ON notes TO {ROLE}")).await;
    scene.sql(&format!("INSERT INTO notes SELECT id FROM users WHERE organization_id = '{acme}'")).await;
    let operator = scene.start().await;
    let recorder = Recorder::start(&scene, "acme");
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    scene.delete("acme").await;
    scene.until("acme", "a foreign key", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    scene.sql(&format!("REVOKE DELETE ON users FROM {ROLE}")).await;
    scene.until("acme", "a privilege", |s| s.reason("DeletionBlocked") == "PermissionDenied").await;
    scene.sql(&format!("GRANT DELETE ON users TO {ROLE}")).await;
    scene.until("acme", "a foreign key again", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
    scene.sql("DELETE FROM notes").await;
    scene.gone("acme").await;
    operator.stop().await;

    let seen = eventually("the last event", || async { recorder.ended().then(|| recorder.seen()) }).await;
    let deleting: Vec<&Seen> = seen.iter().filter(|s| s.deletion().is_some()).collect();
    assert!(deleting.len() >= 4, "{}", deleting.len());
    for s in deleting {
        let (yaml, done) = (s.yaml(), s.deletion().is_some_and(|d| d.outcome.is_some()));
        assert!(s.has("Deleting") && s.has("DeletionBlocked") && s.has("Ready"), "{yaml}");
        assert_eq!(s.reason("Deleting") == "Completed", done, "{yaml}");
        assert_eq!(s.is("DeletionBlocked", "False"), done, "{yaml}");
        assert_eq!(s.error().is_none(), done, "{yaml}");
        assert!(!s.is("Ready", "True"), "{yaml}");
    }
}

async fn f25_a_stricter_schema_does_not_hold_the_finalizer(world: Arc<World>) {
    let world = Arc::new(world.apart().await);
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.apply(&scene.org("kept", &scene.key(2))).await;
    scene.ready("acme").await;
    scene.ready("kept").await;
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let stricter = json!([
        {"op": "add", "path": format!("{spec}/properties/organizationId/pattern"), "value": "^newer-[0-9]+$"},
        {"op": "add", "path": format!("{spec}/properties/region"), "value": {"type": "string"}},
        {"op": "add", "path": format!("{spec}/required/-"), "value": "region"},
    ]);
    let crd = "organizations.organization-operator.io";
    scene.ok(&["patch", "crd", crd, "--type=json", "-p", &stricter.to_string()]).await;
    eventually("the stricter schema", || async {
        let file = scene.file("new.yaml", &scene.org("new", &scene.key(3)).yaml());
        let refused = !scene.kubectl(&["apply", "-f", &file]).await.status.success();
        if refused { Some(()) } else { None }
    })
    .await;
    scene.ok(&["delete", "organization", &scene.name("acme"), &scene.name("kept"), "--timeout=60s"]).await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
    let last = scene.event("acme", "Erased").await;
    assert!(last.contains("rows"), "{last}");
}

async fn f26_a_row_that_is_gone_ends_the_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Cascade).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    // While the operator is away somebody deletes the tenant by hand; the manifest is applied again by another name.
    scene.sql(&format!("DELETE FROM organizations WHERE id = '{acme}'")).await;
    scene.delete("acme").await;
    let _operator = scene.start().await;
    scene.gone("acme").await;
    scene.event("acme", "NotFound").await;
    scene.apply(&scene.org("again", &acme).policy("Delete")).await;
    scene.until("again", "not found", |s| s.reason("Ready") == "OrganizationNotFound").await;
    scene.ok(&["delete", "organization", &scene.name("again"), "--timeout=30s"]).await;
    assert_eq!(outcomes(&scene).await, ["NotFound", "NotFound"]);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f27_force_does_not_turn_a_refusal_into_a_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let _ = acme_beside_globex(&scene).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    let uid = scene.uid("acme").await;
    // kubectl deletes and creates again whatever is refused as invalid (422), so identity is refused as forbidden (403).
    for change in [scene.org("acme", &scene.key(2)), scene.org("acme", &scene.key(1)).spec("database", json!("other"))]
    {
        let file = scene.file("changed.yaml", &change.policy("Delete").yaml());
        let output = scene.kubectl(&["apply", "--force", "-f", &file]).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.to_lowercase().contains("forbidden"), "{text}");
    }
    assert_eq!(scene.uid("acme").await, uid, "it is the same object still");
    scene.ready("acme").await;
    assert_eq!(scene.others(&[]).await, before);
}

async fn f28_the_finalizer_of_another_object_is_not_taken(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let launch = scene.operator().configure("database.lockTimeoutSeconds", json!(15));
    let _operator = launch.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    // The cascade hangs at a row that somebody holds; meanwhile the object is replaced by one of the same name.
    let mut holder = scene.connect().await;
    let lock = format!("BEGIN; SELECT FROM users WHERE organization_id = '{acme}' FOR UPDATE");
    holder.execute(AssertSqlSafe(lock)).await.expect("a lock");
    scene.delete("acme").await;
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
        scene.database
    );
    eventually("the cascade to wait", || async { (scene.value::<i64>(&waiting).await > 0).then_some(()) }).await;
    strip(&scene, "acme").await;
    scene.gone("acme").await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").with_finalizer()).await;
    let uid = scene.uid("acme").await;
    let recorder = Recorder::start(&scene, "acme");
    holder.execute("ROLLBACK").await.expect("released");

    let seen = scene.until("acme", "its own state", |s| s.reason("Ready") == "OrganizationNotFound").await;
    assert!(has_finalizer(&seen), "{}", seen.yaml());
    assert_eq!(seen.0.metadata.uid.as_deref(), Some(uid.as_str()));
    assert!(seen.deletion().is_none(), "it has nothing of the old object's status: {}", seen.yaml());
    // So its own deletion does not leak.
    scene.seed(&acme).await;
    scene.ready("acme").await;
    // Not even for a moment: the operator would put it back.
    let own = |s: &&Seen| s.0.metadata.uid.as_deref() == Some(uid.as_str());
    assert!(recorder.seen().iter().filter(own).all(has_finalizer), "the new object lost its finalizer");
    assert!(recorder.seen().iter().any(|s| own(&s)));
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(outcomes(&scene).await, ["Erased", "Erased"]);
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f29_nobody_erases_by_naming_a_victim(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let _ = acme_beside_globex(&scene).await;
    let before = scene.others(&[]).await;
    let _operator = scene.start().await;
    let mallory = format!("mallory-{}", scene.class);
    let verbs = "--verb=get,list,create,update,patch";
    scene.ok(&["create", "clusterrole", &mallory, verbs, "--resource=organizations.organization-operator.io"]).await;
    let (role, user) = (format!("--clusterrole={mallory}"), format!("--user={mallory}"));
    scene.ok(&["create", "clusterrolebinding", &mallory, &role, &user]).await;
    let allowed = ["auth", "can-i", "create", "organizations.organization-operator.io", "--as", &mallory];
    eventually("the role", || async { scene.kubectl(&allowed).await.status.success().then_some(()) }).await;
    let victim = scene.org("mine", &scene.key(1));

    // May write, may not delete: neither an erasure nor an expiration that amounts to one can be prepared.
    let expiring = victim.clone().policy("Delete").expires("2999-01-01T00:00:00Z");
    for org in [victim.clone().policy("Delete"), expiring] {
        let file = scene.file("mine.yaml", &org.yaml());
        let output = scene.kubectl(&["apply", "-f", &file, "--as", &mallory]).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("forbidden"), "{text}");
    }
    let file = scene.file("mine.yaml", &victim.yaml());
    scene.ok(&["apply", "-f", &file, "--as", &mallory]).await;
    scene.ready("mine").await;
    let output = scene.kubectl(&["delete", "organization", &scene.name("mine"), "--as", &mallory]).await;
    assert!(!output.status.success(), "deleted without the right to");

    // May do everything with objects, but the organization is somebody else's.
    scene.apply(&scene.org("theirs", &scene.key(1)).policy("Delete")).await;
    scene.until("theirs", "refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
    scene.ok(&["delete", "organization", &scene.name("theirs")]).await;
    assert_eq!(scene.others(&[]).await, before);
}

async fn f30_a_status_that_lies_skips_nothing(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let (acme, others) = acme_beside_globex(&scene).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    scene.delete("acme").await;
    let name = scene.name("acme");
    let steps: Vec<_> = ["users", "flows", "flowExecutions", "taskOutputs", "taskStatuses"]
        .iter()
        .map(|entity| json!({"entity": entity, "tables": [], "found": 0, "deleted": 0}))
        .collect();
    let lie = json!({"status": {
        "state": "Absent",
        "inventory": {"users": 0, "total": 0},
        "deletion": {"policy": "Delete", "outcome": "Erased", "steps": steps},
        "conditions": [{
            "type": "Deleting", "status": "True", "reason": "Completed", "message": "done", "observedGeneration": 2,
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        }],
    }});
    scene.ok(&["patch", "organization", &name, "--subresource=status", "--type=merge", "-p", &lie.to_string()]).await;
    let _operator = scene.start().await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1);
    assert_eq!(
        ledger[0].steps.as_array().map(|s| s.iter().filter(|s| s["deleted"].as_i64() > Some(0)).count()),
        Some(5)
    );
    assert_eq!(scene.others(&[&acme]).await, others);
}

async fn f31_rows_written_while_counting_do_not_stay(world: Arc<World>) {
    for variant in [Variant::Ordinary, Variant::Platform, Variant::NoKeys] {
        let scene = Scene::new(world.clone(), variant).await;
        let (acme, others) = acme_beside_globex(&scene).await;
        let _operator = scene.start().await;
        scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
        scene.ready("acme").await;
        // A writer that does not care whether the organization is deactivated, or there at all.
        let stop = Arc::new(AtomicBool::new(false));
        let writing = {
            let (stop, mut connection, acme) = (stop.clone(), scene.connect().await, acme.clone());
            tokio::spawn(async move {
                let mut written = 0_u32;
                // No attempt succeeds while rows appear during each, so they come ever less often: on a slow machine an attempt
                // takes longer than the first pauses. The drain time is longer than the last ones, so rows appear in it.
                let mut pause = Duration::from_millis(20);
                while !stop.load(Ordering::Relaxed) {
                    for insert in [
                        "INSERT INTO users (organization_id, email) VALUES ('KEY', gen_random_uuid()::text)",
                        "INSERT INTO flow_executions (flow_id) VALUES (md5('KEY flow 1')::uuid)",
                        "INSERT INTO task_outputs (flow_execution_id, task) VALUES (md5('KEY execution 1 1')::uuid, 'late')",
                    ] {
                        // Refused where foreign keys protect the organization.
                        written +=
                            u32::from(connection.execute(AssertSqlSafe(insert.replace("KEY", &acme))).await.is_ok());
                    }
                    tokio::time::sleep(pause).await;
                    pause = pause.mul_f64(1.05).min(Duration::from_millis(500));
                }
                written
            })
        };
        scene.delete("acme").await;
        if variant == Variant::NoKeys {
            // Everything is erased, and still the object stays while there is somebody who writes.
            scene.until("acme", "counting again", |s| s.reason("Deleting") == "Verifying").await;
            tokio::time::sleep(Duration::from_secs(4)).await;
            let seen = scene.get("acme").await.expect("it stays while rows appear");
            assert!(has_finalizer(&seen));
        } else {
            scene.gone("acme").await;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(writing.await.expect("the writer") > 0, "{variant:?}");
        scene.gone("acme").await;
        assert_eq!(scene.total(&acme).await, 0, "{variant:?}: rows are left");
        // Rows without an owner would show here.
        assert_eq!(scene.others(&[&acme]).await, others, "{variant:?}: rows are left, or other tenants changed");
        let ledger = scene.ledger().await;
        assert!(ledger.len() == 1 && ledger[0].outcome == "Erased" && ledger[0].verified, "{variant:?}: {ledger:?}");
    }
}
