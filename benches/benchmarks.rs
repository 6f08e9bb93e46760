//! `make bench`: how fast the operator is, beside what a person would use instead.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]
#![allow(dead_code, unused_imports, reason = "the support of the tests offers more than a benchmark needs")]

mod suite;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use suite::{Part, Scale};
use support::{World, path};

/// Measure the operator beside what a person would use instead: hand-written SQL, ON DELETE CASCADE, a bare operator.
///
/// It starts etcd, kube-apiserver and a PostgreSQL with fsync on loopback, and stops them at the end. Sides of a row are measured
/// in turns, each from a fresh copy of the same rows; a figure is the median, with the least and the most in brackets. Nothing
/// else should run on the machine meanwhile.
///
/// The table goes to standard output, progress to standard error. Table, plots and numbers also go to DIR/benchmarks.md and
/// DIR/benchmarks/; a part that is not run keeps what an earlier run wrote.
#[derive(Debug, Parser)]
#[command(
    name = "benchmarks",
    bin_name = "cargo bench --bench benchmarks --",
    max_term_width = 100,
    after_help = "Examples:
  make bench                                    every part at full scale: about an hour and 25 GB of disk
  make bench PARTS='bursts plan'                these parts only; their figures replace earlier ones
  REPEATS=1 make bench PARTS=erasure            once, to see where one stands
  SCALE=small make bench                        everything once and small, in less than two minutes; prints no useful figure
  SCALE=huge make bench                         a tenant of 110 million rows, and nothing else"
)]
struct Arguments {
    /// What to measure; everything of the scale if nothing is named.
    parts: Vec<Part>,
    /// How large, how many, how often.
    #[arg(long, env = "SCALE", default_value = "full")]
    scale: Scale,
    /// How often each side of a row is measured; by default 5 times. The tenant of 11 million rows: at most 3 times.
    #[arg(long, env = "REPEATS", value_name = "N")]
    repeats: Option<usize>,
    /// Where to write. By default docs/ of this repository; with --scale small target/benchmarks, because its figures are worth
    /// nothing.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let Arguments { parts, scale, repeats, output, .. } = arguments;
    let directory = if scale == Scale::Small { "target/benchmarks" } else { "docs" };
    let output = output.unwrap_or_else(|| PathBuf::from(path(directory)));
    let parts = if parts.is_empty() { Part::all(scale) } else { parts };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "30min")];
    let world = Arc::new(runtime.block_on(World::alone_with(&settings)));
    runtime.block_on(suite::run(&world, scale, &parts, repeats, &output, |table| println!("{table}")));
    eprintln!("bench: written to {}", output.display());
}
