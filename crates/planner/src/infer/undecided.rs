//! The tables about which a person must decide.

use std::collections::BTreeSet;

use super::candidate::{Candidate, Source};
use super::people::{self, People};
use super::place::Placement;
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use crate::catalog::TableId;

/// How many ways one set of columns may suggest. More do not help anybody.
const SUGGESTIONS: usize = 3;

/// A table that may belong to the organization, so that a person must decide.
pub(super) struct Undecided<'a> {
    pub(super) candidates: Vec<&'a Candidate>,
    /// References of the organization's rows to this table.
    pub(super) people: Vec<People>,
    /// Whether the candidates are equally good. If not, each of them is in doubt.
    ambiguous: bool,
    /// Whether its place is clear, but the plan was written before the table was there.
    new: bool,
}

/// Lists every table without a place for which something suggests that its rows belong to an organization, and the tables
/// below it.
pub(super) fn ask<'a>(
    survey: &Survey,
    tenants: TenantTable<'_>,
    placement: &mut Placement<'a>,
    names: &[(String, TableId)],
    signs: &'a [Candidate],
) {
    loop {
        let open: Vec<TableId> = names.iter().map(|(_, id)| *id).filter(|id| !placement.is_known(*id)).collect();
        let mut changed = false;
        for id in open {
            let references = placement.candidates(id).iter().copied().filter(|c| asks(placement, c));
            let signs = signs.iter().filter(|c| c.child == id && placement.may_be_tenants(c.parent));
            let candidates = best(references.chain(signs).collect());
            let people = people::find(survey, tenants, placement, id);
            if !candidates.is_empty() || !people.is_empty() {
                placement.unclassified.insert(id, Undecided::doubtful(candidates, people));
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

/// Whether a person must decide about a table without a place because of this reference.
fn asks(placement: &Placement<'_>, candidate: &Candidate) -> bool {
    match &candidate.doubt {
        Some(_) => placement.may_be_tenants(candidate.parent),
        None => placement.is_open(candidate.parent),
    }
}

/// The candidates that are worth a question: for each set of columns the best ones, and of those without a foreign key only
/// ones of the parent's type if there are any.
fn best(mut all: Vec<&Candidate>) -> Vec<&Candidate> {
    all.sort_by_key(|c| (c.source != Source::ForeignKey, !c.same_type, c.fit, c.source));
    let mut kept: Vec<&Candidate> = Vec::new();
    for candidate in all {
        let columns = |c: &Candidate| c.pairs.iter().map(|(c, _)| c.clone()).collect::<BTreeSet<String>>();
        let own = columns(candidate);
        // A part of a key that is suggested as a whole adds nothing.
        let about: Vec<&&Candidate> = kept.iter().filter(|k| !columns(k).is_disjoint(&own)).collect();
        let same = about.iter().any(|k| k.parent == candidate.parent && columns(k).is_superset(&own));
        let worse = matches!(candidate.source, Source::Learned | Source::Name)
            && about.iter().any(|k| {
                k.source == Source::ForeignKey
                    || (k.same_type && !candidate.same_type)
                    || (k.same_type == candidate.same_type && k.fit.rank() < candidate.fit.rank())
            });
        if !same && !worse && about.len() < SUGGESTIONS {
            kept.push(candidate);
        }
    }
    kept
}

impl<'a> Undecided<'a> {
    /// Candidates that are in doubt, and people.
    pub(super) fn doubtful(candidates: Vec<&'a Candidate>, people: Vec<People>) -> Self {
        Self { candidates, ambiguous: false, people, new: false }
    }

    /// Two candidates that are equally good.
    pub(super) fn rivals(one: &'a Candidate, other: &'a Candidate) -> Self {
        Self { candidates: vec![one, other], ambiguous: true, people: Vec::new(), new: false }
    }

    /// A table whose place is clear, but nobody has seen it yet.
    pub(super) fn new_table(ways: Vec<&'a Candidate>) -> Self {
        Self { candidates: ways, ambiguous: false, people: Vec::new(), new: true }
    }

    /// Why a person must decide. `kept` are the tables that the plan keeps.
    pub(super) fn reason(&self, survey: &Survey, kept: &BTreeSet<TableId>) -> String {
        if self.ambiguous {
            let columns: Vec<String> = self.candidates.iter().map(|c| c.columns()).collect();
            return format!("{} refer to the organization equally well", columns.join(" and "));
        }
        let reason = |candidate: &&Candidate| {
            if let Some(doubt) = &candidate.doubt {
                return doubt.clone();
            }
            let parent = survey.table(candidate.parent).map(Surveyed::written).unwrap_or_default();
            if self.new {
                let how = match candidate.source {
                    Source::ForeignKey => "refers to",
                    Source::Learned => "has no foreign key, but by its name it refers to",
                    Source::Name | Source::Value | Source::Inside => "has no foreign key, but is named after",
                };
                return format!("a new table: {} {how} `{parent}`", candidate.columns());
            }
            if !self.people.is_empty() {
                return format!("{} is nullable and refers to `{parent}`", candidate.columns());
            }
            let state =
                if kept.contains(&candidate.parent) { "which the plan keeps" } else { "which is unclassified too" };
            format!("{} refers to `{parent}`, {state}", candidate.columns())
        };
        let people = people::reason(survey, &self.people);
        people.into_iter().chain(self.candidates.iter().map(reason)).collect::<Vec<_>>().join("; ")
    }
}
