//! The name of a table's entity, wherever the planner proposes a step.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, TableId, TableInfo};
use crate::limits::ENTITY_LIMIT;
use crate::plan::Plan;

/// A name for each table, different from all others and from those that are taken: the table's, or with its schema in
/// front, or with a number behind.
pub(super) fn names<'a>(
    tables: impl Iterator<Item = &'a TableInfo>,
    mut taken: BTreeSet<String>,
) -> BTreeMap<TableId, String> {
    let mut entities = BTreeMap::new();
    for info in tables {
        let bare = info.table.bare();
        let with_schema = format!("{}_{bare}", info.table.schema());
        let names = [camel_case(bare), camel_case(&with_schema)];
        let numbered = (2..).map(|n| format!("{}{n}", truncate(&names[0], ENTITY_LIMIT - 4)));
        let mut names = names.iter().map(|n| truncate(n, ENTITY_LIMIT).to_owned()).chain(numbered);
        if let Some(name) = names.find(|n| !n.is_empty() && !taken.contains(n)) {
            taken.insert(name.clone());
            entities.insert(info.id, name);
        }
    }
    entities
}

/// Names for the tables that the plan neither deletes nor keeps.
pub(super) fn proposed(plan: &Plan, catalog: &Catalog) -> BTreeMap<TableId, String> {
    let taken = plan.steps.iter().map(|s| s.entity.clone()).collect();
    let placed = |name: &String| {
        plan.organization.table == *name
            || plan.steps.iter().any(|s| s.table == *name)
            || plan.keep.iter().any(|k| k.table == *name)
    };
    names(catalog.tables.iter().filter(|t| !t.declared.iter().any(placed)), taken)
}

/// `flow_executions` and `FlowExecutions` become `flowExecutions`.
fn camel_case(table: &str) -> String {
    let mut name = String::new();
    for word in table.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        let mut letters = word.chars();
        let Some(first) = letters.next() else { continue };
        if name.is_empty() {
            // `URL` stays readable as `url`; `FlowExecution` keeps its inner capital.
            let rest = if word.chars().any(char::is_lowercase) {
                letters.as_str().to_owned()
            } else {
                letters.as_str().to_lowercase()
            };
            name.extend(first.to_lowercase());
            name.push_str(&rest);
        } else {
            name.extend(first.to_uppercase());
            name.push_str(letters.as_str());
        }
    }
    // Users are counted exactly and have a column of their own, by this name.
    if name == "user" { "users".to_owned() } else { name }
}

/// At most `limit` bytes of the name.
fn truncate(name: &str, limit: usize) -> &str {
    let end = (0..=limit.min(name.len())).rev().find(|&i| name.is_char_boundary(i)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_camel_case_and_users_have_their_name() {
        for (table, entity) in [
            ("flow_executions", "flowExecutions"),
            ("FlowExecution", "flowExecution"),
            ("User", "users"),
            ("users", "users"),
            ("URL", "url"),
            ("billing.Invoices", "billingInvoices"),
        ] {
            assert_eq!(camel_case(table), entity);
        }
        assert_eq!(truncate("aä", 2), "a");
    }
}
