//! "However often the operator is killed, and wherever, a deletion ends as if nothing had happened."
//!
//! Each test takes one piece of the operator's work, counts its SQL statements and its writes to the API server in a
//! reference run, and then does it again for every one of them, with the operator killed (SIGKILL) or its connection
//! closed right before or right after the server carried it out. A new operator finishes. Invariants 1 to 4 must hold
//! then, each time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testbed::Signal;
use testbed::proxy::{Fault, Moment};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Org, PATIENCE, Scene, Variant, World, eventually};
use crate::tests;

tests![
    creation_survives_a_kill_anywhere,
    erasure_survives_a_kill_anywhere,
    erasure_survives_a_lost_connection_anywhere,
    erasure_without_foreign_keys_survives_a_kill_anywhere,
    recovery_window_survives_a_kill_anywhere,
    undo_survives_a_kill_anywhere,
    deactivation_survives_a_kill_anywhere,
    transfer_survives_a_kill_anywhere,
];

/// Plans that run at the same time, over all tests of this module.
static PLANS: Semaphore = Semaphore::const_new(6);
/// How long after the work is done a fault may still come up: some writes follow the one that shows the end.
const GRACE: Duration = Duration::from_secs(1);

async fn creation_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::Create, Blow::Kill).await;
}

async fn erasure_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::Erase, Blow::Kill).await;
}

/// Among them: COMMIT was carried out, and its answer is lost. The operator does not know whether it committed.
async fn erasure_survives_a_lost_connection_anywhere(world: Arc<World>) {
    matrix(&world, Story::Erase, Blow::LostConnection).await;
}

/// Deactivate, settle, delete, commit, count again: two transactions more, and keys that are kept in between.
async fn erasure_without_foreign_keys_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::EraseUnfenced, Blow::Kill).await;
}

async fn recovery_window_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::StartWindow, Blow::Kill).await;
}

async fn undo_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::Undo, Blow::Kill).await;
}

async fn deactivation_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::Deactivate, Blow::Kill).await;
}

async fn transfer_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::Transfer, Blow::Kill).await;
}

/// A piece of the operator's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Story {
    /// An object is created: finalizer, claim, status.
    Create,
    /// `Delete`, everything in one transaction.
    Erase,
    /// `Delete` where no foreign key keeps late rows out.
    EraseUnfenced,
    /// `Delete` with a recovery window: up to the point where it waits.
    StartWindow,
    /// The policy is lowered to `Retain` within the recovery window.
    Undo,
    /// `Deactivate`.
    Deactivate,
    /// The object goes while another one names the same organization.
    Transfer,
}

/// What happens to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// It is killed.
    Kill,
    /// Its connection is closed.
    LostConnection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proxy {
    Sql,
    Api,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    story: Story,
    blow: Blow,
    proxy: Proxy,
    fault: Fault,
}

