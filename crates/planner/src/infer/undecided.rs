//! The tables about which a person must decide.

use std::collections::BTreeSet;

use super::candidate::{Candidate, Source};
use super::survey::{Survey, Surveyed};
use crate::catalog::TableId;

/// A foreign key of an organization's rows to rows that may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct People {
    /// The table of the organization's rows.
    pub(super) referring: TableId,
    /// Its columns, each with the column that it refers to.
    pub(super) pairs: Vec<(String, String)>,
    /// Whether it is a join table: a unique key allows one row for each pair of an organization (or one of its rows) and such a
    /// row.
    pub(super) join: bool,
}

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

impl<'a> Undecided<'a> {
    /// Candidates that are in doubt, and people.
    pub(super) fn doubtful(candidates: Vec<&'a Candidate>, people: Vec<People>) -> Self {
        Self { candidates, ambiguous: false, people, new: false }
    }

    /// Two candidates that are equally good.
    pub(super) fn rivals(one: &'a Candidate, other: &'a Candidate) -> Self {
        Self { candidates: vec![one, other], ambiguous: true, people: Vec::new(), new: false }
    }

    /// A new table whose place is clear: a person has not confirmed it yet.
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
                    Source::Learned => "has no foreign key, but other tables use its name for foreign keys to",
                    Source::Name | Source::Value | Source::Inside | Source::Polymorphic => {
                        "has no foreign key, but is named after"
                    }
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
        let people = people_reason(survey, &self.people);
        people.into_iter().chain(self.candidates.iter().map(reason)).collect::<Vec<_>>().join("; ")
    }
}

/// Why a person must decide about the table.
fn people_reason(survey: &Survey, people: &[People]) -> Option<String> {
    let refer = |p: &People| {
        let columns: Vec<&str> = p.pairs.iter().map(|(c, _)| c.as_str()).collect();
        let name = survey.table(p.referring).map(Surveyed::written).unwrap_or_default();
        format!("rows of `{name}` refer to it by {}", columns.join(", "))
    };
    let all: Vec<String> = people.iter().map(refer).collect();
    (!all.is_empty())
        .then(|| format!("{}; rows that belonged only to a deleted organization would stay", all.join(", and ")))
}
