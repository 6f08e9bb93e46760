//! How long a plan takes to compile, and what the preflight adds to a deletion. It prints; it does not judge.
//!
//! `make bench`, or `cargo bench --bench plan`. A PostgreSQL of its own (with fsync) shares this machine; no API server.

#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use std::time::{Duration, Instant};

use organization_operator::api::DeletionPolicy;
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::domain::Subject;
use organization_operator::store::Actor;
use planner::cascade::Preflight;
use planner::{CompiledPlan, Plan, Verdict};
use testbed::{Postgres, PostgresOptions};

/// Tables of the large plan.
const TABLES: usize = 140;
/// Deletions with, and as many without a preflight.
const DELETIONS: usize = 100;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = PostgresOptions { own: true, durable: true, ..PostgresOptions::default() };
        let postgres = Postgres::start(options).await.expect("a PostgreSQL");
        compiling(&postgres).await;
        preflight(&postgres).await;
        postgres.stop().await.expect("stopped");
    });
}

async fn open(postgres: &Postgres, name: &str) -> Database {
    let settings = Settings {
        max_connections: 4,
        connect_timeout: Duration::from_secs(10),
        lock_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_mins(1),
    };
    let database = Database::new(UrlSource::Text(postgres.admin_url(name)), settings).expect("a URL");
    database.migrate(true).await.expect("the operator's own schema");
    database
}

/// Every table has the tenant column, or is three levels below one that has; each refers to three others.
async fn compiling(postgres: &Postgres) {
    postgres.create_database("wide").await.expect("a database");
    let mut sql = vec!["CREATE TABLE organizations (id bigint PRIMARY KEY)".to_owned()];
    let mut steps = Vec::new();
    for t in 1..=TABLES {
        let tenant = t % 4 == 1;
        let column = if tenant {
            "organization_id bigint NOT NULL REFERENCES organizations".to_owned()
        } else {
            format!("parent_id bigint NOT NULL REFERENCES t{}", t - 1)
        };
        let others: Vec<String> = (1..=3)
            .filter(|back| t > back * 7)
            .map(|back| format!("r{back} bigint REFERENCES t{}", t - back * 7))
            .collect();
        let filler: Vec<String> = (0..15).map(|c| format!("c{c} text")).collect();
        let columns = [vec!["id bigint PRIMARY KEY".to_owned(), column], others, filler].concat();
        sql.push(format!("CREATE TABLE t{t} ({})", columns.join(", ")));
        steps.push(if tenant {
            format!("{{entity: t{t}, table: t{t}, organization: organization_id}}")
        } else {
            format!("{{entity: t{t}, table: t{t}, parent: t{}, column: parent_id}}", t - 1)
        });
    }
    postgres.run_sql("wide", &sql.join(";\n")).await.expect("the tables");
    let yaml = format!("{{organization: {{table: organizations, key: id}}, steps: [{}]}}", steps.join(", "));
    let plan: Plan = serde_yaml::from_str(&yaml).expect("a plan");
    let database = open(postgres, "wide").await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let compiled = database.compile(&plan).await.expect("compiled");
        times.push(began.elapsed());
        assert_eq!(compiled.erase().expect("no fault").tables().count(), TABLES, "every table is deleted from");
    }
    let first = times[0];
    times.sort();
    println!("compiling a plan of {TABLES} tables: {:.1?} (median of 20, the first {first:.1?})", times[10]);
}

/// A healthy tenant of ordinary size on the platform's schema with ordinary foreign keys: 20 users, 10 flows, 100
/// executions, 500 outputs and 500 statuses.
async fn preflight(postgres: &Postgres) {
    postgres.create_database("ordinary").await.expect("a database");
    for file in ["examples/schemas/ordinary.sql", "examples/schemas/checks.sql"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let sql = std::fs::read_to_string(path).expect("an example file");
        postgres.run_sql("ordinary", &sql).await.expect("the example loads");
    }
    let key = |n: usize| format!("00000000-0000-4000-8000-{n:012x}");
    let seeds: Vec<String> =
        (0..2 * DELETIONS).map(|n| format!("SELECT seed_tenant('{}', 20, 10, 10, 5)", key(n))).collect();
    postgres.run_sql("ordinary", &seeds.join(";")).await.expect("the tenants");
    postgres.run_sql("ordinary", "VACUUM ANALYZE").await.expect("statistics");
    let database = open(postgres, "ordinary").await;
    let with = database.compile(&Plan::default()).await.expect("compiled");
    let mut without = with.clone();
    let ready = match &mut without.verdict {
        Verdict::Ready(erase) => Some(erase),
        Verdict::Blocked { .. } => None,
    };
    let erase = ready.expect("no fault");
    assert!(erase.preflight.references.is_some(), "there is something to check");
    erase.preflight = Preflight::default();
    erase.captures.retain(|c| !c.columns.is_empty());

    let mut times = [Vec::new(), Vec::new()];
    // One after the other in turns, so that both meet the same machine.
    for n in 0..2 * DELETIONS {
        let plan = if n % 2 == 0 { &with } else { &without };
        times[n % 2].push(erased(&database, &key(n), plan).await);
    }
    let [with, without] = times.map(|mut t| {
        t.sort();
        t[t.len() / 2].as_secs_f64() * 1000.0
    });
    println!(
        "deleting 1131 rows: {with:.1} ms with the preflight, {without:.1} ms without (medians of {DELETIONS}): it adds {:.0} %",
        (with / without - 1.0) * 100.0
    );
}

async fn erased(database: &Database, key: &str, plan: &CompiledPlan) -> Duration {
    let subject = Subject {
        name: key.to_owned(),
        uid: key.to_owned(),
        generation: 1,
        organization_id: key.to_owned(),
        policy: DeletionPolicy::Delete,
        asked: DeletionPolicy::Delete,
        rows_may_be_gone: false,
        keeps_remainder: false,
        raise_suspected: false,
        policy_manager: None,
        state: None,
        recovery_window_seconds: 0,
        expiration: None,
        terminating_since: None,
        has_finalizer: true,
        stage: None,
        force_setting: None,
        claimed: None,
    };
    let began = Instant::now();
    database
        .erase(Actor { cluster: "bench", subject: &subject, key }, plan, std::future::ready(Ok(true)))
        .await
        .expect("erased");
    began.elapsed()
}