/// Carries a story out once for every statement and every write, before and after it.
async fn matrix(world: &Arc<World>, story: Story, blow: Blow) {
    let started = Instant::now();
    let (statements, writes) = reference(world, story).await;
    let mut plans = Vec::new();
    for (proxy, count) in [(Proxy::Sql, statements), (Proxy::Api, writes)] {
        for ordinal in 1..=count {
            plans.extend(both_moments(story, blow, proxy, ordinal));
        }
    }
    let mut struck = run_all(world, plans).await;
    // The count may have been one too low by chance: go on until the fault does not come up any more.
    for (proxy, count) in [(Proxy::Sql, statements), (Proxy::Api, writes)] {
        for ordinal in count + 1.. {
            let more = run_all(world, both_moments(story, blow, proxy, ordinal).to_vec()).await;
            if more == 0 {
                break;
            }
            struck += more;
        }
    }
    assert!(struck >= 2 * (statements + writes) - 4, "{story:?}: only {struck} faults came up");
    eprintln!(
        "crash matrix {story:?}, {blow:?}: {statements} SQL statements, {writes} API writes, {struck} faults, {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

fn both_moments(story: Story, blow: Blow, proxy: Proxy, ordinal: u64) -> [Plan; 2] {
    [Moment::Before, Moment::After].map(|moment| Plan { story, blow, proxy, fault: Fault { ordinal, moment } })
}

/// Runs plans at the same time. Returns how many faults came up.
async fn run_all(world: &Arc<World>, plans: Vec<Plan>) -> u64 {
    let mut running = JoinSet::new();
    for plan in plans {
        let world = world.clone();
        running.spawn(async move {
            let _permit = PLANS.acquire().await.expect("never closed");
            run(world, plan).await
        });
    }
    let mut struck = 0;
    while let Some(ended) = running.join_next().await {
        struck += u64::from(ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    struck
}

/// The story without a fault. Returns how many statements and writes it takes.
async fn reference(world: &Arc<World>, story: Story) -> (u64, u64) {
    let _permit = PLANS.acquire().await.expect("never closed");
    let stage = Stage::set(world.clone(), story).await;
    let (sql, api) = (stage.scene.sql_proxy().await, stage.scene.api_proxy().await);
    let launch = stage.launch().url(&stage.scene.url_through(&sql)).through(&stage.scene, &api);
    let operator = launch.start().await;
    stage.prepare().await;
    sql.record();
    api.record();
    stage.act().await;
    stage.wait_done("the reference run").await;
    tokio::time::sleep(GRACE).await;
    stage.check("the reference run").await;
    let list = |passed: Vec<testbed::proxy::Passed>| passed.iter().map(|p| format!("\n  {p}")).collect::<String>();
    assert!(sql.count() >= 5, "{story:?} takes more statements than{}", list(sql.log()));
    assert!(api.count() >= 1, "{story:?} takes more writes than{}", list(api.log()));
    operator.stop().await;
    (sql.count(), api.count())
}

/// One story with one fault. Returns whether it came up.
async fn run(world: Arc<World>, plan: Plan) -> bool {
    let stage = Stage::set(world, plan.story).await;
    let (sql, api) = (stage.scene.sql_proxy().await, stage.scene.api_proxy().await);
    let launch = stage.launch().url(&stage.scene.url_through(&sql)).through(&stage.scene, &api);
    let operator = Arc::new(launch.start().await);
    stage.prepare().await;
    let hook = {
        let operator = operator.clone();
        move || {
            if plan.blow == Blow::Kill {
                operator.signal(Signal::Kill);
            }
        }
    };
    match plan.proxy {
        Proxy::Sql => sql.arm(plan.fault, hook),
        Proxy::Api => api.arm(plan.fault, hook),
    }
    let fired = || match plan.proxy {
        Proxy::Sql => sql.fired(),
        Proxy::Api => api.fired(),
    };
    stage.act().await;
    let end = Instant::now() + PATIENCE;
    while fired().is_none() && !stage.done().await {
        assert!(Instant::now() < end, "{plan:?}: neither the fault nor the end came\n{}", operator.leash().log_tail(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let end = Instant::now() + GRACE;
    while fired().is_none() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let struck = fired();
    let what = format!("{plan:?} at {}", struck.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string));
    let second = match (&struck, plan.blow) {
        (Some(_), Blow::Kill) => {
            operator.leash().wait_exit(PATIENCE).await.unwrap_or_else(|| panic!("{what}: it was not killed"));
            Some(stage.launch().start().await)
        }
        _ => None,
    };
    stage.wait_done(&what).await;
    stage.check(&what).await;
    drop(second);
    struck.is_some()
}

/// One run's database, tenants and objects.
struct Stage {
    scene: Scene,
    story: Story,
    key: String,
    rows: Vec<(String, i64)>,
    others: String,
}

impl Stage {
    async fn set(world: Arc<World>, story: Story) -> Self {
        let variant = if story == Story::EraseUnfenced { Variant::NoKeys } else { Variant::Platform };
        let scene = Scene::new(world, variant).await;
        let key = scene.key(1);
        scene.seed(&key).await;
        scene.seed(&scene.key(2)).await;
        let (rows, others) = (scene.rows(&key).await, scene.others(&[&key]).await);
        Self { scene, story, key, rows, others }
    }

    /// An operator that does nothing by the clock, so that statements come in the same order each time.
    fn launch(&self) -> crate::support::Launch {
        self.scene
            .operator()
            .configure("pollIntervalSeconds", json!(3600))
            .configure("retry.slow", json!({"initialSeconds": 3600, "maxSeconds": 3600}))
    }

    fn org(&self, name: &str) -> Org {
        let org = self.scene.org(name, &self.key);
        match self.story {
            Story::Create | Story::Erase | Story::EraseUnfenced | Story::Transfer => org.policy("Delete"),
            Story::StartWindow | Story::Undo => org.policy("Delete").window(3600),
            Story::Deactivate => org.policy("Deactivate"),
        }
    }

    async fn create(&self, name: &str) {
        let object = serde_yaml::from_str(&self.org(name).yaml()).expect("an object");
        self.scene.api().create(&PostParams::default(), &object).await.expect("it is created");
    }

    async fn delete(&self) {
        self.scene.api().delete(&self.scene.name("acme"), &DeleteParams::default()).await.expect("it is deleted");
    }

    /// Everything that comes before what is struck.
    async fn prepare(&self) {
        if self.story == Story::Create {
            return;
        }
        self.create("acme").await;
        self.scene.ready("acme").await;
        match self.story {
            Story::Transfer => {
                self.create("heir").await;
                self.scene.until("heir", "a claim refused", |s| s.reason("Ready") == "OrganizationClaimed").await;
                self.scene.event("heir", "OrganizationClaimed").await;
            }
            Story::Undo => {
                self.delete().await;
                self.scene.until("acme", "the recovery window", |s| s.reason("Deleting") == "RecoveryWindow").await;
                self.scene.event("acme", "RecoveryWindow").await;
            }
            _ => {}
        }
    }

    /// What a person does.
    async fn act(&self) {
        match self.story {
            Story::Create => self.create("acme").await,
            Story::Undo => {
                let retain = Patch::Merge(json!({"spec": {"deletionPolicy": "Retain"}}));
                let name = self.scene.name("acme");
                self.scene.api().patch(&name, &PatchParams::default(), &retain).await.expect("it is patched");
            }
            _ => self.delete().await,
        }
    }

    async fn done(&self) -> bool {
        match (self.story, self.scene.get("acme").await) {
            (Story::Create, Some(acme)) => acme.is("Ready", "True"),
            (Story::StartWindow, Some(acme)) => acme.reason("Deleting") == "RecoveryWindow",
            (_, acme) => acme.is_none(),
        }
    }

    async fn wait_done(&self, what: &str) {
        eventually(what, || async { self.done().await.then_some(()) }).await;
    }

    /// The same end, whatever happened on the way.
    async fn check(&self, what: &str) {
        let scene = &self.scene;
        assert_eq!(scene.others(&[&self.key]).await, self.others, "{what}: other tenants changed");
        let left = scene.rows(&self.key).await;
        match self.story {
            Story::Erase | Story::EraseUnfenced => assert!(left.iter().all(|r| r.1 == 0), "{what}: {left:?}"),
            _ => assert_eq!(left, self.rows, "{what}: rows of the tenant changed"),
        }
        if !matches!(self.story, Story::Erase | Story::EraseUnfenced) {
            let active = format!("SELECT is_active FROM organizations WHERE id = '{}'", self.key);
            let wanted = !matches!(self.story, Story::StartWindow | Story::Deactivate);
            assert_eq!(scene.value::<bool>(&active).await, wanted, "{what}: activation");
        }
        self.check_claim(what).await;
        let outcome = match self.story {
            Story::Create | Story::StartWindow => None,
            Story::Erase | Story::EraseUnfenced => Some("Erased"),
            Story::Undo => Some("Retained"),
            Story::Deactivate => Some("Deactivated"),
            Story::Transfer => Some("Transferred"),
        };
        self.check_ledger(what, outcome).await;
        // An Event follows the write that shows the end.
        let reason = outcome.or((self.story == Story::StartWindow).then_some("RecoveryWindow"));
        if let Some(reason) = reason {
            scene.event("acme", reason).await;
        }
        let mut events: BTreeMap<String, usize> = BTreeMap::new();
        for (reason, _) in scene.events("acme").await {
            *events.entry(reason).or_default() += 1;
        }
        let ends = ["Erased", "Deactivated", "Retained", "NotFound", "Transferred", "RecoveryWindow"];
        for end in ends {
            let expected = usize::from(reason == Some(end) || (self.story == Story::Undo && end == "RecoveryWindow"));
            assert_eq!(events.get(end).copied().unwrap_or_default(), expected, "{what}: Events {end} in {events:?}");
        }
    }

    async fn check_claim(&self, what: &str) {
        let claims = "SELECT COALESCE(string_agg(object_uid || ' ' || (window_was_active IS TRUE), ','), '') \
                      FROM organization_operator.claims";
        let found: String = self.scene.value(claims).await;
        let expected = match self.story {
            Story::Create => format!("{} false", self.scene.uid("acme").await),
            Story::StartWindow => format!("{} true", self.scene.uid("acme").await),
            Story::Transfer => format!("{} false", self.scene.uid("heir").await),
            Story::Erase | Story::EraseUnfenced | Story::Undo | Story::Deactivate => String::new(),
        };
        assert_eq!(found, expected, "{what}: claims");
        let kept: i64 = self.scene.value("SELECT count(*) FROM organization_operator.residue").await;
        assert_eq!(kept, 0, "{what}: keys were kept");
        if self.story == Story::Create {
            let acme = self.scene.get("acme").await.expect("the object");
            assert_eq!(acme.0.finalizers(), ["organization-operator.io/cascade"], "{what}");
        }
    }

    async fn check_ledger(&self, what: &str, outcome: Option<&str>) {
        let ledger = self.scene.ledger().await;
        assert_eq!(ledger.len(), usize::from(outcome.is_some()), "{what}: {ledger:?}");
        let Some(entry) = ledger.first() else { return };
        assert_eq!(Some(entry.outcome.as_str()), outcome, "{what}: {entry:?}");
        assert_eq!(entry.organization_key, self.key, "{what}");
        assert!(entry.verified, "{what}: {entry:?}");
        let erased = outcome == Some("Erased");
        assert_eq!(entry.organizations_deleted, i64::from(erased), "{what}: {entry:?}");
        let steps = entry.steps.as_array().expect("steps");
        assert_eq!(steps.len(), if erased { self.rows.len() - 1 } else { 0 }, "{what}: {entry:?}");
        for step in steps {
            let entity = step["entity"].as_str().expect("an entity");
            let expected = self.rows.iter().find(|r| r.0 == entity).map(|r| r.1);
            assert_eq!(step["deleted"].as_i64(), expected, "{what}: {entity} in {entry:?}");
            assert_eq!(step["found"].as_i64(), expected, "{what}: {entity} in {entry:?}");
        }
    }
}
