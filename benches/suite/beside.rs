//! Small transactions of another tenant, before and while a large one is erased.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::erasure::ours;
use super::figures::{Curve, Figure, PlotName, Row, Target, Unit, quantile};
use super::progress;
use super::scale::Sizes;
use super::sides::Side;
use super::tenants::{Tenants, discard};
use crate::support::{Scene, World};

/// Connections, and how often each begins a transaction: a load that leaves the machine mostly idle.
const CLIENTS: u32 = 4;
const PACE: Duration = Duration::from_millis(25);
/// Until connections, plans and caches are warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// What must be reached in pages, in times of the quiet figure.
const TIMES_OF_QUIET: f64 = 1.5;
const QUIET: &str = "nobody is erased";
/// What pages would cost the others if all that they took were the processor: as long a page, as long a rest, no database.
const COMPUTING: &str = "a program that computes for 100 ms and rests for 100 ms";
const TURN: Duration = Duration::from_millis(100);
/// The percentiles of the plot.
const SHARES: [f64; 9] = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0];

/// One transaction: when it was due, and how long it took, in milliseconds, with its wait for the one before it.
type Latency = (Instant, f64);

/// Measures the quiet figure and all sides in turns.
pub async fn measure(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let tenants = Tenants::create(world, sizes.beside).await;
    let sides: Vec<Side> =
        [Side::HandWritten, Side::Atomic, Side::Batched].into_iter().filter(|s| s.missing().is_none()).collect();
    let (mut quiet, mut computing): (Vec<Vec<f64>>, Vec<Vec<f64>>) = Default::default();
    let mut meanwhile: Vec<Vec<Vec<f64>>> = vec![Vec::new(); sides.len()];
    for turn in 0..sizes.repeats {
        for place in 0..sides.len() {
            let at = (turn + place) % sides.len();
            let scene = tenants.copy().await;
            let load = Load::start(&scene).await;
            tokio::time::sleep(WARM_UP).await;
            let began = Instant::now();
            progress().during("another tenant's small transactions", tokio::time::sleep(sizes.quiet)).await;
            let end = Instant::now();
            progress().during(&format!("the same beside {COMPUTING}"), compute(sizes.quiet)).await;
            let computed = Instant::now();
            let erased = sides[at].erase(&scene, sizes.beside).await;
            let all = load.stop().await;
            let between = |from: Instant, to: Instant| -> Vec<f64> {
                all.iter().filter(|(due, _)| (from..to).contains(due)).map(|(_, ms)| *ms).collect()
            };
            quiet.push(between(began, end));
            computing.push(between(end, computed));
            meanwhile[at].push(between(erased.began, erased.began + erased.took));
            discard(scene).await;
        }
    }
    tenants.remove().await;
    let of = |side: Side| sides.iter().position(|s| *s == side).map(|at| p99(side.name(), &meanwhile[at]));
    let row = |side: Side, how: &str, instead: Vec<Figure>, target: Target| Row {
        what: format!(
            "p99 of another tenant's small transactions while a tenant of {} rows goes {how}",
            sizes.beside.words()
        ),
        ours: ours(side, of(side)),
        instead,
        target,
    };
    let (quiet_figure, computing_figure) = (p99(QUIET, &quiet), p99(COMPUTING, &computing));
    let hand = of(Side::HandWritten);
    let rows = vec![
        row(
            Side::Atomic,
            "in one transaction",
            hand.into_iter().chain([quiet_figure.clone()]).collect(),
            Target::AtMostTimes(1.0),
        ),
        row(Side::Batched, "in pages", vec![quiet_figure, computing_figure], Target::AtMostTimes(TIMES_OF_QUIET)),
    ];
    let curves = sides.iter().zip(&meanwhile).map(|(side, latencies)| curve(side.name(), latencies));
    (rows, curves.chain([curve(QUIET, &quiet), curve(COMPUTING, &computing)]).collect())
}

/// Keeps one processor busy as pages do, and does nothing else.
async fn compute(length: Duration) {
    let computing = tokio::task::spawn_blocking(move || {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let rest = Instant::now() + TURN;
            while Instant::now() < rest {
                std::hint::spin_loop();
            }
            std::thread::sleep(TURN);
        }
    });
    computing.await.expect("computed");
}

/// The 99th percentile of each turn.
fn p99(name: &str, turns: &[Vec<f64>]) -> Figure {
    Figure::new(name, Unit::Milliseconds, turns.iter().map(|latencies| quantile(latencies, 0.99)).collect())
}

/// Percentiles over all turns.
fn curve(name: &str, turns: &[Vec<f64>]) -> Curve {
    let all = turns.concat();
    let points = SHARES.iter().map(|share| (*share, quantile(&all, *share))).collect();
    Curve { plot: PlotName::Beside, side: name.to_owned(), dashed: false, points }
}

/// Transactions that begin at fixed times, however long the ones before took: who waits in a queue is measured, too.
pub struct Load {
    clients: JoinSet<Vec<Latency>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub async fn start(scene: &Scene) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        let (begin, key) = (Instant::now() + PACE, scene.key(2));
        for client in 0..CLIENTS {
            let (connection, stop, key) = (scene.connect().await, stop.clone(), key.clone());
            clients.spawn(run(connection, key, begin + PACE * client / CLIENTS, stop));
        }
        Self { clients, stop }
    }

    pub async fn stop(self) -> Vec<Latency> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.concat()
    }
}

async fn run(mut connection: PgConnection, key: String, begin: Instant, stop: Arc<AtomicBool>) -> Vec<Latency> {
    let mut latencies = Vec::new();
    let mut due = begin;
    while !stop.load(Ordering::Relaxed) {
        let late = due < Instant::now();
        tokio::time::sleep_until(due.into()).await;
        // The timer's millisecond is no wait for the database.
        let start = if late { due } else { Instant::now() };
        transaction(&mut connection, &key).await.expect("a small transaction");
        latencies.push((due, start.elapsed().as_secs_f64() * 1000.0));
        due += PACE;
    }
    connection.close().await.expect("closed");
    latencies
}

/// What a platform does all day: an execution begins, writes an output, and ends.
async fn transaction(connection: &mut PgConnection, key: &str) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    let execution: String = sqlx::query_scalar(
        "INSERT INTO flow_executions (flow_id, state) SELECT id, 'running' FROM flows \
         WHERE organization_id = $1::text::uuid ORDER BY id LIMIT 1 RETURNING id::text",
    )
    .bind(key)
    .fetch_one(&mut *tx)
    .await?;
    for statement in [
        "INSERT INTO task_outputs (flow_execution_id, task, output) VALUES ($1::text::uuid, 'small', '{\"value\": 1}')",
        "INSERT INTO task_statuses (flow_execution_id, task) VALUES ($1::text::uuid, 'small')",
        "UPDATE flow_executions SET state = 'succeeded' WHERE id = $1::text::uuid",
    ] {
        sqlx::query(statement).bind(&execution).execute(&mut *tx).await?;
    }
    tx.commit().await
}
