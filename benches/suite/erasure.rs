//! One tenant beside others of its size: seconds, the operator's memory, and how both grow, also beside an old snapshot.

use std::sync::Arc;

use super::by_hand::old_snapshot;
use super::figures::{Curve, Figure, Ours, PlotName, Row, Target, Unit};
use super::progress;
use super::scale::Sizes;
use super::sides::{Erased, Side};
use super::tenants::{Size, Tenants, discard};
use crate::support::World;

/// What must be reached for one transaction, in times of hand-written SQL.
const TIMES: f64 = 1.1;
/// What the operator may use, whatever the size of the tenant, in MiB.
const MEMORY: f64 = 64.0;

const ALL: [Side; 4] = [Side::HandWritten, Side::OnDeleteCascade, Side::Atomic, Side::Batched];
const BESIDE_A_SNAPSHOT: [Side; 3] = [Side::HandWritten, Side::Atomic, Side::Batched];

/// All erasures of one side, from the same tenants.
struct Measured {
    side: Side,
    size: Size,
    snapshot: bool,
    erased: Vec<Erased>,
}

/// The largest tenant takes minutes, and spreads less.
const REPEATS_OF_LARGE: usize = 3;

/// Measures tenants that take seconds. The largest of them has rows in the table; all are in the plots.
pub async fn measure(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let mut all = Vec::new();
    for &size in &sizes.tenants {
        all.extend(Box::pin(both(world, size, [sizes.repeats, sizes.repeats.min(REPEATS_OF_LARGE)])).await);
    }
    let rows = sizes.tenants.last().map(|&size| rows(&all, size)).unwrap_or_default();
    (rows, curves(&all))
}

/// Measures the tenant that takes minutes.
pub async fn large(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let all = Box::pin(both(world, sizes.large, [sizes.repeats.min(REPEATS_OF_LARGE), 1])).await;
    (rows(&all, sizes.large), curves(&all))
}

/// Without and with an old snapshot, so many times.
async fn both(world: &Arc<World>, size: Size, [quiet, beside_a_snapshot]: [usize; 2]) -> Vec<Measured> {
    let tenants = Tenants::create(world, size).await;
    let mut all = compare(&tenants, &ALL, false, quiet).await;
    all.extend(compare(&tenants, &BESIDE_A_SNAPSHOT, true, beside_a_snapshot).await);
    tenants.remove().await;
    all
}

/// Erases the same tenant in turns, so that all sides meet the same machine. The first one is another in each turn.
async fn compare(tenants: &Tenants, sides: &[Side], snapshot: bool, repeats: usize) -> Vec<Measured> {
    let sides = sides.iter().filter(|side| side.missing().is_none());
    let measured = |&side: &Side| Measured { side, size: tenants.size(), snapshot, erased: Vec::new() };
    let mut all: Vec<Measured> = sides.map(measured).collect();
    for turn in 0..repeats {
        let sides = all.len();
        for place in 0..sides {
            let one = &mut all[(turn + place) % sides];
            let scene = tenants.copy().await;
            let held = if snapshot { Some(old_snapshot(&scene).await) } else { None };
            let erased = one.side.erase(&scene, one.size).await;
            let (words, side) = (one.size.words(), one.side.name());
            let snapshot = if snapshot { ", beside an old snapshot" } else { "" };
            progress().say(&format!("{words} rows, {side}{snapshot}: {:.3} s", erased.took.as_secs_f64()));
            one.erased.push(erased);
            drop(held);
            discard(scene).await;
        }
    }
    all
}

impl Measured {
    fn seconds(&self) -> Figure {
        let samples = self.erased.iter().map(|e| e.took.as_secs_f64()).collect();
        Figure::new(self.side.name(), Unit::Seconds, samples)
    }

    fn memory(&self) -> Vec<[f64; 2]> {
        self.erased.iter().filter_map(|e| e.memory.map(|[before, after]| [before.now, after.peak])).collect()
    }
}

fn find(all: &[Measured], side: Side, size: Size, snapshot: bool) -> Option<&Measured> {
    all.iter().find(|m| m.side == side && m.size == size && m.snapshot == snapshot)
}

/// The figure of a side, or why there is none.
pub fn ours(side: Side, figure: Option<Figure>) -> Ours {
    figure.map_or_else(|| Ours::Missing(side.missing().unwrap_or_else(|| "not measured".to_owned())), Ours::Measured)
}

fn rows(all: &[Measured], size: Size) -> Vec<Row> {
    let seconds = |side, snapshot| find(all, side, size, snapshot).map(Measured::seconds);
    let mut rows = Vec::new();
    for (side, target) in [(Side::Atomic, Target::AtMostTimes(TIMES)), (Side::Batched, Target::Nothing)] {
        let how = if side == Side::Atomic { "in one transaction" } else { "in pages" };
        let instead = [Side::HandWritten, Side::OnDeleteCascade];
        rows.push(Row {
            what: format!("tenant of {} rows, {how}", size.words()),
            ours: ours(side, seconds(side, false)),
            instead: instead.iter().filter_map(|&side| seconds(side, false)).collect(),
            target,
        });
        rows.push(Row {
            what: format!("the same, {how}, beside an old snapshot"),
            ours: ours(side, seconds(side, true)),
            instead: seconds(Side::HandWritten, true).into_iter().collect(),
            target: Target::Nothing,
        });
        let memory = find(all, side, size, false).map(Measured::memory).unwrap_or_default();
        let figure = |name: &str, at: usize| {
            let samples: Vec<f64> = memory.iter().map(|m| m[at]).collect();
            (!samples.is_empty()).then(|| Figure::new(name, Unit::Mebibytes, samples))
        };
        rows.push(Row {
            what: format!("the operator's memory, tenant of {} rows, {how}", size.words()),
            ours: ours(side, figure("peak", 1)),
            instead: figure("before the deletion", 0).into_iter().collect(),
            target: Target::AtMost(MEMORY),
        });
    }
    rows
}

fn curves(all: &[Measured]) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    let mut add = |plot: PlotName, one: &Measured, y: f64| {
        let (side, dashed) = (one.side.name(), one.snapshot);
        let point = (one.size.rows() as f64, y);
        match curves.iter_mut().find(|c| c.plot == plot && c.side == side && c.dashed == dashed) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { plot, side: side.to_owned(), dashed, points: vec![point] }),
        }
    };
    for one in all {
        add(PlotName::Growth, one, one.seconds().median());
        let peaks: Vec<f64> = one.memory().iter().map(|m| m[1]).collect();
        if !one.snapshot && !peaks.is_empty() {
            add(PlotName::Memory, one, super::figures::quantile(&peaks, 0.5));
        }
    }
    curves
}
