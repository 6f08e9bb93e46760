//! "However often the operator is killed, and wherever, a deletion ends as if nothing had happened."
//!
//! Each test takes one piece of the operator's work, counts its SQL statements and its writes to the API server in a
//! reference run, and then does it again for every one of them, with the operator killed (SIGKILL) or its connection
//! closed right before or right after the server carried it out. A new operator finishes. Invariants 1 to 4 must hold
//! then, each time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testbed::Signal;
use testbed::proxy::{ApiProxy, Fault, Moment, Passed, SqlProxy};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{Launch, Operator, Org, PATIENCE, Scene, Variant, World, eventually};
use crate::tests;

tests![
    creation_survives_a_kill_anywhere,
    erasure_survives_a_kill_anywhere,
    erasure_survives_a_lost_connection_anywhere,
    erasure_without_foreign_keys_survives_a_kill_anywhere,
    erasure_in_pages_survives_a_kill_anywhere,
    recovery_window_survives_a_kill_anywhere,
    undo_survives_a_kill_anywhere,
    deactivation_survives_a_kill_anywhere,
    transfer_survives_a_kill_anywhere,
];

/// Operators that run at the same time, over all tests of this module.
static OPERATORS: Semaphore = Semaphore::const_new(8);
/// Operators for one test. Each takes one fault after the other.
const LANES: usize = 4;
/// The reference is the shortest of so many runs: creating the object may cause one more reconciliation while one of
/// them runs.
const REFERENCES: usize = 3;
/// How often a fault that did not come up is tried again.
const RETRIES: usize = 2;
/// How often to check whether the work is done although no fault came up.
const CHECK_INTERVAL: Duration = Duration::from_millis(300);
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

/// Deactivate, drain, delete, commit, count again: two transactions more, and keys that are kept in between.
async fn erasure_without_foreign_keys_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::EraseUnprotected, Blow::Kill).await;
}

/// Every page is a transaction, and the counts of all of them end in one row of the ledger.
async fn erasure_in_pages_survives_a_kill_anywhere(world: Arc<World>) {
    matrix(&world, Story::EraseInPages, Blow::Kill).await;
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
    EraseUnprotected,
    /// `Delete` of a tenant that is large enough for pages.
    EraseInPages,
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
    proxy: Proxy,
    fault: Fault,
}

/// Carries a story out once for every statement and every write, before and after it.
async fn matrix(world: &Arc<World>, story: Story, blow: Blow) {
    let started = Instant::now();
    let counts = {
        let _permit = OPERATORS.acquire().await.expect("never closed");
        let mut lane = Lane::open(world.clone(), story, blow).await;
        let mut shortest = [(Proxy::Sql, u64::MAX), (Proxy::Api, u64::MAX)];
        for _ in 0..REFERENCES {
            for (least, (_, count)) in shortest.iter_mut().zip(lane.reference().await) {
                least.1 = least.1.min(count);
            }
        }
        shortest
    };
    let mut plans = VecDeque::new();
    for (proxy, count) in counts {
        plans.extend((1..=count).flat_map(|ordinal| moments(story, proxy, ordinal)));
    }
    let mut struck = plans.len();
    let mut missed = run_all(world, story, blow, plans).await;
    for _ in 0..RETRIES {
        if !missed.is_empty() {
            missed = run_all(world, story, blow, missed).await;
        }
    }
    assert!(missed.is_empty(), "{story:?}: {} of {struck} faults never came up: {missed:?}", missed.len());
    // Another run may be longer: go on until the faults do not come up any more.
    for (proxy, count) in counts {
        for ordinal in count + 1.. {
            let moments = moments(story, proxy, ordinal);
            let more = moments.len() - run_all(world, story, blow, moments.into()).await.len();
            if more == 0 {
                break;
            }
            struck += more;
        }
    }
    let [(_, statements), (_, writes)] = counts;
    eprintln!(
        "crash matrix {story:?}, {blow:?}: {statements} SQL statements, {writes} API writes, {struck} faults, {:.0} s",
        started.elapsed().as_secs_f64()
    );
}

/// A kill before a statement is one after the statement before it, so the longest story takes one moment only.
fn moments(story: Story, proxy: Proxy, ordinal: u64) -> Vec<Plan> {
    let moments: &[Moment] = match story {
        Story::EraseInPages => &[Moment::After],
        _ => &[Moment::Before, Moment::After],
    };
    moments.iter().map(|&moment| Plan { proxy, fault: Fault { ordinal, moment } }).collect()
}

