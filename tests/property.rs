//! "Whatever the schema: the cascade erases exactly the tenant, or changes nothing and says why."
//!
//! Each case is a random schema with random rows and a sensible plan. The engine runs on the real database without the
//! operator around it; what should be left is computed from the rows in plain Rust (`rows.rs`).
//!
//! `make fuzz CASES=20000 SEED=7` runs more. A failure prints the seed of its case and the schema as SQL:
//! `make fuzz CASES=1 SEED=...` runs that case again.

mod broken;
mod case;
pub mod cycles;
pub mod equality;
mod expected;
mod fill;
mod generate;
mod judge;
mod kinds;
pub mod meanwhile;
mod memberships;
pub mod own_partitions;
pub mod page_sizes;
pub mod pages;
pub mod pages_crash;
pub mod pages_end;
pub mod pages_meanwhile;
pub mod partial_keys;
pub mod people;
pub mod people_again;
mod plan;
pub mod proof;
pub mod relations;
mod rows;
mod schema;
pub mod single;
mod sql;
pub mod tids;
mod writers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use organization_operator::api::Reason;
use tokio::sync::Mutex;

use crate::support::World;
use crate::tests;
use broken::Breakage;
use case::Ground;
use expected::WRONG;
use judge::Verdict;
use kinds::Kind;

tests![the_cascade_erases_exactly_the_tenant_or_nothing, the_property_catches_a_broken_engine];

/// Cases of an ordinary test run, always the same ones.
const CASES: u64 = 500;
const SEED: u64 = 1;
/// A broken engine is caught within so many cases.
const CAUGHT_WITHIN: u64 = 150;
/// Cases that run at the same time.
const WORKERS: usize = 3;

async fn the_cascade_erases_exactly_the_tenant_or_nothing(world: Arc<World>) {
    let number = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| v.parse::<u64>().expect(name));
    let cases = number("CASES").unwrap_or(CASES);
    let seed = number("SEED").unwrap_or(SEED);
    let (verdicts, kinds) = holds(Arc::new(Ground::new(&world).await), cases, seed).await;
    // An engine that refuses everything keeps the property too.
    if cases >= CASES {
        enough(cases, &verdicts, &kinds);
    }
}

/// How many cases ended how.
type Verdicts = BTreeMap<Verdict, u64>;
type Kinds = BTreeMap<(Kind, Verdict), u64>;

/// Runs the cases from a seed on, and panics at the first that violates the property.
async fn holds(ground: Arc<Ground>, cases: u64, seed: u64) -> (Verdicts, Kinds) {
    let next = Arc::new(AtomicU64::new(0));
    let verdicts: Arc<Mutex<Verdicts>> = Arc::default();
    let kinds: Arc<Mutex<Kinds>> = Arc::default();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..WORKERS {
        let (ground, next) = (ground.clone(), next.clone());
        let (verdicts, kinds) = (verdicts.clone(), kinds.clone());
        workers.spawn(async move {
            let mut connection = ground.connect().await;
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= cases {
                    return Ok(());
                }
                let case = ground.run(&mut connection, seed + at, None).await?;
                *verdicts.lock().await.entry(case.verdict).or_default() += 1;
                for kind in case.kinds {
                    *kinds.lock().await.entry((kind, case.verdict)).or_default() += 1;
                }
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        let ended: Result<(), String> = ended.expect("no worker panics");
        ended.unwrap_or_else(|violation| panic!("{violation}"));
    }
    let (verdicts, kinds) = (verdicts.lock().await.clone(), kinds.lock().await.clone());
    println!("{cases} cases from seed {seed}: {verdicts:?}, {kinds:?}");
    (verdicts, kinds)
}

/// Enough cases end in each way that matters.
fn enough(cases: u64, verdicts: &Verdicts, kinds: &Kinds) {
    for (verdict, least) in [(Verdict::Erased, 4), (Verdict::Refused(Reason::ForeignKeyViolation), 20)] {
        let count = verdicts.get(&verdict).copied().unwrap_or_default();
        assert!(count * least >= cases, "{verdict:?} in {count} of {cases} cases only: {verdicts:?}");
    }
    for kind in Kind::ALL {
        let verdict = match kind {
            Kind::Ambiguous => Verdict::Refused(Reason::ForeignKeyViolation),
            _ => Verdict::Erased,
        };
        let count = kinds.get(&(kind, verdict)).copied().unwrap_or_default();
        assert!(count * 50 >= cases, "{kind:?} {verdict:?} in {count} of {cases} cases only: {kinds:?}");
    }
}

async fn the_property_catches_a_broken_engine(world: Arc<World>) {
    let ground = Ground::new(&world).await;
    let mut connection = ground.connect().await;
    for breakage in Breakage::ALL {
        let mut caught = None;
        if let Some([breaks, _]) = breakage.sql() {
            ground.execute(breaks).await;
        }
        for seed in 0..CAUGHT_WITHIN {
            if let Err(violation) = ground.run(&mut connection, seed, Some(breakage)).await
                && violation.contains(WRONG)
            {
                caught = Some((seed, violation));
                break;
            }
        }
        if let Some([_, mends]) = breakage.sql() {
            ground.execute(mends).await;
        }
        let (seed, violation) =
            caught.unwrap_or_else(|| panic!("{breakage:?} went unnoticed in {CAUGHT_WITHIN} cases"));
        println!("{breakage:?} was caught by case {seed}: {}", violation.lines().next().unwrap_or_default());
    }
}
