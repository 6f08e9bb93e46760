//! The place of each table: below a table that has a place already, by its best candidate reference, from the organization
//! down.

use std::collections::BTreeMap;

use super::candidate::{Candidate, Source};
use super::decided::Decided;
use super::people;
use super::survey::Survey;
use super::tenant_table::TenantTable;
use super::undecided::{self, Undecided};
use super::ways;
use crate::catalog::TableId;

/// The place of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Place<'a> {
    /// The references by which its rows are found, the best first. Empty for the organizations' table, and for a table about
    /// which a person has decided already.
    pub(super) ways: Vec<&'a Candidate>,
    /// The columns by which its rows are found first.
    pub(super) columns: Vec<String>,
    depth: usize,
}

/// The tables that have a place, and those about which a person must decide.
pub(super) struct Placement<'a> {
    pub(super) placed: BTreeMap<TableId, Place<'a>>,
    pub(super) unclassified: BTreeMap<TableId, Undecided<'a>>,
    /// What a person has decided before.
    pub(super) decided: &'a Decided,
    by_child: BTreeMap<TableId, Vec<&'a Candidate>>,
}

pub(super) fn place<'a>(
    survey: &Survey,
    tenants: TenantTable<'_>,
    decided: &'a Decided,
    candidates: &'a [Candidate],
    signs: &'a [Candidate],
) -> Placement<'a> {
    let mut by_child: BTreeMap<TableId, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        by_child.entry(candidate.child).or_default().push(candidate);
    }
    let mut placement = Placement { placed: BTreeMap::new(), unclassified: BTreeMap::new(), decided, by_child };
    placement.placed.insert(tenants.table.id(), Place::default());
    for (id, columns) in &decided.steps {
        placement.placed.insert(*id, Place { columns: columns.clone(), depth: 1, ..Place::default() });
    }
    let mut names: Vec<(String, TableId)> = survey.tables.iter().map(|t| (t.written(), t.id())).collect();
    names.sort();
    // One table at a time, the surest first: a nullable column decides only if nothing better is left.
    loop {
        let open = names.iter().filter(|(_, id)| !placement.is_known(*id));
        let best = open
            .filter_map(|(_, id)| placement.options(*id).into_iter().next())
            .min_by_key(|candidate| (rank(candidate), placement.depth(candidate)));
        let Some(best) = best else { break };
        let options = placement.options(best.child);
        let people = people::find(survey, tenants, &placement, best.child);
        if let Some(rival) = options.iter().find(|option| are_rivals(tenants, best, option)) {
            placement.unclassified.insert(best.child, Undecided::rivals(best, rival));
        } else if best.nullable && people.iter().any(|p| p.join) {
            // Whoever is in several organizations must not go because the last one that they used does.
            placement.unclassified.insert(best.child, Undecided::doubtful(options, people));
        } else {
            let depth = placement.depth(best) + 1;
            let columns = best.pairs.iter().map(|(c, _)| c.clone()).collect();
            placement.placed.insert(best.child, Place { ways: vec![best], columns, depth });
        }
    }
    ways::unite(&mut placement);
    undecided::ask(survey, tenants, &mut placement, &names, signs);
    placement
}

/// NOT NULL before nullable, then foreign keys before names.
fn rank(candidate: &Candidate) -> (bool, Source) {
    (candidate.nullable, candidate.source)
}

/// Whether two columns say equally well to which organization a row belongs.
fn are_rivals(tenants: TenantTable<'_>, one: &Candidate, other: &Candidate) -> bool {
    tenants.is(one.parent)
        && tenants.is(other.parent)
        && one.pairs != other.pairs
        && rank(one) == rank(other)
        && one.named_after_parent() == other.named_after_parent()
}

impl<'a> Placement<'a> {
    /// Whether the draft or a person has said what becomes of the table.
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

    fn depth(&self, candidate: &Candidate) -> usize {
        self.placed.get(&candidate.parent).map_or(usize::MAX, |p| p.depth)
    }

    /// The candidate references of the table, to whatever table.
    pub(super) fn candidates(&self, id: TableId) -> &[&'a Candidate] {
        self.by_child.get(&id).map_or(&[], Vec::as_slice)
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
