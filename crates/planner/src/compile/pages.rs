//! From which tables a large deletion may delete page by page, and the statements of a page.
//!
//! A table may be paged if nothing is lost when its rows go in several transactions: whatever is found by its rows, or refers to
//! them, is paged before it, and rows to which something still refers stay for the last transaction.

mod range;
mod statements;

use std::collections::BTreeSet;

use super::exclusive;
use super::resolve::Steps;
use super::sequence::{Sequence, TableSteps};
use crate::cascade::{Because, NotPaged, OwnPartition, PagedTable};
use crate::catalog::{Catalog, ForeignKey, Relation, TableId};
use crate::root::Root;
use crate::row_set::RowSet;
use crate::step::{PerStep, StepId};

/// What the rule is about.
pub(super) struct Paging<'s, 'a> {
    pub(super) tenant_columns: &'s [String],
    pub(super) catalog: &'a Catalog,
    pub(super) root: &'s Root,
    pub(super) steps: &'s Steps<'a>,
    pub(super) sequence: &'s Sequence<'a>,
    pub(super) protected: &'s PerStep<bool>,
    /// Partitions whose rows go with them.
    pub(super) partitions: &'s [OwnPartition],
    /// The rows of each step before the first delete.
    pub(super) live: &'s PerStep<RowSet>,
}

impl<'a> Paging<'_, 'a> {
    /// The tables that may be paged, in order, each after all that refer to it; and why the others may not.
    pub(super) fn tables(&self) -> (Vec<PagedTable>, Vec<NotPaged>) {
        let mut waiting: Vec<&TableSteps<'a>> = Vec::new();
        let mut not_paged = Vec::new();
        for same in self.sequence.tables() {
            match self.obstacle(same) {
                Some(because) => not_paged.push((same, because)),
                None => waiting.push(same),
            }
        }
        let mut paged: Vec<&TableSteps<'a>> = Vec::new();
        loop {
            let is_paged = |table: TableId| paged.iter().any(|same| same.info.id == table);
            let next = waiting.iter().position(|same| self.referring(same).iter().all(|table| is_paged(*table)));
            let Some(next) = next else { break };
            paged.push(waiting.remove(next));
        }
        for same in waiting {
            let is_paged = |table: &TableId| paged.iter().any(|same| same.info.id == *table);
            let by = self.referring(same).into_iter().find(|table| !is_paged(table));
            not_paged.push((same, Because::Referred(by.map(|table| self.name(table)).unwrap_or_default())));
        }
        // As the deletion goes.
        not_paged.sort_by_key(|(same, _)| self.sequence.place(same.first));
        let reason = |(same, because): (&TableSteps<'_>, Because)| NotPaged {
            table: self.steps.plan_table(same.first),
            because,
        };
        (paged.into_iter().map(|same| self.paged(same)).collect(), not_paged.into_iter().map(reason).collect())
    }

    /// Why a table may not be paged, whatever happens to the tables that refer to it.
    fn obstacle(&self, same: &TableSteps<'_>) -> Option<Because> {
        let table = same.info.id;
        let alone =
            self.sequence.sets.iter().any(|set| set.is_single() && set.tables.iter().any(|t| t.info.id == table));
        if !alone {
            return Some(Because::Cycle);
        }
        if self.sequence.broken.iter().any(|(key, _)| key.child == table || key.parent == table) {
            return Some(Because::Detached);
        }
        if self.partitions.iter().any(|partition| partition.table.id == table) {
            return Some(Because::WithPartition);
        }
        if self.is_view(table) {
            return Some(Because::View);
        }
        let steps = || same.steps.iter().copied();
        if steps().any(|step| self.steps[step].referenced.is_some()) {
            return Some(Because::ReferencedBy);
        }
        let referrers = |other: StepId| self.steps[other].referenced.iter().flat_map(|r| &r.referrers);
        if let Some(people) = self.steps.ids().find(|id| referrers(*id).any(|(r, _)| same.steps.contains(r))) {
            return Some(Because::Refers(self.name(self.steps[people].info.id)));
        }
        for ancestor in self.ancestors(same) {
            let info = self.steps[ancestor].info;
            if exclusive::depends(self.steps, ancestor) {
                return Some(Because::OfReferenced(info.table.name()));
            }
            if self.is_view(info.id) {
                return Some(Because::OfView(info.table.name()));
            }
            if !info.privileges.lock {
                return Some(Because::Lock(info.table.name()));
            }
        }
        let with_ancestors = || steps().chain(self.ancestors(same));
        let part_of_key = with_ancestors().any(|step| {
            self.steps[step].links.iter().any(|(parent, pairs)| {
                let key: Vec<&str> = pairs.iter().map(|(_, column)| column.as_str()).collect();
                !self.steps[*parent].info.unique_on(&key)
            })
        });
        if part_of_key {
            return Some(Because::PartOfKey);
        }
        let lost = |(child, step): &(StepId, &super::resolve::Resolved<'_>)| {
            !self.protected[*child] && step.links.iter().any(|(parent, _)| same.steps.contains(parent))
        };
        if let Some((_, child)) = self.steps.iter().find(lost) {
            return Some(Because::Unprotected(child.info.table.name()));
        }
        (self.needs_lock(table) && !same.info.privileges.lock).then(|| Because::Lock(same.info.table.name()))
    }

    /// The other tables, the organizations' own among them, whose rows refer to those of this table or are found by them.
    fn referring(&self, same: &TableSteps<'_>) -> BTreeSet<TableId> {
        let of_plan = |table: TableId| table == self.root.id || self.steps.of_table(table).next().is_some();
        let by_key = self.keys_to(same.info.id).map(|key| key.child).filter(|child| of_plan(*child));
        let by_link = self.steps.values().filter(|s| s.links.iter().any(|(parent, _)| same.steps.contains(parent)));
        let by_link = by_link.map(|step| step.info.id);
        by_key.chain(by_link).filter(|table| *table != same.info.id).collect()
    }

    fn keys_to(&self, table: TableId) -> impl Iterator<Item = &'a ForeignKey> {
        self.catalog.foreign_keys.iter().filter(move |key| key.parent == table)
    }

    /// Whether deleting a row could change rows that refer to it, or leave them without the row.
    fn needs_lock(&self, table: TableId) -> bool {
        self.keys_to(table).any(|key| key.on_delete.changes_rows() || !key.holds())
    }

    /// The steps through which the rows of these steps belong to the organization.
    fn ancestors(&self, same: &TableSteps<'_>) -> BTreeSet<StepId> {
        let mut found = BTreeSet::new();
        let mut next: Vec<StepId> = same.steps.clone();
        while let Some(step) = next.pop() {
            for (parent, _) in &self.steps[step].links {
                if found.insert(*parent) {
                    next.push(*parent);
                }
            }
        }
        found
    }

    fn is_view(&self, table: TableId) -> bool {
        self.catalog.properties(table).is_some_and(|t| t.relation == Relation::View)
    }

    fn name(&self, table: TableId) -> String {
        self.catalog.table(table).map(|info| info.table.name()).unwrap_or_default()
    }
}
