//! Objects that are deleted at once, by the operator and by a bare one; and an operator that has nothing to do.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::bare::{self, Bare};
use super::figures::{Curve, Figure, Ours, PlotName, Row, Target, Unit};
use super::objects::Objects;
use super::process::{Memory, Processor};
use super::scale::Sizes;
use super::{progress, sides};
use crate::support::{OPERATOR, Operator, Scene, Variant, World};

const OURS: &str = "operator";
const BARE: &str = "bare operator";
/// What the operator may use with many idle objects, in MiB.
const MEMORY: f64 = 60.0;
/// How often the operator may be found at work before it counts as one that never rests.
const MOST_WAITS: u32 = 40;

/// Measures bursts among few objects, then an idle operator, then a burst among many.
pub async fn measure(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let scenes =
        [Scene::new(world.clone(), Variant::Ordinary).await, Scene::new(world.clone(), Variant::Ordinary).await];
    let [real, bare] = &scenes;
    let mut operator = sides::launch(real).start().await;
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for &number in &sizes.bursts {
        let both = compare(real, bare, number, sizes.repeats).await;
        rows.push(row(format!("{number} objects deleted at once"), &both, &[]));
        all.push((number.to_string(), both));
    }
    // Idle is who has been started and has done nothing since.
    let mut idle = Vec::new();
    let mut there = 0;
    for (place, &number) in sizes.idle.iter().enumerate() {
        Objects::create(real, format!("idle-{place}"), number - there, None).await.ready().await;
        there = number;
        operator.stop().await;
        operator = sides::launch(real).start().await;
        idle.push((number, Idle::of(&operator, world, sizes).await));
    }
    rows.extend(idle_rows(&idle));
    let both = compare(real, bare, sizes.among, sizes.repeats).await;
    let few = all.first().map(|(_, few)| few.ours.clone());
    let among = format!("{} among {there}", sizes.among);
    rows.push(row(format!("{} objects deleted at once among {there}", sizes.among), &both, few.as_slice()));
    all.push((among, both));
    operator.stop().await;
    (rows, curves(&all))
}

/// A burst by both.
struct Both {
    ours: Figure,
    bare: Figure,
}

async fn compare(real: &Scene, bare: &Scene, number: u32, repeats: usize) -> Both {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..repeats {
        for place in 0..2 {
            if (turn + place) % 2 == 0 {
                ours.push(by_operator(real, number).await);
            } else {
                theirs.push(by_bare(bare, number).await);
            }
        }
    }
    Both { ours: Figure::new(OURS, Unit::PerSecond, ours), bare: Figure::new(BARE, Unit::PerSecond, theirs) }
}

async fn by_operator(scene: &Scene, number: u32) -> f64 {
    let erased = "SELECT count(*) FROM organization_operator.ledger WHERE outcome = 'Erased'";
    let before: i64 = scene.value(erased).await;
    let objects = Objects::create(scene, format!("burst-{}", scene.world.number()), number, None).await;
    objects.ready().await;
    let rate = burst(objects, OURS, number).await;
    let after: i64 = scene.value(erased).await;
    assert_eq!(after - before, i64::from(number), "the ledger has every erasure");
    rate
}

async fn by_bare(scene: &Scene, number: u32) -> f64 {
    let name = format!("burst-{}", scene.world.number());
    let objects = Objects::create(scene, name, number, Some(bare::FINALIZER)).await;
    let running = Bare::start(scene).await;
    let rate = burst(objects, BARE, number).await;
    drop(running);
    let left: i64 = scene.value("SELECT count(*) FROM organizations").await;
    assert_eq!(left, 0, "the bare operator has deleted every tenant");
    rate
}

/// Objects a second.
async fn burst(objects: Objects<'_>, who: &str, number: u32) -> f64 {
    let processor = Processor::so_far();
    let took = objects.delete().await.as_secs_f64();
    let rate = f64::from(number) / took;
    progress()
        .say(&format!("{who}: {number} objects in {took:.2} s, {rate:.0}/s; processor time: {}", processor.since()));
    rate
}

fn row(what: String, both: &Both, few: &[Figure]) -> Row {
    let few = few.iter().map(|f| Figure { side: format!("{} among few", f.side), ..f.clone() });
    Row {
        what,
        ours: Ours::Measured(both.ours.clone()),
        instead: few.chain([both.bare.clone()]).collect(),
        target: Target::AtLeastTimes(1.0),
    }
}

/// An operator that has nothing to do.
struct Idle {
    memory: Memory,
    /// Requests to the API server in a minute.
    calls: f64,
}

impl Idle {
    async fn of(operator: &Operator, world: &World, sizes: &Sizes) -> Self {
        progress().during("the operator begins to be idle", settled(operator, sizes.settle)).await;
        let began = Timestamp::now();
        progress().during("the operator is idle", tokio::time::sleep(sizes.watch)).await;
        let events = world.control_plane().audit_events().expect("the audit log");
        let calls = events.iter().filter(|e| e.user == OPERATOR && e.received >= began).count();
        Self { memory: Memory::of(operator.guard().pid()), calls: calls as f64 * 60.0 / sizes.watch.as_secs_f64() }
    }
}

/// Waits until the operator has reconciled nothing for a while.
async fn settled(operator: &Operator, a_while: Duration) {
    for _ in 0..MOST_WAITS {
        let before = reconciles(operator).await;
        tokio::time::sleep(a_while).await;
        if reconciles(operator).await == before {
            return;
        }
    }
    progress().say("the operator never rests: its figures are not those of an idle one");
}

async fn reconciles(operator: &Operator) -> String {
    let metrics = operator.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("organization_operator_reconciles_total"));
    line.expect("the metric").to_owned()
}

fn idle_rows(idle: &[(u32, Idle)]) -> Vec<Row> {
    let [(few, with_few), .., (many, with_many)] = idle else { return Vec::new() };
    let (few, many) = (format!("{few} objects"), format!("{many} objects"));
    let row = |what: String, unit: Unit, least: f64, most: f64, target: f64| Row {
        what,
        ours: Ours::Measured(Figure::new(many.clone(), unit, vec![most])),
        instead: vec![Figure::new(few.clone(), unit, vec![least])],
        target: Target::AtMost(target),
    };
    vec![
        row(
            format!("the operator's memory, {many} idle"),
            Unit::Mebibytes,
            with_few.memory.now,
            with_many.memory.now,
            MEMORY,
        ),
        row(
            format!("its peak since the start, {many} idle"),
            Unit::Mebibytes,
            with_few.memory.peak,
            with_many.memory.peak,
            MEMORY,
        ),
        row(format!("API calls, {many} idle"), Unit::PerMinute, with_few.calls, with_many.calls, 0.0),
    ]
}

/// A bar of each side for each burst; the labels are in the side.
fn curves(all: &[(String, Both)]) -> Vec<Curve> {
    let curve = |label: &str, at: f64, figure: &Figure| Curve {
        plot: PlotName::Bursts,
        side: format!("{}: {label}", figure.side),
        dashed: false,
        points: vec![(at, figure.median())],
    };
    let places = (0..u32::MAX).map(f64::from);
    places
        .zip(all)
        .flat_map(|(at, (label, both))| [curve(label, at, &both.ours), curve(label, at, &both.bare)])
        .collect()
}
