//! Compiles plans against hand-written catalogues.

mod faults;
mod pages;
mod partial;
mod proof;
mod sequence;
mod statements;

use super::*;
use crate::blocker::references;
use crate::catalog::{Enforcement, ForeignKey, OnDelete, TableId, TableInfo, Timing, Trigger};
use crate::finding::remedies;
use crate::fixtures;
use crate::identifier::Table;
use crate::limits::COUNT_LIMIT;

/// How the platform's tables refer to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Ordinary,
    Restrict,
    Deferrable,
    Cascade,
    NoKeys,
}

fn table(id: TableId, name: &str, columns: &[&str]) -> TableInfo {
    fixtures::table(id, "public", name, columns)
}

fn key(name: &str, child: TableId, column: &str, parent: TableId, flavour: Flavour) -> ForeignKey {
    let on_delete = match flavour {
        Flavour::Restrict => OnDelete::Restrict,
        Flavour::Cascade => OnDelete::Cascade,
        _ => OnDelete::NoAction,
    };
    let deferrable = flavour == Flavour::Deferrable;
    ForeignKey { on_delete, deferrable, ..fixtures::foreign_key(name, child, column, parent) }
}

const ORGANIZATIONS: TableId = TableId(1);
const USERS: TableId = TableId(2);
const FLOWS: TableId = TableId(3);
const EXECUTIONS: TableId = TableId(4);
const OUTPUTS: TableId = TableId(5);
const STATUSES: TableId = TableId(6);
const INVOICES: TableId = TableId(7);

fn platform(flavour: Flavour) -> Catalog {
    let k = |name: &str, child, column: &str, parent| key(name, child, column, parent, flavour);
    Catalog {
        tables: vec![
            table(ORGANIZATIONS, "organizations", &["id", "is_active:boolean"]),
            table(USERS, "users", &["id", "organization_id"]),
            table(FLOWS, "flows", &["id", "organization_id", "created_by"]),
            table(EXECUTIONS, "flow_executions", &["id", "flow_id", "started_by"]),
            table(OUTPUTS, "task_outputs", &["id", "flow_execution_id"]),
            table(STATUSES, "task_statuses", &["id", "flow_execution_id"]),
        ],
        foreign_keys: if flavour == Flavour::NoKeys {
            Vec::new()
        } else {
            vec![
                k("users_organization", USERS, "organization_id", ORGANIZATIONS),
                k("flows_organization", FLOWS, "organization_id", ORGANIZATIONS),
                k("flows_created_by", FLOWS, "created_by", USERS),
                k("executions_flow", EXECUTIONS, "flow_id", FLOWS),
                k("executions_started_by", EXECUTIONS, "started_by", USERS),
                k("outputs_execution", OUTPUTS, "flow_execution_id", EXECUTIONS),
                k("statuses_execution", STATUSES, "flow_execution_id", EXECUTIONS),
            ]
        },
        plan_tables: vec![ORGANIZATIONS, USERS, FLOWS, EXECUTIONS, OUTPUTS, STATUSES],
        fingerprint: "f".into(),
        ..Catalog::default()
    }
}

/// Adds a trigger on DELETE.
fn trigger(catalog: &mut Catalog, table: TableId, timing: Timing) {
    let trigger = Trigger { name: "t".into(), function: "f".into(), timing, per_row: true, fires: true };
    catalog.properties.entry(table).or_default().triggers.push(trigger);
}

fn compile(plan: &Plan, catalog: &Catalog) -> CompiledPlan {
    super::compile(plan, catalog, "operator").expect("the organization's table is there")
}

fn faults(plan: &Plan, catalog: &Catalog) -> Option<Faults> {
    compile(plan, catalog).faults().cloned()
}

/// What clears the faults.
fn remedy(faults: &Faults) -> Option<String> {
    remedies(faults.findings().iter().map(|f| f.remedy.as_deref()))
}

fn erase(catalog: &Catalog) -> ErasePlan {
    compile(&Plan::default(), catalog).erase().expect("no fault").clone()
}

