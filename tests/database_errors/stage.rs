//! A server, an operator that logs everything, and tenants whose every value is recognisable.

use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::{DeleteParams, PostParams};
use organization_operator::api::Reason;
use organization_operator::api::status::ErrorDetail;
use serde_json::json;

use crate::errors::shows;
use crate::support::{Launch, Need, Operator, PASSWORD, Scene, Seen, Variant, World};

/// In every text of every row, in passwords and in what triggers say. Whatever shows it to anybody has leaked it.
const CANARY: &str = "canary";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The one of the whole run.
    Default,
    /// PostgreSQL 18.
    Eighteen,
    /// The one of the whole run, through `PgBouncer` in transaction mode.
    Pooler,
}

impl Via {
    /// What the server needs.
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Self::Default => &[],
            Self::Eighteen => &[Need::Newest],
            Self::Pooler => &[Need::PgBouncer],
        }
    }
}

/// What the operator must show.
#[derive(Clone, Debug)]
pub struct Expect {
    pub reason: Reason,
    pub sql_state: Option<&'static str>,
    pub entity: Option<&'static str>,
    pub table: Option<&'static str>,
    pub constraint: Option<&'static str>,
    pub rows: Option<i64>,
    /// Words of the message.
    pub says: &'static [&'static str],
    /// Words of the remedy.
    pub remedy: &'static [&'static str],
}

impl Expect {
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            sql_state: None,
            entity: None,
            table: None,
            constraint: None,
            rows: None,
            says: &[],
            remedy: &[],
        }
    }
}

/// A scene with an operator.
pub struct Stage {
    pub scene: Scene,
    pub operator: Operator,
    number: u32,
    shown: Vec<String>,
}

/// A tenant that is about to be deleted.
pub struct Doomed {
    pub name: String,
    pub key: String,
    rows: i64,
    /// Fingerprints of all rows, and of those of all others.
    all: String,
    others: String,
}

/// A scene on that server, with a tenant that must never change.
pub async fn scene(world: Arc<World>, via: Via, variant: Variant) -> Scene {
    let world = if via == Via::Eighteen { world.newer().await } else { world };
    let scene = Scene::new(world, variant).await;
    seed(&scene, &scene.key(99)).await;
    scene
}

async fn seed(scene: &Scene, key: &str) {
    scene.seed(key).await;
    scene
        .sql(&format!(
            "UPDATE organizations SET name = '{CANARY} name' WHERE id = '{key}';
             UPDATE users SET email = '{CANARY}-' || id || '@secret.example', display_name = '{CANARY} person';
             UPDATE flows SET name = '{CANARY} flow ' || id;
             UPDATE task_outputs SET output = '{{\"card\": \"{CANARY}\"}}'"
        ))
        .await;
}

/// An operator for the scene that tries again soon, and logs everything it can.
pub async fn launch(scene: &Scene, via: Via) -> Launch {
    let launch = scene.operator().log("trace").configure("database.connectTimeoutSeconds", json!(2));
    if via != Via::Pooler {
        return launch;
    }
    let port = scene.world.pooler().await.port();
    let role = crate::support::ROLE;
    launch.url(&scene.world.postgres().url_through(port, role, PASSWORD, &scene.database))
}

impl Stage {
    pub async fn open(world: Arc<World>, via: Via, variant: Variant) -> Self {
        let scene = scene(world, via, variant).await;
        let launch = launch(&scene, via).await;
        Self::with(scene, launch).await
    }

    pub async fn with(scene: Scene, launch: Launch) -> Self {
        let operator = launch.start().await;
        Self { scene, operator, number: 0, shown: Vec::new() }
    }

    /// With an operator that need not become ready.
    pub async fn unready(scene: Scene, launch: Launch) -> Self {
        let operator = launch.launch().await;
        Self { scene, operator, number: 0, shown: Vec::new() }
    }

    /// A new tenant, and an object that is ready to be deleted.
    pub async fn doomed(&mut self, window: i64) -> Doomed {
        let doomed = self.created(window).await;
        let ready = |s: &Seen| s.is("Ready", "True") && s.is("DeletionReady", "True");
        self.scene.until(&doomed.name, "ready to be deleted", ready).await;
        doomed
    }

    /// A new tenant, and an object for it.
    pub async fn created(&mut self, window: i64) -> Doomed {
        self.number += 1;
        let (name, key) = (format!("doomed{}", self.number), self.scene.key(self.number));
        seed(&self.scene, &key).await;
        let manifest = self.scene.org(&name, &key).policy("Delete").window(window).yaml();
        let object = serde_yaml::from_str(&manifest).expect("an object");
        self.scene.api().create(&PostParams::default(), &object).await.expect("created");
        let (all, others) = (self.scene.others(&[]).await, self.scene.others(&[&key]).await);
        Doomed { rows: self.scene.total(&key).await, name, key, all, others }
    }

    pub async fn delete(&self, doomed: &Doomed) {
        let name = self.scene.name(&doomed.name);
        self.scene.api().delete(&name, &DeleteParams::default()).await.expect("deleted");
    }

