//! The benchmarks. Each row compares the operator with what a person would use instead, in turns on the same machine.
//!
//! They print and write; they do not judge. `tests/benchmarks.rs` runs them small, so that they cannot rot.

#![expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]

mod bare;
mod beside;
mod bursts;
mod by_hand;
mod document;
mod erasure;
mod figures;
mod huge;
mod machine;
mod objects;
mod plan;
mod plots;
mod process;
mod scale;
mod sides;
mod tenants;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use strum::IntoEnumIterator as _;
use testbed::Progress;

use crate::support::World;
pub use document::written;
use figures::Section;
pub use figures::{Ours, Report, Row};
use machine::Machine;
pub use scale::Scale;

/// A part of the suite, which can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Part {
    /// One tenant, from thousands of rows to a million: seconds, memory, growth.
    Erasure,
    /// The same with 11 million rows.
    Large,
    /// Small transactions of another tenant, before and while a million rows go.
    Beside,
    /// Many objects deleted at once, and an operator with nothing to do.
    Bursts,
    /// Compiling a plan, and what the preflight costs.
    Plan,
    /// A tenant of 110 million rows (SCALE=huge only).
    Huge,
}

impl Part {
    /// What a run of this scale does if nobody names a part.
    pub fn all(scale: Scale) -> Vec<Self> {
        if scale == Scale::Huge {
            return vec![Self::Huge];
        }
        // The small scale shows that this part works as well.
        Self::iter().filter(|part| *part != Self::Huge || scale == Scale::Small).collect()
    }

    async fn measure(self, world: &Arc<World>, scale: Scale, repeats: Option<usize>) -> Section {
        let began = Instant::now();
        let mut machine = Machine::observe(world, scale.name()).await;
        let mut sizes = scale.sizes();
        sizes.repeats = repeats.unwrap_or(sizes.repeats).max(1);
        let (rows, curves) = match self {
            Self::Erasure => Box::pin(erasure::measure(world, &sizes)).await,
            Self::Large => Box::pin(erasure::large(world, &sizes)).await,
            Self::Beside => Box::pin(beside::measure(world, &sizes)).await,
            Self::Bursts => bursts::measure(world, &sizes).await,
            Self::Plan => plan::measure(world, &sizes).await,
            Self::Huge => huge::measure(world, &sizes).await,
        };
        machine.seconds = began.elapsed().as_secs_f64();
        Section { machine, rows, curves }
    }
}

/// Measures these parts, tells the rows of each as soon as it has them, and writes them beside those of earlier runs.
pub async fn run(
    world: &Arc<World>,
    scale: Scale,
    parts: &[Part],
    repeats: Option<usize>,
    directory: &Path,
    tell: impl Fn(&str),
) -> Report {
    let mut report = document::earlier(directory);
    for part in parts {
        let name: &str = part.into();
        let section = Box::pin(part.measure(world, scale, repeats)).await;
        tell(&document::terminal(name, &section));
        report.sections.insert(name.to_owned(), section);
        // Whatever happens to the rest, this part is kept.
        document::write(&report, directory);
    }
    report
}

/// Lines on standard error about what takes longer than a second.
fn progress() -> Progress {
    Progress::new(|line| eprintln!("bench: {line}"))
}
