//! What foreign keys prove, so that nobody counts it.

use super::*;
use crate::catalog::{Rule, TableProperties};
use crate::query::Query;

/// The platform's schema, with properties of its tables: without a trigger.
fn quiet(flavour: Flavour) -> Catalog {
    let mut catalog = platform(flavour);
    catalog.properties = catalog.tables.iter().map(|t| (t.id, TableProperties::default())).collect();
    catalog
}

fn unproven(catalog: &Catalog) -> Vec<String> {
    let erase = erase(catalog);
    erase.recount_unproven.iter().flat_map(Query::subjects).map(|t| t.name.replace("public.", "")).collect()
}

#[test]
fn foreign_keys_of_exactly_the_columns_prove_everything() {
    for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Deferrable, Flavour::Cascade] {
        let erase = erase(&quiet(flavour));
        assert!(!erase.may_interfere && erase.accounted, "{flavour:?}");
        assert_eq!(unproven(&quiet(flavour)), [""; 0], "{flavour:?}");
        // The number of rows is that of the command where no key has to be known.
        let by_command = erase.deletes.iter().filter(|d| d.by_command).count();
        assert_eq!(by_command, erase.deletes.len() - 2, "{flavour:?}: all but flows and flow_executions");
    }
    // Without keys everything is counted again.
    let mut all = DECLARED.map(str::to_owned).to_vec();
    let mut found = unproven(&quiet(Flavour::NoKeys));
    all.sort();
    found.sort();
    assert_eq!(found, all);
}

#[test]
fn a_delete_adds_keys_only_where_somebody_searches_by_them() {
    let adds = |flavour| {
        let erase = erase(&quiet(flavour));
        erase.deletes.iter().filter(|d| d.statement.sql().contains("INSERT INTO organization_operator")).count()
    };
    // Children go first: nobody searches by a key of a parent that appeared since.
    assert_eq!(adds(Flavour::Ordinary), 0);
    // Parents go first: their children are found by their keys.
    assert_eq!(adds(Flavour::Deferrable), 2);
    assert_eq!(adds(Flavour::NoKeys), 2);
    // Every parent is accounted for by its own delete.
    let erase = erase(&quiet(Flavour::Ordinary));
    let accounts = |sql: &str| sql.contains("(SELECT x.\"id\"::text AS key FROM d0 x) y) u GROUP BY");
    assert_eq!(erase.deletes.iter().filter(|d| accounts(d.statement.sql())).count(), 2);
}

#[test]
fn a_key_that_is_not_enforced_or_of_other_columns_proves_nothing() {
    let mut disabled = quiet(Flavour::Ordinary);
    let key =
        |catalog: &mut Catalog, name: &str| catalog.foreign_keys.iter().position(|k| k.name == name).expect("a key");
    let at = key(&mut disabled, "outputs_execution");
    disabled.foreign_keys[at].enforcement = Enforcement::NotEnforced;
    assert_eq!(unproven(&disabled), ["task_outputs"]);
    disabled.foreign_keys[at].enforcement = Enforcement::Disabled;
    assert_eq!(unproven(&disabled), ["task_outputs"]);
    let mut wide = quiet(Flavour::Ordinary);
    let at = key(&mut wide, "outputs_execution");
    wide.foreign_keys[at].child_columns.push("tenant".into());
    wide.foreign_keys[at].parent_columns.push("tenant".into());
    assert_eq!(unproven(&wide), ["task_outputs"]);
    // What hangs on an unproven table by a key that holds is proven: no row refers to a parent that is gone.
    let mut above = quiet(Flavour::Ordinary);
    let at = key(&mut above, "executions_flow");
    above.foreign_keys.remove(at);
    assert_eq!(unproven(&above), ["flow_executions"]);
}

#[test]
fn where_a_trigger_or_a_rule_may_run_everything_is_counted() {
    let mut with = Vec::new();
    let mut trigger_catalog = quiet(Flavour::Ordinary);
    trigger(&mut trigger_catalog, EXECUTIONS, Timing::After);
    with.push(trigger_catalog);
    let mut of_organizations = quiet(Flavour::Ordinary);
    let root = of_organizations.tables[0].id;
    trigger(&mut of_organizations, root, Timing::After);
    with.push(of_organizations);
    let mut rule = quiet(Flavour::Ordinary);
    rule.properties.entry(root).or_default().rules =
        vec![Rule { name: "r".into(), instead: false, partial: false, fires: true }];
    with.push(rule);
    let mut unknown = quiet(Flavour::Ordinary);
    unknown.properties.remove(&USERS);
    with.push(unknown);
    // An action on another table runs its triggers, even if it finds no row.
    let mut outside = quiet(Flavour::Ordinary);
    outside.tables.push(table(TableId(77), "notes", &["id", "user_id"]));
    outside.foreign_keys.push(key("notes_user", TableId(77), "user_id", USERS, Flavour::Cascade));
    with.push(outside);
    for catalog in with {
        let erase = erase(&catalog);
        assert!(erase.may_interfere && !erase.accounted);
        assert_eq!(unproven(&catalog).len(), 5);
    }
    let mut disabled = quiet(Flavour::Ordinary);
    trigger(&mut disabled, EXECUTIONS, Timing::After);
    disabled.properties.entry(EXECUTIONS).or_default().triggers[0].fires = false;
    assert!(!erase(&disabled).may_interfere, "a trigger that does not fire");
}
