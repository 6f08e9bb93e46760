//! What an existing plan says about the tables of the schema.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::{Survey, Surveyed};
use crate::catalog::TableId;
use crate::plan::Plan;

/// What an existing plan says about the tables of the schema. Empty for a new draft.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Tables with a step, each with the columns by which its first step finds rows.
    pub(super) steps: BTreeMap<TableId, Vec<String>>,
    /// The entity of each table with a step: that of the first one.
    pub(super) entities: BTreeMap<TableId, String>,
    /// Tables that are kept.
    pub(super) kept: BTreeSet<TableId>,
    /// Tables without a row of any organization.
    pub(super) global: BTreeSet<TableId>,
    /// Tables about which nobody has decided yet.
    pub(super) open: BTreeSet<TableId>,
    /// Names that steps have already.
    pub(super) taken: BTreeSet<String>,
}

impl Decided {
    pub(super) fn by(plan: &Plan, survey: &Survey) -> Self {
        let id = |name: &String| survey.named(name).map(Surveyed::id);
        let mut decided = Self {
            kept: plan.keep.iter().filter_map(|k| id(&k.table)).collect(),
            open: plan.unclassified.iter().filter_map(|u| id(&u.table)).collect(),
            global: plan.global.iter().filter_map(id).collect(),
            taken: plan.steps.iter().map(|s| s.entity.clone()).collect(),
            ..Self::default()
        };
        for step in &plan.steps {
            let Some(id) = id(&step.table) else { continue };
            decided.steps.entry(id).or_insert_with(|| step.path_columns());
            decided.entities.entry(id).or_insert_with(|| step.entity.clone());
        }
        let schemas: BTreeSet<&str> = plan.global.iter().filter_map(|g| g.strip_suffix(".*")).collect();
        let named =
            |id: TableId| decided.steps.contains_key(&id) || decided.kept.contains(&id) || decided.open.contains(&id);
        let whole = survey.tables.iter().filter(|t| schemas.contains(t.info.table.schema()) && !named(t.id()));
        let whole: Vec<TableId> = whole.map(Surveyed::id).collect();
        decided.global.extend(whole);
        decided
    }

    /// Whether the plan mentions the table, but not as a step.
    pub(super) fn others(&self, id: TableId) -> bool {
        self.kept.contains(&id) || self.global.contains(&id) || self.open.contains(&id)
    }
}
