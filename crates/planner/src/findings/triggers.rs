//! Triggers and rules that can keep rows or make new ones. What they do cannot be read from the catalogue; whatever it
//! is, rows are counted again before COMMIT.

use crate::catalog::{Catalog, Rule, TableInfo, Timing, Trigger};
use crate::compile::rules;
use crate::finding::{Finding, Kind};
use crate::identifier::literal;
use crate::plan::Plan;

pub(super) fn find(plan: &Plan, catalog: &Catalog) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in catalog.plan_tables.iter().filter_map(|id| catalog.table(*id)) {
        let Some(properties) = catalog.properties(table.id) else { continue };
        found.extend(properties.triggers.iter().filter(|t| t.fires).map(|t| trigger(table, t)));
        let root = table.declared.contains(&plan.organization.table);
        let harmless = |r: &&Rule| r.fires && !rules::blocks(r, properties.relation, root);
        found.extend(properties.rules.iter().filter(harmless).map(|r| rule(table, r)));
    }
    found
}

fn trigger(table: &TableInfo, trigger: &Trigger) -> Finding {
    let swallows = trigger.per_row && trigger.timing != Timing::After;
    let (kind, can) = if swallows {
        (
            Kind::SuppressingTrigger,
            "can keep a row by returning NULL. Where fewer rows go than were found, nothing is deleted (ContentChanged)",
        )
    } else {
        (
            Kind::WritingTrigger,
            "can write rows. Those in tables of the plan are counted before the commit, and then nothing is deleted (ContentChanged); those elsewhere stay",
        )
    };
    Finding {
        remedy: Some(format!(
            "SELECT pg_get_functiondef({}::regprocedure); -- shows what it does",
            literal(&format!("{}()", trigger.function))
        )),
        ..Finding::warning(
            kind,
            table,
            format!(
                "the trigger {} of `{}` ({} DELETE{}) {can}",
                trigger.name,
                table.table.name(),
                trigger.timing.as_str(),
                if trigger.per_row { " FOR EACH ROW" } else { "" }
            ),
        )
    }
}

fn rule(table: &TableInfo, rule: &Rule) -> Finding {
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
                "the rule {} of `{}` {} deletes. What it leaves of the plan is counted before the commit, and then nothing is deleted (ContentChanged)",
                rule.name,
                table.table.name(),
                if rule.instead { "replaces" } else { "adds to" }
            ),
        )
    }
}
