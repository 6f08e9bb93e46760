//! Tables with several nullable ways to the organization, and what a person should know about each way.

use std::collections::BTreeSet;

use super::candidate::{Candidate, Source};
use super::placement::Placement;
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use crate::catalog::TableId;

/// Where every way to the organization may be NULL, a row may have any of them: each becomes a step.
pub(super) fn unite(placement: &mut Placement<'_>) {
    let nullable = |id: &TableId| {
        placement.placed.get(id).is_some_and(|p| !p.ways.is_empty() && p.ways.iter().all(|way| way.nullable))
    };
    let ids: Vec<TableId> = placement.placed.keys().copied().filter(nullable).collect();
    for id in ids {
        for way in placement.options(id) {
            let known = placement.placed.get(&id).is_some_and(|p| p.ways.iter().any(|w| w.pairs == way.pairs));
            // A child table of this one cannot say to whom this one belongs.
            if known || leads_to(placement, way.parent, id) {
                continue;
            }
            if let Some(place) = placement.placed.get_mut(&id) {
                place.ways.push(way);
            }
        }
    }
}

/// Whether the rows of `from` are found through `to`.
fn leads_to(placement: &Placement<'_>, from: TableId, to: TableId) -> bool {
    let mut seen = BTreeSet::new();
    let mut pending = vec![from];
    while let Some(id) = pending.pop() {
        if id == to {
            return true;
        }
        if seen.insert(id) {
            pending.extend(placement.placed.get(&id).into_iter().flat_map(|p| &p.ways).map(|w| w.parent));
        }
    }
    false
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
    let none = Vec::new();
    let ways = placement.placed.get(&table.id()).map_or(&none, |p| &p.ways);
    let has_step = |c: &Candidate| ways.iter().any(|way| way.pairs == c.pairs);
    let others = || placement.candidates(table.id()).iter().filter(|c| !has_step(c));
    let unprotected = "No foreign key protects the table: a deletion waits and counts again";
    let mut remarks = Vec::new();
    match reference.source {
        Source::ForeignKey => {}
        Source::Learned => remarks.push(format!(
            "{columns} has no foreign key, but foreign keys of other tables use this name. {unprotected}"
        )),
        Source::Name | Source::Value | Source::Inside | Source::Polymorphic => {
            remarks.push(format!("{columns} has no foreign key; only its name suggests the reference. {unprotected}"));
        }
    }
    if reference.nullable && ways.len() > 1 {
        let all: Vec<String> = ways.iter().map(|way| way.columns()).collect();
        // Once is enough: above the first of these steps.
        if ways.first().is_some_and(|first| first.pairs == reference.pairs) {
            remarks.push(format!(
                "one step for each of {}, because all of them are nullable; rows where all are NULL belong to no organization, and no step finds them",
                all.join(", ")
            ));
        }
    } else if reference.nullable {
        let also: Vec<String> = others()
            .filter(|c| placement.placed.contains_key(&c.parent))
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
