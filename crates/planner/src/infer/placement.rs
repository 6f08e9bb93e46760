//! The tables that have a place, and those about which a person must decide.

use std::collections::BTreeMap;

use super::candidate::{Candidate, Source};
use super::decided::Decided;
use super::undecided::Undecided;
use crate::catalog::TableId;

/// The place of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Place<'a> {
    /// The references by which its rows are found, the best first. Empty for the organizations' table, and for a table about
    /// which a person has decided already.
    pub(super) ways: Vec<&'a Candidate>,
    /// The columns by which its rows are found first.
    pub(super) columns: Vec<String>,
    pub(super) depth: usize,
}

/// The tables that have a place, and those about which a person must decide.
pub(super) struct Placement<'a> {
    pub(super) placed: BTreeMap<TableId, Place<'a>>,
    pub(super) unclassified: BTreeMap<TableId, Undecided<'a>>,
    /// What a person has decided before.
    pub(super) decided: &'a Decided,
    by_child: BTreeMap<TableId, Vec<&'a Candidate>>,
}

impl<'a> Placement<'a> {
    /// The organizations' table and the steps of an existing plan have their place from the beginning.
    pub(super) fn new(organizations: TableId, decided: &'a Decided, candidates: &'a [Candidate]) -> Self {
        let mut placed = BTreeMap::from([(organizations, Place::default())]);
        for (id, columns) in &decided.steps {
            placed.insert(*id, Place { columns: columns.clone(), depth: 1, ..Place::default() });
        }
        let mut by_child: BTreeMap<TableId, Vec<&Candidate>> = BTreeMap::new();
        for candidate in candidates {
            by_child.entry(candidate.child).or_default().push(candidate);
        }
        Self { placed, unclassified: BTreeMap::new(), decided, by_child }
    }

    /// Whether the draft or a person has decided about the table.
    pub(super) fn is_known(&self, id: TableId) -> bool {
        self.placed.contains_key(&id) || self.unclassified.contains_key(&id) || self.decided.others(id)
    }

    /// Whether rows of the table may belong to an organization.
    pub(super) fn may_be_tenants(&self, id: TableId) -> bool {
        self.placed.contains_key(&id) || self.is_open(id)
    }

    /// Whether rows of the table may belong to an organization, and no step deletes them.
    pub(super) fn is_open(&self, id: TableId) -> bool {
        self.unclassified.contains_key(&id) || self.decided.kept.contains(&id) || self.decided.open.contains(&id)
    }

    pub(super) fn depth(&self, candidate: &Candidate) -> usize {
        self.placed.get(&candidate.parent).map_or(usize::MAX, |p| p.depth)
    }

    /// The candidate references of the table, to whatever table.
    pub(super) fn candidates(&self, id: TableId) -> &[&'a Candidate] {
        self.by_child.get(&id).map_or(&[], Vec::as_slice)
    }

    /// References without a foreign key from tables that have a place, but not by this reference, to the rows of the table.
    pub(super) fn loose_references(&self, parent: TableId) -> impl Iterator<Item = &'a Candidate> {
        let by_it = |c: &Candidate| {
            self.placed
                .get(&c.child)
                .is_none_or(|place| c.pairs.iter().any(|(column, _)| place.columns.contains(column)))
        };
        let to_it = move |c: &&Candidate| c.parent == parent && c.source != Source::ForeignKey && c.same_type;
        self.by_child.values().flatten().copied().filter(to_it).filter(move |c| !by_it(c))
    }

    /// The candidates to tables that have a place, the best first: after the rank, the organization's own column before a
    /// path through other tables, then a column that is named after its parent, then one with an index, then the shortest
    /// path.
    pub(super) fn options(&self, id: TableId) -> Vec<&'a Candidate> {
        let is_option = |c: &&&Candidate| c.doubt.is_none() && self.placed.contains_key(&c.parent);
        let mut options: Vec<&Candidate> = self.candidates(id).iter().filter(is_option).copied().collect();
        options.sort_by_key(|c| (rank(c), self.depth(c) > 0, !c.named_after_parent(), !c.indexed, self.depth(c)));
        options
    }
}

/// NOT NULL before nullable, then foreign keys before names.
pub(super) fn rank(candidate: &Candidate) -> (bool, Source) {
    (candidate.nullable, candidate.source)
}
