//! The questions of a draft: which tables have a sign of an organization, and no place.

use std::collections::BTreeSet;

use super::candidate::{Candidate, Source};
use super::people;
use super::placement::Placement;
use super::survey::Survey;
use super::tenant_table::TenantTable;
use super::undecided::Undecided;
use crate::catalog::TableId;

/// How many suggestions one set of columns may have: a longer list helps nobody.
const SUGGESTIONS: usize = 3;

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
            let mut candidates = best(references.chain(signs).collect());
            candidates.sort_by_key(|c| (c.source != Source::ForeignKey, !c.same_type, c.nullable, !is_own(tenants, c)));
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

/// Whether it is the organization's own column, and not one with a role: `tenant_id`, but not `source_tenant_id`.
fn is_own(tenants: TenantTable<'_>, candidate: &Candidate) -> bool {
    tenants.is(candidate.parent) && !candidate.fit.role
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
