//! The same property where organizations are deleted in pages: of one block, each in a slice of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::broken::Breakage;
use super::case::Ground;
use super::expected::WRONG;
use super::{CASES, CAUGHT_WITHIN, SEED, enough, holds};
use crate::support::World;
use crate::tests;

tests![
    pages_erase_exactly_the_tenant_or_say_why,
    captured_rows_go_exactly_or_it_says_why,
    the_property_catches_broken_pages,
];

async fn pages_erase_exactly_the_tenant_or_say_why(world: Arc<World>) {
    let ground = Arc::new(Ground::in_pages(&world).await);
    let number = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| v.parse::<u64>().expect(name));
    let cases = number("CASES").unwrap_or(CASES);
    let (verdicts, kinds) = holds(ground.clone(), cases, number("SEED").unwrap_or(SEED)).await;
    let paged = ground.paged.load(Ordering::Relaxed);
    println!("pages deleted {paged} rows");
    if cases >= CASES {
        enough(cases, &verdicts, &kinds);
        assert!(paged > 1000, "pages deleted {paged} rows only");
    }
}

/// The same where pages visit only rows whose places were captured.
async fn captured_rows_go_exactly_or_it_says_why(world: Arc<World>) {
    let ground = Arc::new(Ground::row_by_row(&world).await);
    holds(ground.clone(), CASES / 4, SEED).await;
    let paged = ground.paged.load(Ordering::Relaxed);
    assert!(paged > 250, "pages deleted {paged} rows only");
}

async fn the_property_catches_broken_pages(world: Arc<World>) {
    catches_broken_pages(Ground::in_pages(&world).await).await;
    catches_broken_pages(Ground::row_by_row(&world).await).await;
}

async fn catches_broken_pages(ground: Ground) {
    let mut connection = ground.connect().await;
    for breakage in Breakage::OF_PAGES {
        let mut caught = None;
        for seed in 0..CAUGHT_WITHIN {
            if let Err(violation) = ground.run(&mut connection, seed, Some(breakage)).await
                && violation.contains(WRONG)
            {
                caught = Some((seed, violation));
                break;
            }
        }
        let (seed, violation) =
            caught.unwrap_or_else(|| panic!("{breakage:?} went unnoticed in {CAUGHT_WITHIN} cases"));
        println!("{breakage:?} was caught by case {seed}: {}", violation.lines().next().unwrap_or_default());
    }
}
