//! What the demo looks like. Colours only on a terminal, and not where `NO_COLOR` is set.

use std::io::{IsTerminal as _, stdout};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Time to read a chapter's sentences, and a command's output.
const PAUSE: Duration = Duration::from_millis(1500);

/// Standard output.
pub(crate) struct Terminal {
    colours: bool,
    pause: Duration,
    chapter: AtomicU32,
}

impl Terminal {
    pub(crate) fn new(fast: bool) -> Self {
        let person = stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            colours: person && !no_color && !dumb,
            pause: if person && !fast { PAUSE } else { Duration::ZERO },
            chapter: AtomicU32::new(1),
        }
    }

    /// A heading and what is about to happen.
    pub(crate) async fn chapter(&self, title: &str, told: &str) {
        self.breathe().await;
        let number = self.chapter.fetch_add(1, Ordering::Relaxed);
        println!("\n{}", self.paint("1;36", &format!("{number}. {title}")));
        println!("{told}");
        self.breathe().await;
    }

    /// A command as a person would type it.
    pub(crate) fn typed(&self, prompt: &str, command: &str) {
        println!("\n{}", self.paint("1", &format!("{prompt} {command}")));
    }

    /// What a command answered.
    pub(crate) async fn answered(&self, text: &str) {
        let text = text.trim_end();
        if !text.is_empty() {
            println!("{text}");
        }
        self.breathe().await;
    }

    /// Something that the demo has checked.
    pub(crate) fn checked(&self, what: &str) {
        println!("{} {what}", self.paint("32", "✓"));
    }

    /// A line about work that takes a while.
    pub(crate) fn progress(&self) -> testbed::Progress {
        let colours = self.colours;
        testbed::Progress::new(move |line| println!("{}", paint(colours, "2", &format!("  {line}"))))
    }

    pub(crate) fn failed(&self, message: &str) {
        println!();
        eprintln!("{} {message}", self.paint("1;31", "✗"));
    }

    pub(crate) fn end(&self, took: Duration) {
        let text = format!("Done in {:.1} s. Everything was stopped and removed.", took.as_secs_f64());
        println!("\n{}", self.paint("1;32", &text));
    }

    fn paint(&self, style: &str, text: &str) -> String {
        paint(self.colours, style, text)
    }

    async fn breathe(&self) {
        tokio::time::sleep(self.pause).await;
    }
}

fn paint(colours: bool, style: &str, text: &str) -> String {
    if colours { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}
