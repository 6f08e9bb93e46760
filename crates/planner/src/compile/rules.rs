//! Rewrite rules on DELETE: which of them no deletion can get past.

use super::faults::Collector;
use crate::catalog::{Catalog, Relation, Rule};
use crate::finding::{Finding, Kind, Severity};
use crate::identifier::Column;
use crate::plan::Plan;

/// Whether a deletion cannot work with this rule. Deletes of steps count their rows in a `WITH`, where PostgreSQL takes
/// only rules that replace the delete by one other statement. A rule that replaces the delete from a table leaves the
/// row there. What remains is a view that passes deletes on, and an addition to the delete of the organization itself.
pub(crate) fn blocks(rule: &Rule, relation: Relation, organization: bool) -> bool {
    match relation {
        Relation::View => !rule.instead || rule.partial,
        _ => rule.instead || !organization,
    }
}

/// Rules on tables of the plan that no deletion can get past.
pub(super) fn find(plan: &Plan, catalog: &Catalog, faults: &mut Collector) {
    for table in catalog.plan_tables.iter().filter_map(|id| catalog.table(*id)) {
        let Some(properties) = catalog.properties(table.id) else { continue };
        let organization = table.declared.contains(&plan.organization.table);
        for rule in properties.rules.iter().filter(|r| r.fires && blocks(r, properties.relation, organization)) {
            let name = table.table.name();
            let message = format!(
                "the rule {} of `{name}` {} deletes, so its rows cannot be deleted and counted",
                rule.name,
                if rule.instead { "replaces" } else { "adds to" }
            );
            faults.found(Finding {
                remedy: Some(format!("DROP RULE {} ON {};", Column::new(&rule.name), table.table)),
                ..Finding::new(Severity::Blocks, Kind::DeleteRule, message).on(name)
            });
        }
    }
}
