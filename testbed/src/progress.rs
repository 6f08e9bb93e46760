//! Lines that tell a waiting reader what takes so long.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

/// Nothing is said about what is done within this time.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time between two lines about the same work.
const PACE: Duration = Duration::from_secs(10);

/// Where lines about long work go.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Hands every line to `report`.
    pub fn new(report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Writes every line to standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(|line| eprintln!("testbed: {line}"))
    }

    /// Says nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| ())
    }

    /// Says one line.
    pub fn say(&self, line: &str) {
        (self.0)(line);
    }

    /// Does `work` and says `what` is going on, once it takes more than a second.
    pub async fn during<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let begin = Instant::now();
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PATIENCE) => self.say(&format!("{what} …")),
        }
        let mut ticks = interval_at(begin + PACE, PACE);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.say(&format!("{what} … done in {} s", begin.elapsed().as_secs()));
                    return done;
                }
                _ = ticks.tick() => self.say(&format!("{what} … {} s elapsed", begin.elapsed().as_secs())),
            }
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::stderr()
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
