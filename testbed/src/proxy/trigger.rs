//! Counts requests and statements, and strikes at the chosen number.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Whether a fault strikes before or after the server has done the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The server never sees it.
    Before,
    /// The server has done it and answered, but the client never sees the answer.
    After,
}

/// The point at which something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The number of the write or statement since the fault was armed, from one.
    pub ordinal: u64,
    /// Before or after the server's work.
    pub moment: Moment,
}

/// A write or statement that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Its number since the proxy was armed, from one.
    pub ordinal: u64,
    /// `PATCH /apis/…` or the SQL text with its white space collapsed.
    pub what: String,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.ordinal, self.what)
    }
}

type Hook = Arc<dyn Fn() + Send + Sync>;
type Filter = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    counting: bool,
    log: Vec<Passed>,
    armed: Option<(Fault, Hook)>,
    filter: Option<Filter>,
}

/// Shared by all connections of one proxy.
pub(super) struct Trigger {
    /// Bytes of messages in both directions.
    pub(super) bytes: AtomicU64,
    state: Mutex<State>,
    fired: watch::Sender<Option<Passed>>,
}

impl Default for Trigger {
    fn default() -> Self {
        Self { bytes: AtomicU64::new(0), state: Mutex::default(), fired: watch::Sender::new(None) }
    }
}

impl fmt::Debug for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trigger").field("count", &self.count()).field("fired", &self.fired()).finish()
    }
}

/// A fault that has come up, and is still to be carried out.
pub(super) struct Strike {
    pub moment: Moment,
    passed: Passed,
    hook: Hook,
}

impl Strike {
    /// Calls the hook. Once begun, it is completed even if the connection's own task is dropped,
    /// which is what happens when the hook kills the client.
    pub(super) async fn carry_out(self, trigger: &Arc<Trigger>) {
        let trigger = Arc::clone(trigger);
        let strike = tokio::task::spawn_blocking(move || {
            (self.hook)();
            trigger.fired.send_replace(Some(self.passed));
        });
        // A hook that panics fails its test by not having fired.
        let _ = strike.await;
    }
}

impl Trigger {
    /// Counts `what`, which is about to be forwarded. With a strike, the caller does the rest.
    pub(super) fn observe(&self, what: &str) -> Option<Strike> {
        let filter = {
            let state = self.state();
            if !state.counting {
                return None;
            }
            state.filter.clone()
        };
        // Without the lock: a filter may take its time, and the other connections go on meanwhile.
        if filter.is_some_and(|counts| !counts(what)) {
            return None;
        }
        let mut state = self.state();
        let passed = Passed { ordinal: ordinal(state.log.len() + 1), what: what.to_owned() };
        state.log.push(passed.clone());
        let (fault, hook) = state.armed.take_if(|(fault, _)| fault.ordinal == passed.ordinal)?;
        Some(Strike { moment: fault.moment, passed, hook })
    }

    pub(super) fn arm(&self, armed: Option<(Fault, Hook)>) {
        let mut state = self.state();
        state.counting = true;
        state.log.clear();
        state.armed = armed;
        self.fired.send_replace(None);
    }

    pub(super) fn disarm(&self) {
        let mut state = self.state();
        state.counting = false;
        state.armed = None;
    }

    pub(super) fn count_only(&self, filter: Filter) {
        self.state().filter = Some(filter);
    }

    pub(super) fn count(&self) -> u64 {
        ordinal(self.state().log.len())
    }

    pub(super) fn log(&self) -> Vec<Passed> {
        self.state().log.clone()
    }

    pub(super) fn fired(&self) -> Option<Passed> {
        self.fired.borrow().clone()
    }

    pub(super) async fn wait_fired(&self, timeout: Duration) -> Option<Passed> {
        let mut fired = self.fired.subscribe();
        let wait = fired.wait_for(Option::is_some);
        tokio::time::timeout(timeout, wait).await.ok()?.ok()?.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No log is longer than a `u64` can say.
fn ordinal(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
