//! Rows to which only the organization's rows refer: which references keep them, and the statements that find them.

use super::captures::forget;
use super::effort::Effort;
use super::ownership::parents_first;
use super::referenced::Referenced;
use super::resolve::Steps;
use super::rows::{self, pair};
use super::shared;
use crate::captured::{KeySet, Known};
use crate::cascade::{Exclusive, PlanTable, Referrer};
use crate::catalog::{Catalog, ForeignKey, TableId, TableInfo};
use crate::identifier::Column;
use crate::plan::Plan;
use crate::query::Query;
use crate::root::Root;
use crate::row_set::{self, KeySource, Link, Outside, OutsideRows, Pair, RowSet};
use crate::statement::{Statement, Writer};
use crate::step::{PerStep, StepId};

/// Where references are searched.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    pub(super) plan: &'a Plan,
    pub(super) catalog: &'a Catalog,
    pub(super) root: &'s Root,
    pub(super) steps: &'s Steps<'a>,
}

/// The tables whose rows are locked before such rows are searched: their own, and those that refer to them.
pub(super) fn locked<'s>(steps: &'s Steps<'_>) -> impl Iterator<Item = TableId> + 's {
    steps.values().filter_map(|step| Some((step, step.referenced.as_ref()?))).flat_map(|(step, referenced)| {
        referenced.referrers.iter().map(|(referrer, _)| steps[*referrer].info.id).chain([step.info.id])
    })
}

/// Whether the rows of this step, or those of one of its parents, are only found by such captured keys.
pub(super) fn depends(steps: &Steps<'_>, id: StepId) -> bool {
    steps[id].referenced.is_some() || steps[id].links.iter().any(|(parent, _)| depends(steps, *parent))
}

