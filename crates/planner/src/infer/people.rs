//! People, and what else is shared: tables that belong to no organization, but to whose rows the organizations' rows refer.

use super::names::{singulars, words};
use super::placement::Placement;
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use super::undecided::People;
use crate::catalog::TableId;

/// Words of the names of tables with people.
const PEOPLE: [&str; 9] =
    ["user", "account", "person", "people", "member", "identity", "profile", "customer", "contact"];

/// The references to the table if its rows may have to go with the last organization that refers to them: from every table
/// that joins it to organizations; if there is none and the table is named like people, the best one.
pub(super) fn find(survey: &Survey, tenants: TenantTable<'_>, placement: &Placement<'_>, id: TableId) -> Vec<People> {
    let Some(table) = survey.table(id) else { return Vec::new() };
    let mut found: Vec<(bool, String, People)> = Vec::new();
    for key in survey.foreign_keys.iter().filter(|k| k.parent == id && k.child != id && !tenants.is(k.child)) {
        let (Some(place), Some(child)) = (placement.placed.get(&key.child), survey.table(key.child)) else { continue };
        let both: Vec<&String> = place.columns.iter().chain(&key.child_columns).collect();
        let shared = place.columns.iter().any(|c| key.child_columns.contains(c));
        let joins = |unique: &Vec<String>| unique.len() == both.len() && both.iter().all(|c| unique.contains(c));
        let nullable = key.child_columns.iter().any(|c| child.info.column(c).is_none_or(|c| c.nullable));
        let pairs = key.child_columns.iter().cloned().zip(key.parent_columns.iter().cloned()).collect();
        let join = !shared && child.info.unique_keys.iter().any(joins);
        found.push((nullable, child.written(), People { referring: key.child, pairs, join }));
    }
    found.sort_by_key(|(nullable, name, people)| (!people.join, *nullable, name.clone()));
    let joins: Vec<People> = found.iter().map(|f| f.2.clone()).filter(|p| p.join).collect();
    if joins.is_empty() && is_people(table) {
        return found.into_iter().map(|f| f.2).take(1).collect();
    }
    joins
}

fn is_people(table: &Surveyed) -> bool {
    let people = |word: &String| singulars(word).iter().any(|one| PEOPLE.contains(&one.as_str()));
    words(table.info.table.bare()).iter().any(people)
}
