//! Rewrite rules on DELETE that make every deletion fail.

use super::faults::Collector;
use crate::catalog::Catalog;
use crate::finding::{Finding, Kind, Severity};
use crate::identifier::Column;
use crate::plan::Plan;

/// Reports the rules on tables of the plan that make every deletion fail. `together` says that one statement deletes the
/// organization and rows of tables.
pub(super) fn report_rules(plan: &Plan, catalog: &Catalog, together: bool, faults: &mut Collector) {
    for table in catalog.plan_tables.iter().filter_map(|id| catalog.table(*id)) {
        let Some(properties) = catalog.properties(table.id) else { continue };
        let organization = !together && table.declared.contains(&plan.organization.table);
        for rule in properties.rules.iter().filter(|r| r.fires && r.blocks(properties.relation, organization)) {
            let name = table.table.name();
            let message = format!(
                "the rule {} of `{name}` {} deletes, so the operator cannot delete and count its rows",
                rule.name,
                if rule.instead { "replaces" } else { "adds to" }
            );
            faults.push(Finding {
                remedy: Some(format!("DROP RULE {} ON {};", Column::new(&rule.name), table.table)),
                ..Finding::new(Severity::Blocks, Kind::DeleteRule, message).on(name)
            });
        }
    }
}