impl<'a> Scope<'_, 'a> {
    /// The row sets as one query can tell, for a person to read.
    pub(super) fn shown(self) -> PerStep<RowSet> {
        let mut sets = rows::row_sets(self.steps, self.root, &self.steps.map(|_, _| Vec::new()));
        // A set contains those of its parents, so the parents come first.
        for id in parents_first(self.steps).into_iter().filter(|id| depends(self.steps, *id)) {
            sets[id] = match &self.steps[id].referenced {
                Some(referenced) => {
                    let links = self.referrers(referenced, id, &sets);
                    // Their child rows would lead back to these rows.
                    let outside = self.outsides(id, |other| (!depends(self.steps, other)).then(|| sets[other].clone()));
                    RowSet::Referred { links, outside }
                }
                None => rows::through(self.steps, id, &sets),
            };
        }
        sets
    }

    /// The row sets for deletes: they ask again whether anything refers to a row.
    pub(super) fn deleting(self, held: &PerStep<RowSet>) -> PerStep<RowSet> {
        held.map(|id, set| match set {
            RowSet::Exclusive(rows) => {
                let outside = self.outsides(id, |other| Some(held[other].clone()));
                RowSet::Exclusive(row_set::Exclusive { outside, ..rows.clone() })
            }
            other => other.clone(),
        })
    }

    /// The statements that find the rows of each such step. `live` has the row sets before the first delete.
    pub(super) fn statements(self, live: &PerStep<RowSet>) -> Vec<Exclusive> {
        parents_first(self.steps)
            .into_iter()
            .filter_map(|id| {
                let referenced = self.steps[id].referenced.as_ref()?;
                let candidates = RowSet::Through(self.referrers(referenced, id, live));
                let table = self.steps.plan_table(id);
                Some(Exclusive {
                    step: id,
                    columns: referenced.key.clone(),
                    referrers: self.lock_referrers(referenced, live),
                    lock: self.candidates(id, &candidates, &referenced.key, true),
                    lock_alone: self.lock_alone(id, &referenced.key, live),
                    find: self.candidates(id, &candidates, &referenced.key, false),
                    referred: self.referred(id, &referenced.key, live, Effort::Whole),
                    quick_referred: self.referred(id, &referenced.key, live, Effort::QuickCheck(self.catalog)),
                    table,
                })
            })
            .collect()
    }

    /// Rows that the organization's rows, which are gone, referred to, that nothing refers to any more, and that are still there.
    /// Only where rows can appear that refer to such rows, and without what an earlier transaction captured.
    pub(super) fn left_behind(self, held: &PerStep<RowSet>, protected: &PerStep<bool>) -> Option<Query<PlanTable>> {
        let mut writer = Writer::default();
        let mut numbers = Vec::new();
        for (id, step) in self.steps.iter() {
            let Some(referenced) = step.referenced.as_ref().filter(|_| !protected[id]) else { continue };
            let mut links = self.referrers(referenced, id, held);
            for link in &mut links {
                (link.captured, link.new) = (true, true);
            }
            let outside = self.outsides(id, |other| Some(held[other].clone()));
            let condition = RowSet::Referred { links, outside }.condition("t", &KeySource::Bound, &mut writer);
            let count = format!("(SELECT count(*) FROM {} t WHERE {condition})", step.info.table);
            numbers.push((self.steps.plan_table(id), count));
        }
        Query::new(writer, numbers).if_any()
    }

    fn lock_referrers(self, referenced: &Referenced<'_>, live: &PerStep<RowSet>) -> Vec<Referrer> {
        // If the referring step has `referencedBy` itself, its own statements lock its rows.
        let to_lock = referenced.referrers.iter().filter(|(j, _)| self.steps[*j].referenced.is_none());
        to_lock
            .map(|(j, _)| {
                let mut writer = Writer::default();
                let condition = live[*j].condition("t", &KeySource::Bound, &mut writer);
                let table = &self.steps[*j].info.table;
                let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {condition} FOR UPDATE) s");
                Referrer { table: self.steps.plan_table(*j), lock: writer.finish(sql) }
            })
            .collect()
    }

    fn candidates(self, id: StepId, set: &RowSet, key: &[String], lock: bool) -> Statement {
        let mut writer = Writer::default();
        let info = self.steps[id].info;
        let condition = set.condition("t", &KeySource::Bound, &mut writer);
        let keys = KeySet::new(id, info, key);
        let selected = key.iter().map(|c| format!("t.{}", Column::new(c))).collect::<Vec<_>>().join(", ");
        // Two deletions that find the same rows lock them in the same order, so they do not deadlock.
        let lock = if lock { format!(" ORDER BY {selected} FOR NO KEY UPDATE") } else { String::new() };
        let rows = format!("(SELECT {selected} FROM {} t WHERE {condition}{lock}) s", info.table);
        let rows = keys.keys_in("s", &format!("{rows} WHERE {}", keys.is_key("s")));
        let sql = keys.add(&rows, Known::Some, &mut writer);
        writer.finish(sql)
    }

    fn lock_alone(self, id: StepId, key: &[String], live: &PerStep<RowSet>) -> Statement {
        let mut writer = Writer::default();
        let condition = live[id].condition("t", &KeySource::Bound, &mut writer);
        let key = key.iter().map(|c| format!("t.{}", Column::new(c))).collect::<Vec<_>>().join(", ");
        let table = &self.steps[id].info.table;
        writer.finish(format!(
            "SELECT count(*) FROM (SELECT 1 FROM {table} t WHERE {condition} ORDER BY {key} FOR UPDATE) s"
        ))
    }

    /// Forgets each captured key to which a row outside refers, and returns how many.
    fn referred(self, id: StepId, key: &[String], live: &PerStep<RowSet>, effort: Effort<'_>) -> Statement {
        let any = |writer: &mut Writer| {
            let references: Vec<String> = self
                .outside(id, |other| Some(live[other].clone()))
                .into_iter()
                .map(|(child, outside)| {
                    let columns: Vec<String> = outside.pairs.iter().map(|p| p.child.name().to_owned()).collect();
                    let exists = outside.exists("t", &KeySource::Bound, writer);
                    effort.or_else(exists, "true", child, std::iter::once(columns.as_slice()))
                })
                .collect();
            if references.is_empty() { " AND false".to_owned() } else { format!(" AND ({})", references.join(" OR ")) }
        };
        forget(self.steps, id, key.to_vec(), false, any).statement
    }

    /// The ways from the referring steps.
    fn referrers(self, referenced: &Referenced<'_>, id: StepId, sets: &PerStep<RowSet>) -> Vec<Link> {
        let own = self.steps[id].info;
        let link = |(referrer, pairs): &(StepId, Vec<(String, String)>)| {
            let referring = self.steps[*referrer].info;
            Link {
                parent: *referrer,
                table: referring.table.clone(),
                rows: sets[*referrer].clone(),
                pairs: pairs.iter().map(|(column, referred)| pair((own, referred), (referring, column))).collect(),
                captured: false,
                new: false,
            }
        };
        referenced.referrers.iter().map(link).collect()
    }

    /// Every kind of reference that keeps a row.
    fn outsides(self, id: StepId, inside: impl Fn(StepId) -> Option<RowSet>) -> Vec<Outside> {
        self.outside(id, inside).into_iter().map(|(_, outside)| outside).collect()
    }

    /// Every kind of reference that keeps a row, with the referring table. `inside` gives the rows of a step that are the
    /// organization's.
    fn outside(self, id: StepId, inside: impl Fn(StepId) -> Option<RowSet>) -> Vec<(&'a TableInfo, Outside)> {
        let own = self.steps[id].info;
        let mut found = Vec::new();
        for key in self.catalog.foreign_keys.iter().filter(|k| k.parent == own.id) {
            let Some(child) = self.catalog.table(key.child) else { continue };
            let hanging: Vec<StepId> =
                self.steps.of_table(child.id).filter(|step| self.hangs(*step, id, key)).collect();
            let rows = if hanging.is_empty() {
                OutsideRows::Not(self.inside(child, &inside))
            } else {
                // Child rows go with their parent, unless they belong to another organization as well.
                let others = self.steps.of_table(child.id).filter(|s| !hanging.contains(s) && !depends(self.steps, *s));
                let mut sets: Vec<RowSet> = others.filter_map(&inside).collect();
                sets.extend(shared::unused(&self.plan.tenant_columns, self.steps, child, self.catalog, self.root));
                if sets.is_empty() {
                    continue;
                }
                OutsideRows::OfOthers(sets)
            };
            let pairs = key.child_columns.iter().zip(&key.parent_columns);
            let pairs = pairs.map(|(column, referred)| pair((child, column), (own, referred))).collect();
            found.push((child, Outside { table: child.table.clone(), pairs, rows }));
        }
        // What keeps a row of one step keeps it from the other steps of the table, too.
        let all = || self.steps.of_table(own.id).filter_map(|step| self.steps[step].referenced.as_ref());
        // The columns by which the rows are found refer to them for every organization, with or without a foreign key.
        for (referrer, pairs) in all().flat_map(|r| &r.referrers) {
            let info = self.steps[*referrer].info;
            let pairs: Vec<Pair> = pairs.iter().map(|(column, key)| pair((info, column), (own, key))).collect();
            let known = |(child, outside): &(&TableInfo, Outside)| child.id == info.id && outside.pairs == pairs;
            if !found.iter().any(known) {
                let rows = OutsideRows::Not(self.inside(info, &inside));
                found.push((info, Outside { table: info.table.clone(), pairs, rows }));
            }
        }
        for (r, (info, column)) in all().flat_map(|r| r.unless.iter().map(move |reference| (r, reference))) {
            let pairs = r.key.iter().map(|key| pair((info, column), (own, key))).collect();
            let rows = OutsideRows::Not(self.inside(info, &inside));
            found.push((info, Outside { table: info.table.clone(), pairs, rows }));
        }
        found
    }

    /// The organization's rows of a table.
    fn inside(self, info: &TableInfo, inside: &impl Fn(StepId) -> Option<RowSet>) -> Vec<RowSet> {
        if info.id == self.root.id {
            return vec![self.root.rows()];
        }
        self.steps.of_table(info.id).filter_map(inside).collect()
    }

    /// Whether the rows of a step are found by this foreign key to the rows of another.
    fn hangs(self, step: StepId, on: StepId, key: &ForeignKey) -> bool {
        self.steps[step].links.iter().any(|(parent, pairs)| *parent == on && key.joins(pairs))
    }
}
