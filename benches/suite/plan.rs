//! How long a plan takes to compile, and what the preflight adds to a deletion. There is no API server in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::store::Actor;
use planner::cascade::Preflight;
use planner::{CompiledPlan, Plan, Verdict};

use super::figures::{Curve, Figure, Ours, Row, Target, Unit};
use super::progress;
use super::scale::Sizes;
use crate::support::{Scene, Variant, World, subject};

/// How often the large plan is compiled.
const COMPILATIONS: usize = 20;

pub async fn measure(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let compile = progress().during("compiling a large plan", Box::pin(compiling(world, sizes.tables))).await;
    let preflight = progress().during("erasing small tenants", Box::pin(preflight(world, sizes.deletions))).await;
    (vec![compile, preflight], Vec::new())
}

async fn open(world: &World, name: &str) -> Database {
    let settings = Settings {
        max_connections: 4,
        connect_timeout: Duration::from_secs(10),
        lock_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_mins(1),
    };
    let database = Database::new(UrlSource::Text(world.postgres().admin_url(name)), settings).expect("a URL");
    database.migrate(true).await.expect("the operator's own schema");
    database
}

/// Every table has the tenant column, or is three levels below one that has; each refers to three others.
async fn compiling(world: &World, tables: usize) -> Row {
    let name = format!("wide_{}_{}", std::process::id(), world.number());
    world.postgres().create_database(&name).await.expect("a database");
    let mut sql = vec!["CREATE TABLE organizations (id bigint PRIMARY KEY)".to_owned()];
    let mut steps = Vec::new();
    for t in 1..=tables {
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
    world.postgres().run_sql(&name, &sql.join(";\n")).await.expect("the tables");
    let yaml = format!("{{organization: {{table: organizations, key: id}}, steps: [{}]}}", steps.join(", "));
    let plan: Plan = serde_yaml::from_str(&yaml).expect("a plan");
    let database = open(world, &name).await;
    let mut times = Vec::new();
    for _ in 0..=COMPILATIONS {
        let began = Instant::now();
        let compiled = database.compile(&plan).await.expect("compiled");
        times.push(milliseconds(began));
        assert_eq!(compiled.erase().expect("no fault").tables().count(), tables, "every table is deleted from");
    }
    drop(database);
    world.postgres().drop_database(&name).await.expect("removed");
    let first = times.remove(0);
    Row {
        what: format!("compiling a plan of {tables} tables"),
        ours: Ours::Measured(Figure::new("again", Unit::Milliseconds, times)),
        instead: vec![Figure::new("the first time", Unit::Milliseconds, vec![first])],
        target: Target::Nothing,
    }
}

/// A tenant of ordinary size: 20 users, 10 flows, 100 executions, 500 outputs and 500 statuses.
async fn preflight(world: &Arc<World>, deletions: usize) -> Row {
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let keys: Vec<String> = (0..2 * deletions).map(|_| scene.key(world.number())).collect();
    let seeds: Vec<String> = keys.iter().map(|key| format!("SELECT seed_tenant('{key}', 20, 10, 10, 5)")).collect();
    scene.sql(&seeds.join(";")).await;
    scene.sql("VACUUM ANALYZE").await;
    let database = open(world, &scene.database).await;
    let with = database.compile(&Plan::default()).await.expect("compiled");
    let mut without = with.clone();
    let ready = match &mut without.verdict {
        Verdict::Ready(erase) => Some(erase),
        Verdict::Blocked { .. } => None,
    };
    let erase = ready.expect("no fault");
    assert!(erase.preflight.references.is_some(), "there is something to check");
    erase.preflight = Preflight::default();
    erase.captures.retain(|c| !c.sets.is_empty());

    let mut times = [Vec::new(), Vec::new()];
    for (n, key) in keys.iter().enumerate() {
        let plan = if n % 2 == 0 { &with } else { &without };
        times[n % 2].push(erased(&database, key, plan).await);
    }
    let [with, without] = times;
    Row {
        what: "the engine alone, tenant of 1131 rows".to_owned(),
        ours: Ours::Measured(Figure::new("with the preflight", Unit::Milliseconds, with)),
        instead: vec![Figure::new("without", Unit::Milliseconds, without)],
        target: Target::Nothing,
    }
}

async fn erased(database: &Database, key: &str, plan: &CompiledPlan) -> f64 {
    let subject = subject(key, key);
    let began = Instant::now();
    let actor = Actor { cluster: "bench", subject: &subject, key };
    database.erase(actor, plan, std::future::ready(Ok(true))).await.expect("erased");
    milliseconds(began)
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
