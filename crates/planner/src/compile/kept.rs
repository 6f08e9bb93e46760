//! What deletes do with captured keys.

use super::captures;
use super::proof;
use super::resolve::Steps;
use super::sequence::Sequence;
use crate::captured::KeySet;
use crate::step::{PerStep, StepId};

/// What deletes do with the sets of each step.
pub(super) struct Kept {
    /// The sets to which a delete adds the keys of rows that appeared after the capture: those by which somebody searches
    /// afterwards.
    pub(super) add: PerStep<Vec<KeySet>>,
    /// The sets of which a delete counts the keys of rows that it did not delete.
    pub(super) account: PerStep<Vec<KeySet>>,
    /// These are the sets of all parents, so nobody has to search parents that are still there if there are none.
    pub(super) accounted: bool,
}

impl Kept {
    /// The tables that are proven empty, and whether something may interfere, come last.
    pub(super) fn of(
        steps: &Steps<'_>,
        sequence: &Sequence<'_>,
        sets: &PerStep<Vec<KeySet>>,
        protected: &PerStep<bool>,
        (proven, may_interfere): (&PerStep<bool>, bool),
    ) -> Self {
        let by_a_child = |set: &KeySet| {
            steps.iter().any(|(child, to)| {
                let found = to.links.iter().any(|(parent, pairs)| is_of(set, *parent, pairs));
                let late = sequence.place(child) > sequence.place(set.step);
                found && (late || !proof::whole_table(steps, proven, child))
            })
        };
        let of_parent = |set: &&KeySet| is_of_parent(steps, set);
        // Part of a key may be another row's, so it is always searched.
        let searched =
            |set: &&KeySet| may_interfere || !set.whole || is_searched(steps, protected, set) || by_a_child(set);
        let accounted = !may_interfere && sets.values().flatten().filter(of_parent).all(|set| set.whole);
        let add = sets.map(|_, sets| sets.iter().filter(searched).cloned().collect());
        let account = sets.map(|_, sets| {
            let mut account: Vec<KeySet> = sets.iter().filter(of_parent).cloned().collect();
            account.retain(|_| accounted);
            account
        });
        Self { add, account, accounted }
    }
}

fn is_of(set: &KeySet, parent: StepId, pairs: &[(String, String)]) -> bool {
    parent == set.step && pairs.iter().map(|(_, column)| column).eq(&set.columns)
}

/// Whether child rows are found by the keys of a set.
fn is_of_parent(steps: &Steps<'_>, set: &KeySet) -> bool {
    steps.values().flat_map(|child| &child.links).any(|(parent, pairs)| is_of(set, *parent, pairs))
}

/// Whether the keys of a set are searched whatever the order of the deletes is: they are kept to count again, or they are all
/// that says which rows a step has, or what must not be left behind.
fn is_searched(steps: &Steps<'_>, protected: &PerStep<bool>, set: &KeySet) -> bool {
    captures::is_kept(steps, protected, set.step) || steps[set.step].referenced.is_some() || !is_of_parent(steps, set)
}
