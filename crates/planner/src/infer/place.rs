//! The place of each table: below a table that has a place already, by its best candidate reference, from the organization
//! down.

use std::collections::BTreeMap;

use super::references::{Candidate, Source};
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use crate::catalog::TableId;

/// The place of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The reference by which its rows are found. `None` for the organizations' table.
    pub(super) reference: Option<&'a Candidate>,
    depth: usize,
}

/// A table that may belong to the organization, so that a person must decide.
pub(super) struct Undecided<'a> {
    pub(super) candidates: Vec<&'a Candidate>,
    /// Whether the candidates are equally good. If not, each of them is in doubt.
    ambiguous: bool,
}

/// The tables that have a place, and those about which a person must decide.
pub(super) struct Placement<'a> {
    pub(super) placed: BTreeMap<TableId, Place<'a>>,
    pub(super) unclassified: BTreeMap<TableId, Undecided<'a>>,
    candidates: &'a [Candidate],
}

pub(super) fn place<'a>(survey: &Survey, tenants: TenantTable<'_>, candidates: &'a [Candidate]) -> Placement<'a> {
    let mut placement = Placement { placed: BTreeMap::new(), unclassified: BTreeMap::new(), candidates };
    placement.placed.insert(tenants.table.id(), Place { reference: None, depth: 0 });
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
        if let Some(rival) = options.iter().find(|option| are_rivals(tenants, best, option)) {
            let undecided = Undecided { candidates: vec![best, rival], ambiguous: true };
            placement.unclassified.insert(best.child, undecided);
        } else {
            let depth = placement.depth(best) + 1;
            placement.placed.insert(best.child, Place { reference: Some(best), depth });
        }
    }
    // A person must also decide about the tables below an undecided one.
    loop {
        let open: Vec<TableId> = names.iter().map(|(_, id)| *id).filter(|id| !placement.is_known(*id)).collect();
        let mut changed = false;
        for id in open {
            let asking: Vec<&Candidate> = candidates.iter().filter(|c| c.child == id && placement.asks(c)).collect();
            if !asking.is_empty() {
                placement.unclassified.insert(id, Undecided { candidates: asking, ambiguous: false });
                changed = true;
            }
        }
        if !changed {
            return placement;
        }
    }
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
        && one.named_after_parent == other.named_after_parent
}

impl<'a> Placement<'a> {
    fn is_known(&self, id: TableId) -> bool {
        self.placed.contains_key(&id) || self.unclassified.contains_key(&id)
    }

    fn depth(&self, candidate: &Candidate) -> usize {
        self.placed.get(&candidate.parent).map_or(usize::MAX, |p| p.depth)
    }

    /// The candidates to tables that have a place, the best first: after the rank, the organization's own column before a
    /// path through other tables, then a column that is named after its parent, then one with an index, then the shortest
    /// path.
    fn options(&self, id: TableId) -> Vec<&'a Candidate> {
        let is_option = |c: &&Candidate| c.child == id && c.doubt.is_none() && self.placed.contains_key(&c.parent);
        let mut options: Vec<&Candidate> = self.candidates.iter().filter(is_option).collect();
        options.sort_by_key(|c| (rank(c), self.depth(c) > 0, !c.named_after_parent, !c.indexed, self.depth(c)));
        options
    }

    /// Whether a person must decide about a table without a place because of this candidate.
    fn asks(&self, candidate: &Candidate) -> bool {
        match &candidate.doubt {
            Some(doubt) => doubt.asks && self.placed.contains_key(&candidate.parent),
            None => self.unclassified.contains_key(&candidate.parent),
        }
    }
}

impl Undecided<'_> {
    /// Why a person must decide.
    pub(super) fn reason(&self, survey: &Survey) -> String {
        if self.ambiguous {
            let columns: Vec<String> = self.candidates.iter().map(|c| c.columns()).collect();
            return format!("{} refer to the organization equally well", columns.join(" and "));
        }
        let reason = |candidate: &&Candidate| {
            if let Some(doubt) = &candidate.doubt {
                return doubt.reason.clone();
            }
            let parent = survey.table(candidate.parent).map(Surveyed::written).unwrap_or_default();
            format!("{} refers to `{parent}`, which is unclassified too", candidate.columns())
        };
        self.candidates.iter().map(reason).collect::<Vec<_>>().join("; ")
    }
}

/// What a person should know about the step that finds the rows of `table` by `reference`.
pub(super) fn remarks(
    survey: &Survey,
    tenants: TenantTable<'_>,
    placement: &Placement<'_>,
    table: &Surveyed,
    reference: &Candidate,
) -> Vec<String> {
    let columns = reference.columns();
    let others = || placement.candidates.iter().filter(|c| c.child == table.id());
    let unprotected = "No foreign key protects the table: a deletion waits and counts again";
    let mut remarks = Vec::new();
    match reference.source {
        Source::ForeignKey => {}
        Source::Learned => remarks.push(format!(
            "{columns} has no foreign key, but foreign keys of other tables use this name. {unprotected}"
        )),
        Source::Name => {
            remarks.push(format!("{columns} has no foreign key; only its name suggests the reference. {unprotected}"));
        }
    }
    if reference.nullable {
        let also: Vec<String> = others()
            .filter(|c| c.pairs != reference.pairs && placement.placed.contains_key(&c.parent))
            .filter_map(|c| Some(format!("{} (to {})", c.columns(), survey.table(c.parent)?.written())))
            .collect();
        let also = if also.is_empty() {
            String::new()
        } else {
            format!("; another step for this table could find them by {}", also.join(", "))
        };
        remarks.push(format!("{columns} is nullable, and this step does not find rows where it is NULL{also}"));
    }
    if !tenants.is(reference.parent) {
        remarks.extend(others().filter(|c| tenants.is(c.parent)).map(|c| {
            format!(
                "{columns} also names the organization of a row. If it differs from the parent's organization, or if the row has no parent, the row blocks the deletion; a second step for this table by {columns} deletes rows without a parent",
                columns = c.columns()
            )
        }));
    }
    if !reference.indexed {
        remarks.push(format!("no index begins with {columns}: a deletion scans the whole table"));
    }
    remarks
}
