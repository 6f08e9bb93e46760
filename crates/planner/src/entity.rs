//! What the entity of a table is called, wherever a step is proposed to a person.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Catalog, TableId, TableInfo};
use crate::plan::{ENTITY_LIMIT, Plan};

/// A name for each table, none of them twice and none that is taken: after the table alone, after its schema as well, or
/// with a number.
pub(super) fn names<'a>(
    tables: impl Iterator<Item = &'a TableInfo>,
    mut taken: BTreeSet<String>,
) -> BTreeMap<TableId, String> {
    let mut entities = BTreeMap::new();
    for info in tables {
        let bare = info.table.bare();
        let with_schema = format!("{}_{bare}", info.table.schema().unwrap_or_default());
        let names = [camel(bare), camel(&with_schema)];
        let numbered = (2..).map(|n| format!("{}{n}", cut(&names[0], ENTITY_LIMIT - 4)));
        let mut names = names.iter().map(|n| cut(n, ENTITY_LIMIT).to_owned()).chain(numbered);
        if let Some(name) = names.find(|n| !n.is_empty() && !taken.contains(n)) {
            taken.insert(name.clone());
            entities.insert(info.id, name);
        }
    }
    entities
}

/// Names for the tables that the plan does not name, beside those that it has.
pub(super) fn proposed(plan: &Plan, catalog: &Catalog) -> BTreeMap<TableId, String> {
    let taken = plan.steps.iter().map(|s| s.entity.clone()).collect();
    names(catalog.tables.iter().filter(|t| t.declared.is_empty()), taken)
}

/// `flow_executions` and `FlowExecutions` as `flowExecutions`.
fn camel(table: &str) -> String {
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
    // Users are counted exactly and have a column of their own, under this name.
    if name == "user" { "users".to_owned() } else { name }
}

fn cut(name: &str, limit: usize) -> &str {
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
            assert_eq!(camel(table), entity);
        }
        assert_eq!(cut("aä", 2), "a");
    }
}
