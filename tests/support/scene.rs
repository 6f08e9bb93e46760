//! One test's own database, objects and operator.

use std::process::Output;
use std::sync::Arc;

use kube::{Api, ResourceExt as _};
use organization_operator::api::Organization;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use testbed::Kept;
use testbed::proxy::{ApiProxy, SqlProxy};
use tokio::sync::MappedMutexGuard;

use super::operator::Launch;
use super::world::{PASSWORD, ROLE};
use super::{Operator, Org, Seen, World, eventually};

/// The user as which the operator talks to the API server.
pub const OPERATOR: &str = "system:serviceaccount:organization-operator-system:organization-operator";

/// Schemas of `examples/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// The platform's schema: deferrable foreign keys, the declared order runs as written.
    Platform,
    /// Ordinary foreign keys.
    Ordinary,
    /// ON DELETE CASCADE.
    Cascade,
    /// No foreign keys at all.
    NoKeys,
    /// Keys of type bigint.
    Bigint,
    /// Keys of type text.
    Text,
    /// Names in mixed case.
    MixedCase,
}

impl Variant {
    pub const ALL: [Self; 7] =
        [Self::Platform, Self::Ordinary, Self::Cascade, Self::NoKeys, Self::Bigint, Self::Text, Self::MixedCase];

    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Ordinary => "ordinary",
            Self::Cascade => "cascade",
            Self::NoKeys => "nokeys",
            Self::Bigint => "bigint",
            Self::Text => "text",
            Self::MixedCase => "mixedcase",
        }
    }

    pub fn files(self) -> &'static [&'static str] {
        const CHECKS: &str = "examples/schemas/checks.sql";
        const GRANTS: &str = "examples/platform/grants.sql";
        match self {
            Self::Platform => &["examples/platform/schema.sql", "examples/platform/seed_tenant.sql", CHECKS, GRANTS],
            Self::Ordinary => &["examples/schemas/ordinary.sql", CHECKS, GRANTS],
            Self::Cascade => &["examples/schemas/cascade.sql", CHECKS, GRANTS, "examples/schemas/cascade.grants.sql"],
            Self::NoKeys => &["examples/schemas/nokeys.sql", CHECKS, GRANTS],
            Self::Bigint => &["examples/schemas/bigint.sql", CHECKS, GRANTS],
            Self::Text => &["examples/schemas/text.sql", CHECKS, GRANTS],
            Self::MixedCase => &["examples/schemas/mixedcase.sql", "examples/schemas/mixedcase.grants.sql"],
        }
    }

    /// A key of this schema's type; a different one for every number.
    pub fn key(self, number: u32) -> String {
        match self {
            Self::Bigint => format!("{}", 1000 + number),
            Self::Text => format!("tenant-{number}"),
            _ => format!("00000000-0000-4000-8000-{number:012x}"),
        }
    }

    /// The plan, where it is not the built-in one.
    pub fn plan(self) -> Option<&'static str> {
        (self == Self::MixedCase).then_some("examples/schemas/mixedcase.config.yaml")
    }
}

/// One test's own database, objects and operator.
pub struct Scene {
    pub world: Arc<World>,
    pub variant: Variant,
    /// Name of the PostgreSQL database.
    pub database: String,
    /// Value of `spec.database` of this test's objects, and the operator's `--database`.
    pub class: String,
    queries: Kept,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    pub outcome: String,
    pub object_name: String,
    pub object_uid: String,
    pub organization_key: String,
    pub policy: String,
    pub policy_manager: Option<String>,
    pub organizations_deleted: i64,
    pub steps: serde_json::Value,
    pub verified: bool,
}

impl Scene {
    /// A fresh database of this variant, without tenants, and no operator yet.
    pub async fn new(world: Arc<World>, variant: Variant) -> Self {
        let database = world.database(variant).await;
        let class = format!("t{}", world.number());
        Self::of(world, variant, database, class)
    }

    /// A database that exists, and the objects of this class.
    pub fn of(world: Arc<World>, variant: Variant, database: String, class: String) -> Self {
        Self { world, variant, database, class, queries: Kept::default() }
    }

    /// A key of the schema's type.
    pub fn key(&self, number: u32) -> String {
        self.variant.key(number)
    }

