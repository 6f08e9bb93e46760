//! A tenant for which one transaction is no way: it is deleted in pages.

use std::sync::Arc;

use super::erasure::ours;
use super::figures::{Curve, Figure, Ours, Row, Target, Unit};
use super::scale::Sizes;
use super::sides::Side;
use super::tenants::{Size, Tenants};
use crate::support::World;

/// What the operator may use, in MiB.
const MEMORY: f64 = 64.0;

pub async fn measure(world: &Arc<World>, sizes: &Sizes) -> (Vec<Row>, Vec<Curve>) {
    let [seconds, memory] = figures(world, sizes.huge).await;
    let row = |what: String, ours: Ours, target: Target| Row { what, ours, instead: Vec::new(), target };
    let words = sizes.huge.words();
    let rows = vec![
        row(format!("tenant of {words} rows, in pages"), seconds, Target::Nothing),
        row(format!("the operator's memory, tenant of {words} rows"), memory, Target::AtMost(MEMORY)),
    ];
    (rows, Vec::new())
}

async fn figures(world: &Arc<World>, size: Size) -> [Ours; 2] {
    if Side::Batched.missing().is_some() {
        return [ours(Side::Batched, None), ours(Side::Batched, None)];
    }
    let tenants = Tenants::beside(world, size, 1, Size::new(1, 100)).await;
    let erased = Side::Batched.erase(&tenants.original(), size).await;
    tenants.remove().await;
    let memory = erased.memory.map(|[_, after]| Figure::new("peak", Unit::Mebibytes, vec![after.peak]));
    let seconds = Figure::new(Side::Batched.name(), Unit::Seconds, vec![erased.took.as_secs_f64()]);
    [ours(Side::Batched, Some(seconds)), ours(Side::Batched, memory)]
}
