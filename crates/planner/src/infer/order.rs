//! The order of the steps of a draft.

use std::collections::{BTreeMap, BTreeSet};

use super::placement::Placement;
use super::survey::{Survey, Surveyed};
use crate::catalog::TableId;

/// The tables that have a place, children before their parent and close to it. The compiler breaks cycles.
pub(super) fn children_first(survey: &Survey, placement: &Placement<'_>) -> Vec<TableId> {
    let is_placed = |t: &&Surveyed| placement.placed.contains_key(&t.id());
    let mut by_name: Vec<&Surveyed> = survey.tables.iter().filter(is_placed).collect();
    by_name.sort_by_key(|t| t.written());
    let mut children: BTreeMap<TableId, BTreeSet<TableId>> = BTreeMap::new();
    for key in survey.foreign_keys.iter().filter(|k| k.child != k.parent && !k.on_delete.detaches_rows()) {
        children.entry(key.parent).or_default().insert(key.child);
    }
    for (id, place) in &placement.placed {
        for reference in &place.ways {
            children.entry(reference.parent).or_default().insert(*id);
        }
    }
    let mut walk = Walk { by_name: &by_name, children, seen: BTreeSet::new(), sorted: Vec::new() };
    for table in &by_name {
        walk.visit(table.id());
    }
    walk.sorted
}

struct Walk<'a> {
    by_name: &'a [&'a Surveyed],
    children: BTreeMap<TableId, BTreeSet<TableId>>,
    seen: BTreeSet<TableId>,
    sorted: Vec<TableId>,
}

impl Walk<'_> {
    fn visit(&mut self, id: TableId) {
        if !self.seen.insert(id) {
            return;
        }
        let children = self.children.remove(&id).unwrap_or_default();
        for table in self.by_name {
            if children.contains(&table.id()) {
                self.visit(table.id());
            }
        }
        self.sorted.push(id);
    }
}