    /// The name of an object of this test.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.class)
    }

    /// A connection with all rights.
    pub async fn connect(&self) -> PgConnection {
        self.world.postgres().connect(&self.database).await.expect("a connection")
    }

    /// The connection of this test's own queries, with all rights. Their plans are not kept: tests change tables in between.
    async fn queries(&self) -> MappedMutexGuard<'_, PgConnection> {
        self.queries.get(self.world.postgres(), &self.database).await.expect("a connection")
    }

    /// Runs SQL with all rights.
    pub async fn sql(&self, sql: &str) {
        self.world.postgres().run_sql(&self.database, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// A single value.
    pub async fn value<T>(&self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let query = sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false);
        let row = query.fetch_one(&mut *self.queries().await).await;
        row.and_then(|r| r.try_get(0)).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// A tenant of ordinary size: 3 users, 2 flows, 2 executions a flow, 3 outputs and 3 statuses an execution.
    pub async fn seed(&self, key: &str) {
        self.seed_sized(key, 3, 2, 2, 3).await;
    }

    /// A tenant: users, flows, executions a flow, tasks an execution.
    pub async fn seed_sized(&self, key: &str, users: u32, flows: u32, executions: u32, tasks: u32) {
        let seed = format!("SELECT seed_tenant('{key}', {users}, {flows}, {executions}, {tasks})");
        let query = sqlx::query(AssertSqlSafe(seed)).persistent(false);
        query.execute(&mut *self.queries().await).await.expect("a tenant");
    }

    /// Many small tenants over one connection.
    pub async fn seed_many(&self, keys: &[String]) {
        let seeds: Vec<String> = keys.iter().map(|key| format!("SELECT seed_tenant('{key}', 2, 1, 1, 1)")).collect();
        self.sql(&seeds.join(";")).await;
    }

    /// Rows of a tenant by entity, `organizations` among them.
    pub async fn rows(&self, key: &str) -> Vec<(String, i64)> {
        let query = sqlx::query("SELECT entity, n FROM tenant_rows($1)").bind(key).persistent(false);
        let rows = query.fetch_all(&mut *self.queries().await).await.expect("tenant_rows");
        rows.iter().map(|r| (r.get(0), r.get(1))).collect()
    }

    /// All rows of a tenant.
    pub async fn total(&self, key: &str) -> i64 {
        self.rows(key).await.iter().map(|r| r.1).sum()
    }

    /// Whether the database says that the organization is in use (schemas with `organizations.is_active`).
    pub async fn active(&self, key: &str) -> bool {
        self.value(&format!("SELECT is_active FROM organizations WHERE id::text = '{key}'")).await
    }

    /// Switches the organization behind the operator's back.
    pub async fn set_active(&self, key: &str, active: bool) {
        self.sql(&format!("UPDATE organizations SET is_active = {active} WHERE id::text = '{key}'")).await;
    }

    /// The uid of the object that owns the organization. Returns `None` if none does.
    pub async fn owner(&self, key: &str) -> Option<String> {
        self.value(&format!(
            "SELECT (SELECT object_uid FROM organization_operator.claims WHERE organization_key = '{key}')"
        ))
        .await
    }

    /// A checksum over every row of every other tenant, and over rows that belong to nobody.
    pub async fn others(&self, keys: &[&str]) -> String {
        let keys: Vec<String> = keys.iter().map(|k| (*k).to_owned()).collect();
        let query = sqlx::query("SELECT others_fingerprint(VARIADIC $1)").bind(keys).persistent(false);
        let row = query.fetch_one(&mut *self.queries().await).await;
        row.expect("others_fingerprint").get(0)
    }

    /// The ledger, oldest first.
    pub async fn ledger(&self) -> Vec<LedgerRow> {
        let query = sqlx::query(
            "SELECT outcome, object_name, object_uid, organization_key, policy, policy_manager, organizations_deleted, \
             steps, verified_at IS NOT NULL FROM organization_operator.ledger ORDER BY id",
        );
        let rows = query.persistent(false).fetch_all(&mut *self.queries().await).await.expect("the ledger");
        rows.iter()
            .map(|r| LedgerRow {
                outcome: r.get(0),
                object_name: r.get(1),
                object_uid: r.get(2),
                organization_key: r.get(3),
                policy: r.get(4),
                policy_manager: r.get(5),
                organizations_deleted: r.get(6),
                steps: r.get::<sqlx::types::Json<serde_json::Value>, _>(7).0,
                verified: r.get(8),
            })
            .collect()
    }

    /// Prepares an operator for this test's database and objects.
    pub fn operator(&self) -> Launch {
        Launch::new(self)
    }

    /// The operator with the defaults of the tests.
    pub async fn start(&self) -> Operator {
        self.operator().start().await
    }

    /// The URL as which the operator connects.
    pub fn url(&self) -> String {
        self.world.postgres().url(ROLE, PASSWORD, &self.database)
    }

    /// The same through a proxy.
    pub fn url_through(&self, proxy: &SqlProxy) -> String {
        self.world.postgres().url_through(proxy.port(), ROLE, PASSWORD, &self.database)
    }

    /// A proxy in front of the API server.
    pub async fn api_proxy(&self) -> ApiProxy {
        ApiProxy::start(self.world.control_plane()).await.expect("a proxy")
    }

    /// A proxy in front of PostgreSQL.
    pub async fn sql_proxy(&self) -> SqlProxy {
        SqlProxy::start(self.world.postgres()).await.expect("a proxy")
    }

    /// An object of this test.
    pub fn org(&self, name: &str, key: &str) -> Org {
        Org::new(&self.name(name), key, &self.class)
    }

    /// Applies an object with kubectl.
    pub async fn apply(&self, org: &Org) {
        let file = self.file(&format!("{}.yaml", org.name()), &org.yaml());
        self.ok(&["apply", "-f", &file]).await;
    }

    /// Writes a file of this test and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let directory = self.world.directory.path().join(&self.class);
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// Runs kubectl as a cluster administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Output {
        self.world.kubectl(arguments).await
    }

    /// Runs kubectl and insists on success. Returns what it printed.
    pub async fn ok(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.world.ok(arguments).await.stdout).expect("text")
    }

    /// Runs kubectl as a cluster administrator and insists on a refusal. Returns what it printed.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        self.world.refused(arguments).await
    }

    /// Waits until the admission policies of `deploy/` are in effect, which takes the API server a moment after they are
    /// applied. The object must exist.
    pub async fn admission(&self, name: &str) {
        let name = self.name(name);
        let edit = r#"{"spec":{"organizationId":"another"}}"#;
        let arguments = ["patch", "organization", &name, "--dry-run=server", "--type=merge", "-p", edit];
        eventually("admission policies", || async { (!self.kubectl(&arguments).await.status.success()).then_some(()) })
            .await;
    }

    /// Patches the spec with kubectl: `r#"{"deletionPolicy":"Retain"}"#`.
    pub async fn patch(&self, name: &str, spec: &str) {
        let body = format!("{{\"spec\":{spec}}}");
        self.ok(&["patch", "organization", &self.name(name), "--type=merge", "-p", &body]).await;
    }

    /// Lets an object expire soon, and says when. It is ready first: that may take long on a busy machine, and an object that
    /// expires is not seen ready any more.
    pub async fn expire_soon(&self, name: &str) -> String {
        self.ready(name).await;
        let expiration = super::time(super::SOON);
        self.patch(name, &format!(r#"{{"expirationTime":"{expiration}"}}"#)).await;
        expiration
    }

    /// Makes the operator reconcile an object at once; needs another value each time.
    pub async fn retry(&self, name: &str, value: &str) {
        let annotation = format!("organization-operator.io/retry={value}");
        self.ok(&["annotate", "organization", &self.name(name), &annotation, "--overwrite"]).await;
    }

    /// Asks for the deletion without waiting for it.
    pub async fn delete(&self, name: &str) {
        self.ok(&["delete", "organization", &self.name(name), "--wait=false"]).await;
    }

    /// Takes the finalizers of an object away by force, as somebody does who loses patience.
    pub async fn force_release(&self, name: &str) {
        let body = r#"{"metadata":{"finalizers":null}}"#;
        let name = self.name(name);
        let patch = ["patch", "organization", &name, "--type=merge", "-p", body];
        self.ok(&[&patch[..], &["--as=system:admin", "--as-group=system:masters"]].concat()).await;
    }

    pub fn api(&self) -> Api<Organization> {
        Api::all(self.world.client.clone())
    }

    /// The object as it is now.
    pub async fn get(&self, name: &str) -> Option<Seen> {
        self.api().get_opt(&self.name(name)).await.expect("the API server answers").map(Seen)
    }

    /// Waits until the object is as wanted.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let mut last = None;
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            if let Some(seen) = self.get(name).await {
                if wanted(&seen) {
                    return seen;
                }
                last = Some(seen);
            }
            assert!(
                std::time::Instant::now() < end,
                "{name}: waited in vain for: {what}; last seen: {}",
                last.map_or_else(|| "nothing".to_owned(), |s| s.yaml())
            );
            tokio::time::sleep(super::INTERVAL).await;
        }
    }

    /// Waits until the object is as its spec says, for its current generation.
    pub async fn ready(&self, name: &str) -> Seen {
        self.until(name, "Ready=True", |s| s.is("Ready", "True")).await
    }

    /// Waits until the object is gone.
    pub async fn gone(&self, name: &str) {
        let api = self.api();
        let full = self.name(name);
        let last = std::sync::Mutex::new(None);
        let end = std::time::Instant::now() + super::PATIENCE;
        loop {
            match api.get_opt(&full).await.expect("the API server answers") {
                None => return,
                Some(object) => *last.lock().expect("a lock") = Some(object),
            }
            assert!(
                std::time::Instant::now() < end,
                "{full} is still there: {}",
                last.lock().expect("a lock").take().map_or_else(String::new, |o| Seen(o).yaml())
            );
            tokio::time::sleep(super::INTERVAL).await;
        }
    }

    /// Events about an object of this test, as (reason, note), oldest first.
    pub async fn events(&self, name: &str) -> Vec<(String, String)> {
        use k8s_openapi::api::events::v1::Event;
        let events: Api<Event> = Api::namespaced(self.world.client.clone(), "default");
        let full = self.name(name);
        let mut found: Vec<Event> = events
            .list(&kube::api::ListParams::default().fields(&format!("regarding.name={full}")))
            .await
            .expect("events")
            .items
            .into_iter()
            .filter(|e| e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(&full)))
            .collect();
        found.sort_by_key(|e| e.event_time.as_ref().map(|t| t.0));
        found.into_iter().map(|e| (e.reason.unwrap_or_default(), e.note.unwrap_or_default())).collect()
    }

    /// Waits for an Event and returns its note.
    pub async fn event(&self, name: &str, reason: &str) -> String {
        eventually(&format!("Event {reason} about {name}"), || async {
            self.events(name).await.into_iter().find(|(r, _)| r == reason).map(|(_, note)| note)
        })
        .await
    }

    /// Waits for an Event of type Warning and returns its note.
    pub async fn warned(&self, name: &str, reason: &str) -> String {
        use k8s_openapi::api::events::v1::Event;
        let events: Api<Event> = Api::namespaced(self.world.client.clone(), "default");
        let full = self.name(name);
        eventually(&format!("a Warning {reason} about {name}"), || async {
            let all = events.list(&kube::api::ListParams::default()).await.expect("events").items;
            all.into_iter()
                .filter(|e| e.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(&full)))
                .find(|e| e.type_.as_deref() == Some("Warning") && e.reason.as_deref() == Some(reason))
                .map(|e| e.note.unwrap_or_default())
        })
        .await
    }

    /// Writes of the operator about one object, from the audit log: verb and subresource.
    pub fn operator_writes(&self, name: &str) -> Vec<String> {
        let full = self.name(name);
        self.world
            .control_plane()
            .audit_events()
            .expect("the audit log")
            .into_iter()
            .filter(|e| e.is_write() && e.user == OPERATOR)
            // Names of Events begin with the name of the object.
            .filter(|e| e.name == full || e.name.starts_with(&format!("{full}.")) || e.uri.contains(&full))
            .map(|e| format!("{} {}/{}", e.verb, e.resource, e.subresource))
            .collect()
    }

    /// The uid of an object.
    pub async fn uid(&self, name: &str) -> String {
        self.get(name).await.and_then(|s| s.0.uid()).expect("the object")
    }
}
