//! The place of each table: below a table that has a place already, by its best candidate reference, from the organization
//! down.

use super::ask;
use super::candidate::Candidate;
use super::decided::Decided;
use super::people;
use super::placement::{Place, Placement, rank};
use super::survey::Survey;
use super::tenant_table::TenantTable;
use super::undecided::Undecided;
use super::ways;
use crate::catalog::TableId;

pub(super) fn place<'a>(
    survey: &Survey,
    tenants: TenantTable<'_>,
    decided: &'a Decided,
    candidates: &'a [Candidate],
    signs: &'a [Candidate],
) -> Placement<'a> {
    let mut placement = Placement::new(tenants.table.id(), decided, candidates);
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
            // People in several organizations must not go because the organization that they used last goes.
            placement.unclassified.insert(best.child, Undecided::doubtful(options, people));
        } else {
            let depth = placement.depth(best) + 1;
            let columns = best.pairs.iter().map(|(c, _)| c.clone()).collect();
            placement.placed.insert(best.child, Place { ways: vec![best], columns, depth });
        }
    }
    ways::unite(&mut placement);
    ask::ask(survey, tenants, &mut placement, &names, signs);
    placement
}

/// Whether two columns say equally well to which organization a row belongs.
fn are_rivals(tenants: TenantTable<'_>, one: &Candidate, other: &Candidate) -> bool {
    tenants.is(one.parent)
        && tenants.is(other.parent)
        && one.pairs != other.pairs
        && rank(one) == rank(other)
        && one.named_after_parent() == other.named_after_parent()
}
