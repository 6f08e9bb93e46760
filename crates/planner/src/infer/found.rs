//! Everything in a schema that suggests where its tables belong.

use std::collections::BTreeSet;

use super::candidate::Candidate;
use super::decided::Decided;
use super::place;
use super::placement::Placement;
use super::references::{self, References};
use super::sample::{Question, Questions};
use super::signs;
use super::stems::Stems;
use super::suggestions::{Referred, Unread};
use super::survey::{Survey, Surveyed};
use super::tenant_table::TenantTable;
use super::values;
use crate::catalog::{ForeignKey, TableId};

/// Everything in the schema that suggests where a table belongs.
pub(super) struct Found {
    pub(super) references: References,
    signs: Vec<Candidate>,
}

impl Found {
    pub(super) fn new(survey: &Survey, tenants: TenantTable<'_>) -> Self {
        let stems = Stems::new(survey);
        let references = references::candidate_references(survey, tenants, &stems);
        let signs = signs::signs(survey, tenants, &stems, &references.tenant_columns);
        Self { references, signs }
    }

    pub(super) fn placement<'a>(
        &'a self,
        survey: &Survey,
        tenants: TenantTable<'_>,
        decided: &'a Decided,
    ) -> Placement<'a> {
        place::place(survey, tenants, decided, &self.references.candidates, &self.signs)
    }

    pub(super) fn questions(&self, survey: &Survey, tenants: TenantTable<'_>, placement: &Placement<'_>) -> Questions {
        let names = values::names(tenants, &self.references.tenant_columns);
        let open = survey.tables.iter().filter(|t| {
            let id = t.id();
            !placement.placed.contains_key(&id) && !placement.decided.others(id)
        });
        let asked = open.filter_map(|table| {
            let columns = table.info.columns.iter().filter(|c| {
                let by_key = |k: &ForeignKey| k.child == table.id() && k.child_columns.contains(&c.name);
                !survey.foreign_keys.iter().any(by_key)
            });
            let questions: Vec<Question> = columns.filter_map(|c| values::question(tenants, c, &names)).collect();
            (!questions.is_empty()).then(|| (table.id(), table.info.table.clone(), questions))
        });
        Questions {
            organization: tenants.table.info.table.clone(),
            key: tenants.key.to_owned(),
            key_type: values::key_type(tenants),
            tables: asked.collect(),
            names,
        }
    }
}

/// Those of the global tables to whose rows the organizations' rows refer. What is there for one organization only would stay.
pub(super) fn referred(survey: &Survey, placement: &Placement<'_>, global: &[String]) -> Vec<Referred> {
    let by = |name: &String| -> BTreeSet<String> {
        let id = survey.named(name).map(Surveyed::id);
        let keys =
            survey.foreign_keys.iter().filter(|k| Some(k.parent) == id && placement.placed.contains_key(&k.child));
        keys.filter_map(|k| survey.table(k.child)).map(Surveyed::written).collect()
    };
    let all = global.iter().map(|name| Referred { table: name.clone(), by: by(name).into_iter().collect() });
    all.filter(|referred| !referred.by.is_empty()).collect()
}

/// The tables without any sign of an organization, and those of them that could not be read.
pub(super) fn global(survey: &Survey, placement: &Placement<'_>) -> (Vec<String>, Vec<Unread>) {
    let mut tables: Vec<(String, TableId)> =
        survey.tables.iter().filter(|t| !placement.is_known(t.id())).map(|t| (t.written(), t.id())).collect();
    tables.sort();
    let unread = tables.iter().filter_map(|(name, id)| {
        let columns = survey.values.unread.get(id)?;
        Some(Unread { table: name.clone(), columns: columns.iter().cloned().collect() })
    });
    let unread = unread.collect();
    (tables.into_iter().map(|(name, _)| name).collect(), unread)
}
