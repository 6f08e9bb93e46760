//! References as steps of a plan.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, Source};
use super::placement::Placement;
use super::suggestions::Suggestions;
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use super::undecided::{People, Undecided};
use crate::catalog::TableId;
use crate::entity;
use crate::plan::{Reference, Step, Unclassified};

/// Writes references as steps, with one entity for each table.
pub(super) struct Steps<'a> {
    survey: &'a Survey,
    tenants: TenantTable<'a>,
    placement: &'a Placement<'a>,
    entities: BTreeMap<TableId, String>,
}

impl<'a> Steps<'a> {
    /// The tables of the plan get their names in this order.
    pub(super) fn new(
        survey: &'a Survey,
        tenants: TenantTable<'a>,
        placement: &'a Placement<'a>,
        order: &[TableId],
    ) -> Self {
        let decided = placement.decided;
        let ids = order.iter().chain(placement.unclassified.keys()).chain(&decided.open);
        let mut seen = BTreeSet::new();
        let new = ids.filter(|id| !decided.entities.contains_key(id) && seen.insert(**id));
        // Tables on the search path get the short names.
        let mut tables: Vec<&Surveyed> = new.filter_map(|id| survey.table(*id)).collect();
        tables.sort_by_key(|t| !t.visible);
        let mut entities = entity::names(tables.into_iter().map(|t| &t.info), decided.taken.clone());
        entities.extend(decided.entities.clone());
        Self { survey, tenants, placement, entities }
    }

    fn blank(&self, table: &Surveyed) -> Step {
        Step {
            entity: self.entities.get(&table.id()).cloned().unwrap_or_default(),
            table: table.written(),
            ..Step::default()
        }
    }

    /// The step that finds rows by this reference.
    pub(super) fn step(&self, table: &Surveyed, reference: &Candidate) -> Step {
        let mut step = self.blank(table);
        if self.tenants.is(reference.parent) {
            step.organization = reference.pairs.iter().find(|(_, p)| p == self.tenants.key).map(|(c, _)| c.clone());
            return step;
        }
        step.parent = self.entities.get(&reference.parent).cloned();
        let parent_key = self.survey.table(reference.parent).and_then(Surveyed::key);
        match reference.pairs.as_slice() {
            // Without a foreign key, `column` alone means the parent's own key.
            [(column, parent)] if reference.source == Source::ForeignKey || parent_key == Some(parent.as_str()) => {
                step.column = Some(column.clone());
            }
            pairs => step.columns = pairs.iter().cloned().collect(),
        }
        step
    }

    /// The step for rows to which only the organization's rows refer.
    fn step_of_people(&self, table: &Surveyed, people: &People) -> Step {
        let mut step = self.blank(table);
        step.referenced_by = self.entities.get(&people.referring).cloned();
        match people.pairs.as_slice() {
            [(column, target)] if table.key() == Some(target.as_str()) => step.column = Some(column.clone()),
            pairs => step.columns = pairs.iter().cloned().collect(),
        }
        step.unless = self.unless(table);
        step
    }

    /// The columns that hold the table's key without a foreign key, so that the database does not say who refers to a row.
    fn unless(&self, table: &Surveyed) -> Vec<Reference> {
        let loose = self.placement.loose_references(table.id()).filter_map(|c| match c.pairs.as_slice() {
            [(column, key)] if table.key() == Some(key) => {
                Some(Reference { table: self.survey.table(c.child)?.written(), column: column.clone() })
            }
            _ => None,
        });
        let mut unless: Vec<Reference> = loose.collect();
        unless.sort_by(|a, b| (&a.table, &a.column).cmp(&(&b.table, &b.column)));
        unless
    }

    /// The tables about which a person must decide, each with what could be done.
    pub(super) fn unclassified(&self) -> (Vec<Unclassified>, Vec<Suggestions>) {
        let listed = self.placement.unclassified.iter().filter_map(|(id, undecided)| {
            let table = self.survey.table(*id)?;
            let why = Some(undecided.reason(self.survey, &self.placement.decided.kept));
            Some((Unclassified { table: table.written(), why }, self.suggestions(table, undecided)))
        });
        listed.unzip()
    }

    fn suggestions(&self, table: &Surveyed, undecided: &Undecided<'_>) -> Suggestions {
        // Below a table that is kept there is no step.
        let possible = undecided.candidates.iter().filter(|c| {
            c.is_step()
                && c.parent != table.id()
                && (self.tenants.is(c.parent) || self.entities.contains_key(&c.parent))
        });
        // A reference to another column than the organization's key is not a step.
        let ways = possible.map(|c| self.step(table, c)).filter(|s| s.organization.is_some() || s.parent.is_some());
        let people = undecided.people.iter().map(|p| self.step_of_people(table, p));
        let any = |source: Source| undecided.candidates.iter().any(|c| c.source == source);
        Suggestions {
            steps: people.chain(ways).collect(),
            inside: any(Source::Inside),
            polymorphic: any(Source::Polymorphic),
        }
    }
}