/// Runs plans, several at the same time. Returns those whose fault did not come up.
async fn run_all(world: &Arc<World>, story: Story, blow: Blow, plans: VecDeque<Plan>) -> VecDeque<Plan> {
    let lanes = LANES.min(plans.len());
    let plans = Arc::new(Mutex::new(plans));
    let mut running = JoinSet::new();
    for _ in 0..lanes {
        let (world, plans) = (world.clone(), plans.clone());
        running.spawn(async move {
            let _permit = OPERATORS.acquire().await.expect("never closed");
            let mut lane = Lane::open(world, story, blow).await;
            let mut missed = VecDeque::new();
            loop {
                let next = plans.lock().expect("a lock").pop_front();
                let Some(plan) = next else { return missed };
                if !lane.run(plan).await {
                    missed.push_back(plan);
                }
            }
        });
    }
    let mut missed = VecDeque::new();
    while let Some(ended) = running.join_next().await {
        missed.append(&mut ended.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    missed
}

/// A database with an operator behind proxies. Every run takes a fresh tenant and a fresh object.
struct Lane {
    scene: Arc<Scene>,
    story: Story,
    blow: Blow,
    sql: SqlProxy,
    api: ApiProxy,
    operator: Arc<Operator>,
    runs: u32,
}

impl Lane {
    async fn open(world: Arc<World>, story: Story, blow: Blow) -> Self {
        let variant = match story {
            Story::EraseUnprotected => Variant::NoKeys,
            Story::EraseInPages => Variant::Ordinary,
            _ => Variant::Platform,
        };
        let scene = Arc::new(Scene::new(world, variant).await);
        let bystander = scene.key(0);
        scene.seed(&bystander).await;
        let (sql, api) = (scene.sql_proxy().await, scene.api_proxy().await);
        let operator = Arc::new(launch(&scene, story, &sql, &api).start().await);
        Self { scene, story, blow, sql, api, operator, runs: 0 }
    }

    async fn stage(&mut self) -> Stage {
        self.runs += 1;
        Stage::set(self.scene.clone(), self.story, self.runs).await
    }

    /// The story without a fault. Returns how many statements and writes it takes.
    async fn reference(&mut self) -> [(Proxy, u64); 2] {
        let what = format!("{:?} without a fault", self.story);
        let stage = self.stage().await;
        self.quiet().await;
        self.sql.record();
        self.api.record();
        stage.act().await;
        stage.wait_done(&what).await;
        tokio::time::sleep(GRACE).await;
        stage.check(&what).await;
        let list = |passed: Vec<Passed>| passed.iter().fold(String::new(), |text, p| text + &format!("\n  {p}"));
        assert!(self.sql.count() >= 5, "{what} takes more statements than{}", list(self.sql.log()));
        if self.story == Story::EraseInPages {
            let log = self.sql.log();
            let pages = log.iter().filter(|p| p.to_string().contains("UPDATE organization_operator.erasures")).count();
            assert!(pages > 3, "{what} has few pages:{}", list(log));
        }
        assert!(self.api.count() >= 1, "{what} takes more writes than{}", list(self.api.log()));
        [(Proxy::Sql, self.sql.count()), (Proxy::Api, self.api.count())]
    }

    /// Waits until the operator has done everything that it still does because of what came before.
    async fn quiet(&self) {
        self.sql.record();
        let mut seen = (0, Instant::now());
        while seen.1.elapsed() < GRACE {
            tokio::time::sleep(CHECK_INTERVAL).await;
            if self.sql.count() != seen.0 {
                seen = (self.sql.count(), Instant::now());
            }
        }
    }

    /// One story with one fault. Returns whether it came up.
    async fn run(&mut self, plan: Plan) -> bool {
        let stage = self.stage().await;
        let hook = {
            let (operator, blow) = (self.operator.clone(), self.blow);
            move || {
                if blow == Blow::Kill {
                    operator.signal(Signal::Kill);
                }
            }
        };
        match plan.proxy {
            Proxy::Sql => self.sql.arm(plan.fault, hook),
            Proxy::Api => self.api.arm(plan.fault, hook),
        }
        stage.act().await;
        let fired = || match plan.proxy {
            Proxy::Sql => self.sql.fired(),
            Proxy::Api => self.api.fired(),
        };
        let mut end = Instant::now() + PATIENCE;
        let mut over = false;
        while fired().is_none() && Instant::now() < end {
            let fault = match plan.proxy {
                Proxy::Sql => self.sql.wait_fired(CHECK_INTERVAL).await,
                Proxy::Api => self.api.wait_fired(CHECK_INTERVAL).await,
            };
            if fault.is_none() && !over && stage.done().await {
                (over, end) = (true, Instant::now() + GRACE);
            }
        }
        let struck = fired();
        let what = match &struck {
            Some(passed) => format!("{:?}, {:?} {:?} of {passed}", self.story, self.blow, plan.fault.moment),
            None => format!("{:?} without a fault, waiting for {plan:?}", self.story),
        };
        self.sql.disarm();
        self.api.disarm();
        if struck.is_some() && self.blow == Blow::Kill {
            let killed = self.operator.guard().wait_exit(PATIENCE).await;
            assert!(killed.is_some(), "{what}: it was not killed");
            self.operator = Arc::new(launch(&self.scene, self.story, &self.sql, &self.api).start().await);
        }
        stage.wait_done(&what).await;
        stage.check(&what).await;
        stage.clear().await;
        struck.is_some()
    }
}

/// An operator that does nothing by the clock, so that statements come in the same order each time.
fn launch(scene: &Scene, story: Story, sql: &SqlProxy, api: &ApiProxy) -> Launch {
    let batch = if story == Story::EraseInPages { json!({"rows": 1}) } else { json!("never") };
    scene
        .operator()
        .configure("pollIntervalSeconds", json!(3600))
        .configure("cascade", json!({"batch": batch}))
        // A statement that waits asks what blocks it, after a quarter of this.
        .configure("database.lockTimeoutSeconds", json!(18))
        .configure("retry.slow", json!({"initialSeconds": 3600, "maxSeconds": 3600}))
        .url(&scene.url_through(sql))
        .through(scene, api)
}

/// One run's tenant and objects.
struct Stage {
    scene: Arc<Scene>,
    story: Story,
    acme: String,
    successor: String,
    uid: String,
    key: String,
    rows: Vec<(String, i64)>,
    others: String,
}

impl Stage {
    /// Everything that comes before what is struck.
    async fn set(scene: Arc<Scene>, story: Story, number: u32) -> Self {
        let key = scene.key(number);
        scene.seed_sized(&key, 2, 1, 2, 2).await;
        let (rows, others) = (scene.rows(&key).await, scene.others(&[&key]).await);
        let (acme, successor) = (format!("acme{number}"), format!("successor{number}"));
        let mut stage = Self { scene, story, acme, successor, uid: String::new(), key, rows, others };
        if story == Story::Create {
            return stage;
        }
        stage.create(&stage.acme).await;
        stage.scene.ready(&stage.acme).await;
        stage.uid = stage.scene.uid(&stage.acme).await;
        match story {
            Story::Transfer => {
                stage.create(&stage.successor).await;
                stage.scene.event(&stage.successor, "OrganizationClaimed").await;
            }
            Story::Undo => {
                stage.delete().await;
                stage.scene.event(&stage.acme, "RecoveryWindow").await;
            }
            _ => {}
        }
        stage
    }

    fn org(&self, name: &str) -> Org {
        let org = self.scene.org(name, &self.key);
        match self.story {
            Story::Create | Story::Erase | Story::EraseUnprotected | Story::EraseInPages | Story::Transfer => {
                org.policy("Delete")
            }
            Story::StartWindow | Story::Undo => org.policy("Delete").window(3600),
            Story::Deactivate => org.policy("Deactivate"),
        }
    }

    async fn create(&self, name: &str) {
        let object = serde_yaml::from_str(&self.org(name).yaml()).expect("an object");
        self.scene.api().create(&PostParams::default(), &object).await.expect("it is created");
    }

    async fn delete(&self) {
        let name = self.scene.name(&self.acme);
        self.scene.api().delete(&name, &DeleteParams::default()).await.expect("it is deleted");
    }

    async fn retain(&self, name: &str) {
        let retain = Patch::Merge(json!({"spec": {"deletionPolicy": "Retain"}}));
        let name = self.scene.name(name);
        self.scene.api().patch(&name, &PatchParams::default(), &retain).await.expect("it is patched");
    }

    /// What a person does.
    async fn act(&self) {
        match self.story {
            Story::Create => self.create(&self.acme).await,
            Story::Undo => self.retain(&self.acme).await,
            _ => self.delete().await,
        }
    }

    async fn done(&self) -> bool {
        match (self.story, self.scene.get(&self.acme).await) {
            (Story::Create, Some(acme)) => acme.is("Ready", "True"),
            (Story::StartWindow, Some(acme)) => acme.reason("Deleting") == "RecoveryWindow",
            (_, acme) => acme.is_none(),
        }
    }

    async fn wait_done(&self, what: &str) {
        eventually(what, || async { self.done().await.then_some(()) }).await;
    }

    /// Lets go of what is left, so that no later run sees anything of it.
    async fn clear(&self) {
        let left = match self.story {
            Story::Create | Story::StartWindow => &self.acme,
            Story::Transfer => &self.successor,
            _ => return,
        };
        self.retain(left).await;
        let name = self.scene.name(left);
        self.scene.api().delete(&name, &DeleteParams::default()).await.expect("it is deleted");
        self.scene.gone(left).await;
    }

    fn outcome(&self) -> Option<&'static str> {
        match self.story {
            Story::Create | Story::StartWindow => None,
            Story::Erase | Story::EraseUnprotected | Story::EraseInPages => Some("Erased"),
            Story::Undo => Some("Retained"),
            Story::Deactivate => Some("Deactivated"),
            Story::Transfer => Some("Transferred"),
        }
    }

    /// The same end, whatever happened on the way.
    async fn check(&self, what: &str) {
        let scene = &self.scene;
        assert_eq!(scene.others(&[&self.key]).await, self.others, "{what}: other tenants changed");
        let left = scene.rows(&self.key).await;
        if self.outcome() == Some("Erased") {
            assert!(left.iter().all(|r| r.1 == 0), "{what}: {left:?}");
        } else {
            assert_eq!(left, self.rows, "{what}: rows of the tenant changed");
            let active = format!("SELECT is_active FROM organizations WHERE id = '{}'", self.key);
            let wanted = !matches!(self.story, Story::StartWindow | Story::Deactivate);
            assert_eq!(scene.value::<bool>(&active).await, wanted, "{what}: activation");
        }
        self.check_claim(what).await;
        self.check_ledger(what).await;
        self.check_events(what).await;
    }

    async fn check_claim(&self, what: &str) {
        let claims = format!(
            "SELECT COALESCE(string_agg(object_uid || ' ' || (window_was_active IS TRUE), ','), '') \
             FROM organization_operator.claims WHERE organization_key = '{}' OR object_uid = '{}'",
            self.key, self.uid
        );
        let expected = match self.story {
            Story::Create => format!("{} false", self.scene.uid(&self.acme).await),
            Story::StartWindow => format!("{} true", self.uid),
            Story::Transfer => format!("{} false", self.scene.uid(&self.successor).await),
            Story::Erase | Story::EraseUnprotected | Story::EraseInPages | Story::Undo | Story::Deactivate => {
                String::new()
            }
        };
        assert_eq!(self.scene.value::<String>(&claims).await, expected, "{what}: claims");
        let kept: i64 = self.scene.value("SELECT count(*) FROM organization_operator.captured_keys").await;
        assert_eq!(kept, 0, "{what}: keys were kept");
        if self.story == Story::Create {
            let acme = self.scene.get(&self.acme).await.expect("the object");
            assert_eq!(acme.0.finalizers(), ["organization-operator.io/cascade"], "{what}");
        }
    }

    async fn check_ledger(&self, what: &str) {
        let mut ledger = self.scene.ledger().await;
        ledger.retain(|row| row.organization_key == self.key);
        assert_eq!(ledger.len(), usize::from(self.outcome().is_some()), "{what}: {ledger:?}");
        let Some(entry) = ledger.first() else { return };
        assert_eq!(Some(entry.outcome.as_str()), self.outcome(), "{what}: {entry:?}");
        assert_eq!(entry.object_uid, self.uid, "{what}");
        assert!(entry.verified, "{what}: {entry:?}");
        let erased = self.outcome() == Some("Erased");
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

    /// Exactly one Event about the end, and none about an end that did not come.
    async fn check_events(&self, what: &str) {
        let reason = self.outcome().or((self.story == Story::StartWindow).then_some("RecoveryWindow"));
        let mut events: BTreeMap<String, usize> = BTreeMap::new();
        for (reason, _) in self.scene.events(&self.acme).await {
            *events.entry(reason).or_default() += 1;
        }
        for end in ["Erased", "Deactivated", "Retained", "NotFound", "Transferred", "RecoveryWindow"] {
            let expected = usize::from(reason == Some(end) || (self.story == Story::Undo && end == "RecoveryWindow"));
            assert_eq!(events.get(end).copied().unwrap_or_default(), expected, "{what}: Events {end} in {events:?}");
        }
    }
}