    /// Waits until the deletion is blocked as expected, and checks everything that is shown then.
    pub async fn blocked(&mut self, doomed: &Doomed, expect: &Expect) -> ErrorDetail {
        let wanted = |s: &Seen| {
            s.is("DeletionBlocked", "True")
                && s.reason("DeletionBlocked") == expect.reason.as_str()
                && s.error().is_some_and(|e| e.sql_state.as_deref() == expect.sql_state)
        };
        self.scene.until(&doomed.name, &format!("{expect:?}"), wanted).await;
        // As a person sees it.
        let text = self.scene.ok(&["get", "organization", &self.scene.name(&doomed.name), "-o", "json"]).await;
        let seen = Seen(serde_json::from_str(&text).expect("an object"));
        let error = told(&seen, expect);
        self.scene.event(&doomed.name, expect.reason.as_str()).await;
        if self.whole().await {
            assert_eq!(self.scene.others(&[]).await, doomed.all, "rows changed: {text}");
        }
        let metrics = self.operator.metrics().await;
        assert!(metrics.contains(expect.reason.as_str()), "{metrics}");
        self.shown.push(text);
        error
    }

    /// Whether the tables have the names by which the fingerprints are taken.
    async fn whole(&self) -> bool {
        let column = "SELECT count(*) = 1 FROM pg_attribute WHERE attrelid = to_regclass('task_outputs') \
                      AND attname = 'flow_execution_id'";
        self.scene.value(column).await
    }

    /// Waits until the deletion is done, and checks what is left.
    pub async fn healed(&mut self, doomed: &Doomed) {
        self.scene.gone(&doomed.name).await;
        let note = self.scene.event(&doomed.name, "Erased").await;
        assert_eq!(self.scene.total(&doomed.key).await, 0, "rows are left: {note}");
        assert_eq!(self.scene.others(&[&doomed.key]).await, doomed.others, "other tenants changed");
        let ledger = self.scene.ledger().await;
        let row = ledger.iter().find(|r| r.organization_key == doomed.key).expect("a ledger row");
        assert_eq!(row.outcome, "Erased");
        let deleted: i64 = row.steps.as_array().expect("steps").iter().filter_map(|s| s["deleted"].as_i64()).sum();
        assert_eq!(deleted + 1, doomed.rows, "the one transaction deleted every row: {row:?}");
        self.shown.push(format!("{:?}", self.scene.events(&doomed.name).await));
    }

    /// Searches everything that anybody can read for what nobody should read, and stops the operator.
    pub async fn close(mut self) -> Scene {
        self.shown.push(self.operator.metrics().await);
        self.shown.push(self.operator.log());
        let log = self.shown.last().expect("the log");
        assert!(log.contains("TRACE"), "the operator logs at trace level");
        let password = self.scene.world.postgres().admin_url("postgres");
        for secret in [CANARY, PASSWORD, "postgres://", "postgresql://", &password, &self.scene.world.token] {
            for text in &self.shown {
                // How a URL is written is no URL.
                let text = text.replace("postgres://USER:PASSWORD@HOST", "");
                if let Some(at) = text.find(secret) {
                    let from = text[..at].char_indices().rev().nth(600).map_or(0, |(i, _)| i);
                    panic!("`{secret}` is shown: {}", &text[from..(at + secret.len()).min(text.len())]);
                }
            }
        }
        self.operator.stop().await;
        self.scene
    }
}

impl Doomed {
    /// The test itself changed rows of the tenant.
    pub async fn rows_changed(&mut self, stage: &Stage) {
        self.all = stage.scene.others(&[]).await;
        self.others = stage.scene.others(&[&self.key]).await;
    }
}

/// What every blocked deletion tells, and what this one has to.
fn told(seen: &Seen, expect: &Expect) -> ErrorDetail {
    let yaml = seen.yaml();
    let error = shows(seen, expect.reason);
    assert_eq!(error.sql_state.as_deref(), expect.sql_state, "{yaml}");
    for (what, found, wanted) in [
        ("entity", &error.entity, expect.entity),
        ("table", &error.table, expect.table),
        ("constraint", &error.constraint, expect.constraint),
    ] {
        assert!(wanted.is_none() || found.as_deref() == wanted, "{what} {found:?} is not {wanted:?}: {yaml}");
    }
    assert!(expect.rows.is_none() || error.rows == expect.rows, "rows: {yaml}");
    for words in expect.says {
        assert!(error.message.contains(words), "the message lacks `{words}`: {yaml}");
    }
    let remedy = error.remedy.clone().unwrap_or_default();
    for words in expect.remedy {
        assert!(remedy.contains(words), "the remedy lacks `{words}`: {yaml}");
    }
    let nothing = ["othing was deleted", "attempt deleted nothing"].iter().any(|w| error.message.contains(w));
    assert!(nothing || error.message.contains("is not known"), "it does not say what was deleted: {yaml}");
    let condition = seen.message("DeletionBlocked");
    for words in [error.message.as_str(), "To clear it: ", "The operator tries again "] {
        assert!(condition.contains(words), "the condition lacks `{words}`: {yaml}");
    }
    assert_eq!(seen.reason("DeletionReady"), expect.reason.as_str(), "{yaml}");
    let deletion = seen.deletion().expect("it is being deleted");
    assert!(deletion.next_attempt_time.is_some() && deletion.attempts.is_some_and(|n| n >= 1), "{yaml}");
    assert!(deletion.outcome.is_none() && deletion.finish_time.is_none(), "{yaml}");
    assert!(seen.0.metadata.deletion_timestamp.is_some(), "{yaml}");
    assert_eq!(seen.0.finalizers(), ["organization-operator.io/cascade"], "{yaml}");
    error
}
