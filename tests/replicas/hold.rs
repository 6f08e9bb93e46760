//! Holds one statement of an operator back, so that something can happen to the operator in the middle of its work.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use testbed::proxy::SqlProxy;

use crate::support::eventually;

/// A statement that is held back.
pub struct Hold(Arc<Gate>);

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Waiting,
    Reached,
    Released,
}

impl Hold {
    /// Holds the next statement that contains this text, before the server gets it.
    pub fn before(proxy: &SqlProxy, text: &'static str) -> Self {
        let gate = Arc::new(Gate::default());
        let ours = gate.clone();
        proxy.count_only(move |statement| {
            if statement.contains(text) {
                tokio::task::block_in_place(|| ours.pass());
            }
            true
        });
        proxy.record();
        Self(gate)
    }

    /// Waits until the operator sends the statement.
    pub async fn reached(&self) {
        eventually("the statement that is held back", || async { (self.0.state() == State::Reached).then_some(()) })
            .await;
    }

    /// Lets it pass, and everything after it.
    pub fn release(&self) {
        self.0.set(State::Released);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

impl Gate {
    /// The first statement waits; those that come later pass.
    fn pass(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != State::Waiting {
            return;
        }
        *state = State::Reached;
        while *state != State::Released {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }
}