fn plan(yaml: &str) -> Plan {
    let plan: Plan = serde_yaml::from_str(yaml).expect("a plan");
    plan.validate().expect("a valid plan");
    plan
}

fn order(erase: &ErasePlan) -> Vec<&str> {
    erase.tables().map(|t| t.name.trim_start_matches("public.")).collect()
}

const DECLARED: [&str; 5] = ["users", "flows", "flow_executions", "task_outputs", "task_statuses"];
const CHILDREN_FIRST: [&str; 5] = ["task_outputs", "task_statuses", "flow_executions", "flows", "users"];

#[test]
fn the_declared_order_runs_as_written_where_the_keys_allow_it() {
    for (flavour, expected, deferred) in [
        (Flavour::Ordinary, CHILDREN_FIRST, false),
        (Flavour::Restrict, CHILDREN_FIRST, false),
        (Flavour::Deferrable, DECLARED, true),
        (Flavour::Cascade, CHILDREN_FIRST, false),
        (Flavour::NoKeys, DECLARED, false),
    ] {
        let erase = erase(&platform(flavour));
        assert_eq!(order(&erase), expected, "{flavour:?}");
        assert_eq!(erase.defer_constraints, deferred, "{flavour:?}");
        let entities: Vec<&str> = erase.entities.iter().map(|e| e.tables[0].trim_start_matches("public.")).collect();
        assert_eq!(entities, expected, "{flavour:?}: status shows the real order");
    }
}

#[test]
fn parents_are_captured_first() {
    for (flavour, expected) in [
        // All of them, so that in the end each is seen to be gone.
        (Flavour::Ordinary, vec![("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
        (Flavour::Deferrable, vec![("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
        // Cascades change rows: what they start from is locked, so that nothing new hangs on it.
        (Flavour::Cascade, vec![("users", vec![]), ("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
        (Flavour::NoKeys, vec![("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
    ] {
        let erase = erase(&platform(flavour));
        let captures: Vec<(&str, Vec<&str>)> =
            erase.captures.iter().map(|c| (c.declared.as_str(), c.columns())).collect();
        assert_eq!(captures, expected, "{flavour:?}");
        assert_eq!(erase.captures.iter().any(|c| c.kept), flavour == Flavour::NoKeys, "{flavour:?}");
    }
}

#[test]
fn what_no_chain_of_keys_leads_to_the_organization_is_not_protected() {
    let unprotected = |catalog: &Catalog| -> Vec<String> {
        let erase = erase(catalog);
        let tables = erase.deletes.iter().flat_map(|d| &d.tables).filter(|of| !of.protected);
        let names: Vec<String> = tables.map(|of| of.table.name.trim_start_matches("public.").to_owned()).collect();
        assert_eq!(erase.late_deletes.len(), names.len(), "each is run again after COMMIT");
        assert!(erase.late_deletes.iter().all(|d| !d.organization), "the organization is gone by then");
        names
    };
    for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Deferrable, Flavour::Cascade] {
        assert_eq!(unprotected(&platform(flavour)), [""; 0], "{flavour:?}");
    }
    assert_eq!(unprotected(&platform(Flavour::NoKeys)), DECLARED);
    // A chain that is broken in the middle protects no child rows.
    let mut broken = platform(Flavour::Ordinary);
    broken.foreign_keys.retain(|k| k.name != "executions_flow");
    let mut found = unprotected(&broken);
    found.sort();
    assert_eq!(found, ["flow_executions", "task_outputs", "task_statuses"]);
    // A key that is not enforced (NOT VALID is; a disabled one is not) protects nothing either.
    let mut disabled = platform(Flavour::Ordinary);
    disabled
        .foreign_keys
        .iter_mut()
        .filter(|k| k.name == "outputs_execution")
        .for_each(|k| k.enforcement = Enforcement::NotEnforced);
    assert_eq!(unprotected(&disabled), ["task_outputs"]);
}
