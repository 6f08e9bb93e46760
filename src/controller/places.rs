//! Places for large deletions: few of them run at the same time, so that small ones are never queued behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;

use crate::api::Organization;

/// An object that has a place and was not reconciled for so long has lost it: it may be gone.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// Places for large deletions. Correctness does not depend on them: claims and locks decide.
pub(super) struct Places {
    most: usize,
    state: Mutex<State>,
    requeue: UnboundedSender<ObjectRef<Organization>>,
}

#[derive(Default)]
struct State {
    /// By uid: since when the object is between two reconciliations. `None` while it is reconciled.
    taken: HashMap<String, Option<Instant>>,
    /// Those that wait for a place, by uid, the longest wait first.
    waiting: Vec<(String, ObjectRef<Organization>)>,
}

impl Places {
    pub(super) fn new(most: usize, requeue: UnboundedSender<ObjectRef<Organization>>) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default(), requeue })
    }

    /// Takes a place for an object, or keeps the one that it has. Returns `None` if others have all places: the object is
    /// requeued when one of them is given back.
    pub(super) fn take(self: &Arc<Self>, uid: &str, name: &str) -> Option<Place> {
        let mut state = self.lock();
        state.taken.retain(|_, idle| idle.is_none_or(|since| since.elapsed() < FORGOTTEN));
        state.waiting.retain(|(waiting, _)| waiting != uid);
        if !state.taken.contains_key(uid) && state.taken.len() >= self.most {
            state.waiting.push((uid.to_owned(), ObjectRef::new(name)));
            return None;
        }
        state.taken.insert(uid.to_owned(), None);
        Some(Place { places: self.clone(), uid: uid.to_owned(), keeps: false })
    }

    /// Gives back the place that an object keeps, if it has one.
    pub(super) fn leave(&self, uid: &str) {
        let mut state = self.lock();
        if state.taken.remove(uid).is_some() && !state.waiting.is_empty() {
            let (_, object) = state.waiting.remove(0);
            // The receiver ends with the controller.
            drop(self.requeue.unbounded_send(object));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place. It is given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    uid: String,
    keeps: bool,
}

impl Place {
    /// Keeps the place until the object's next reconciliation, which is due soon.
    pub(super) fn keep(mut self) {
        self.keeps = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keeps {
            self.places.leave(&self.uid);
        } else if let Some(idle) = self.places.lock().taken.get_mut(&self.uid) {
            *idle = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_goes_to_who_waited_longest() {
        let (requeue, mut requeued) = futures::channel::mpsc::unbounded();
        let places = Places::new(1, requeue);
        let first = places.take("1", "first").expect("a place");
        assert!(places.take("2", "second").is_none(), "none is free");
        assert!(places.take("3", "third").is_none(), "none is free");
        first.keep();
        assert!(places.take("2", "second").is_none(), "it is kept between two reconciliations");
        let again = places.take("1", "first").expect("its own place");
        assert!(requeued.try_recv().is_err(), "nobody was called yet");
        drop(again);
        assert_eq!(requeued.try_recv().expect("called").name, "third");
        let third = places.take("3", "third").expect("a place");
        third.keep();
        places.leave("3");
        assert_eq!(requeued.try_recv().expect("called").name, "second");
    }

    #[test]
    fn a_place_is_lost_if_nobody_comes_back() {
        let (requeue, _requeued) = futures::channel::mpsc::unbounded();
        let places = Places::new(1, requeue);
        places.take("1", "first").expect("a place").keep();
        let long_ago = Instant::now().checked_sub(FORGOTTEN);
        for idle in places.lock().taken.values_mut() {
            *idle = long_ago;
        }
        assert!(places.take("2", "second").is_some());
    }
}
