//! A bar for what takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whatever is done by then needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

const READING: &str = "{spinner} {pos} organizations read";
const WRITING: &str = "{spinner} [{bar:30}] {pos}/{len} objects {elapsed}";

/// How far the command is. Shown on standard error if that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// While organizations are read.
    pub(super) fn reading() -> Self {
        Self::new(None, READING)
    }

    /// While so many objects are written.
    pub(super) fn writing(objects: u64) -> Self {
        Self::new(Some(objects), WRITING)
    }

    fn new(length: Option<u64>, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
        // Both templates are tested.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        Self { bar, began: Instant::now() }
    }

    /// So many more are done.
    pub(super) fn advance(&self, by: u64) {
        if self.bar.is_hidden() && self.began.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(by);
    }

    /// Leaves the terminal as it was.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_can_be_used() {
        for template in [READING, WRITING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
