//! A bar on a terminal, lines elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use k8s_openapi::jiff::Timestamp;

use super::view::View;

/// How often the terminal shows that the command is alive.
const TICK: Duration = Duration::from_millis(200);

/// Where a person follows a deletion.
pub(super) struct Display {
    name: String,
    /// `None`: not a terminal.
    bar: Option<ProgressBar>,
    bars: bool,
    told: Option<Told>,
}

/// What was printed last.
type Told = (String, Option<i32>, Option<String>);

impl Display {
    /// On standard output.
    pub(super) fn new(name: &str) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            bar.set_style(style(WAITING));
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { name: name.to_owned(), bar, bars: false, told: None }
    }

    /// Shows a state. Lines are printed only if it says something new.
    pub(super) fn show(&mut self, view: &View, now: Timestamp) {
        let news = view.news();
        let new = self.told.as_ref() != Some(&news);
        let stage = self.told.as_ref().is_none_or(|told| told.0 != news.0);
        self.told = Some(news);
        let Some(bar) = &self.bar else {
            if new {
                println!("{}", self.stamped(&view.line(), now));
            }
            return;
        };
        // What a person may need later stays above the bar.
        if stage && (view.progress.is_none() || view.remedy.is_some()) {
            bar.println(self.stamped(&view.line(), now));
        }
        if self.bars != view.progress.is_some() {
            self.bars = view.progress.is_some();
            bar.set_style(style(if self.bars { ROWS } else { WAITING }));
        }
        if let Some(progress) = &view.progress {
            bar.set_length(u64::try_from(progress.rows_estimated).unwrap_or_default());
            bar.set_position(u64::try_from(progress.rows_deleted).unwrap_or_default());
        }
        bar.set_prefix(format!("{} {}", self.name, view.word));
        bar.set_message(view.moving(now));
    }

    /// Says something beside the deletion.
    pub(super) fn note(&mut self, words: &str, now: Timestamp) {
        let line = self.stamped(words, now);
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// The line that says how it ended.
    pub(super) fn last(&mut self, words: &str, now: Timestamp) {
        self.close();
        println!("{}", self.stamped(words, now));
    }

    /// Leaves a terminal as it was.
    pub(super) fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn stamped(&self, words: &str, now: Timestamp) -> String {
        format!("{now:.0} {}: {words}", self.name)
    }
}

const WAITING: &str = "{spinner} {prefix}: {wide_msg}";
const ROWS: &str = "{spinner} {prefix} {percent:>3}% [{bar:30}] {human_pos} of about {human_len} rows, {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    // Both templates are tested.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_can_be_used() {
        for template in [WAITING, ROWS] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
