//! Triggers and rules that can suppress deletes or write rows. The catalogue does not say what they do; whatever it is, the
//! operator counts the rows again before COMMIT.

use crate::cascade::Cascade;
use crate::catalog::{Catalog, Rule, TableInfo, Trigger};
use crate::finding::{Finding, Kind};
use crate::identifier::literal;
use crate::plan::Plan;

pub(super) fn warnings_of_triggers_and_rules(
    plan: &Plan,
    catalog: &Catalog,
    cascade: Option<&Cascade>,
) -> Vec<Finding> {
    let together = cascade.is_some_and(Cascade::organization_is_in_a_cycle);
    let mut found = Vec::new();
    for table in catalog.plan_tables.iter().filter_map(|id| catalog.table(*id)) {
        let Some(properties) = catalog.properties(table.id) else { continue };
        found.extend(properties.triggers.iter().filter(|t| t.fires).map(|t| warning_of_trigger(table, t)));
        let organization = !together && table.declared.contains(&plan.organization.table);
        let harmless = |r: &&Rule| r.fires && !r.blocks(properties.relation, organization);
        found.extend(properties.rules.iter().filter(harmless).map(|r| warning_of_rule(table, r)));
    }
    found
}

fn warning_of_trigger(table: &TableInfo, trigger: &Trigger) -> Finding {
    let (kind, can) = if trigger.may_suppress() {
        (
            Kind::SuppressingTrigger,
            "can suppress a delete by returning NULL. If a deletion deletes fewer rows than it found, the operator rolls it back (ContentChanged)",
        )
    } else {
        (
            Kind::WritingTrigger,
            "can write rows. The operator counts such rows in tables of the plan before the commit and, if there are any, rolls the deletion back (ContentChanged). In other tables they stay; `organization-operator rehearse` names those tables",
        )
    };
    let (name, each_row) = (table.table.name(), if trigger.per_row { " FOR EACH ROW" } else { "" });
    let function = literal(&format!("{}()", trigger.function));
    Finding {
        remedy: Some(format!("SELECT pg_get_functiondef({function}::regprocedure); -- shows what it does")),
        ..Finding::warning(
            kind,
            table,
            format!("the trigger {} of `{name}` ({} DELETE{each_row}) {can}", trigger.name, trigger.timing),
        )
    }
}

fn warning_of_rule(table: &TableInfo, rule: &Rule) -> Finding {
    Finding {
        remedy: Some(format!(
            "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE rulename = {} AND ev_class = {}::regclass; -- shows what it does",
            literal(&rule.name),
            literal(&table.table.to_string())
        )),
        ..Finding::warning(
            Kind::DeleteRule,
            table,
            format!(
                "the rule {} of `{}` {} deletes. The operator counts the rows that it leaves in tables of the plan before the commit and, if there are any, rolls the deletion back (ContentChanged)",
                rule.name,
                table.table.name(),
                if rule.instead { "replaces" } else { "adds to" }
            ),
        )
    }
}
