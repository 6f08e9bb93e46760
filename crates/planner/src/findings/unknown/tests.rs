//! Tables that plans do not mention, in hand-written catalogues.

use super::*;
use crate::catalog::{TableId, TableInfo, TableProperties};
use crate::compile::compile;
use crate::compiled::CompiledPlan;
use crate::finding::{NAMED, unknown};
use crate::fixtures::{foreign_key, table};
use crate::identifier::Table;

const OTHER: TableId = TableId(3);

fn plan(more: &str) -> Plan {
    serde_yaml::from_str(&format!(
        "organization: {{table: tenants, key: id}}\n\
         tenantColumns: [tenant_id]\n\
         steps: [{{entity: users, table: users, organization: tenant_id}}]\n{more}"
    ))
    .expect("a plan")
}

/// Tenants have users; another table, by the names that the plan has for it.
fn catalog(name: &str, declared: &[&str], columns: &[&str]) -> Catalog {
    let (tenants, users) = (TableId(1), TableId(2));
    let other = TableInfo {
        declared: declared.iter().map(|d| (*d).to_owned()).collect(),
        ..table(OTHER, "app", name, columns)
    };
    let unmentioned = if declared.is_empty() { vec![other.table.clone()] } else { Vec::new() };
    Catalog {
        tables: vec![
            table(tenants, "app", "tenants", &["id"]),
            table(users, "app", "users", &["id", "tenant_id"]),
            other,
        ],
        foreign_keys: vec![foreign_key("users_tenant", users, "tenant_id", tenants)],
        plan_tables: vec![tenants, users],
        unmentioned,
        ..Catalog::default()
    }
}

fn compiled(more: &str, catalog: &Catalog) -> CompiledPlan {
    compile(&plan(more), catalog, "operator").expect("a root")
}

/// Kind, severity and remedy of each finding.
fn found(more: &str, catalog: &Catalog) -> Vec<(Kind, Severity, String)> {
    let compiled = compiled(more, catalog);
    compiled.findings().map(|f| (f.kind, f.severity, f.remedy.clone().unwrap_or_default())).collect()
}

#[test]
fn a_table_that_the_plan_does_not_mention_is_a_warning_or_a_fault() {
    let outbox = catalog("Out box", &[], &["id"]);
    let warned = found("", &outbox);
    let [(Kind::UnknownTable, Severity::Warning, remedy)] = warned.as_slice() else { panic!("{warned:?}") };
    for part in ["plan init --update FILE", r#"keep {table: "app.Out box", reason: ...}"#, "`global`"] {
        assert!(remedy.contains(part), "{part}: {remedy}");
    }
    let blocked = found("unknownTables: block", &outbox);
    assert_eq!(blocked, [(Kind::UnknownTable, Severity::Blocks, remedy.clone())]);
    let plan = compiled("unknownTables: block", &outbox);
    assert!(plan.erase().is_err(), "nothing is deleted");
    assert_eq!(plan.free_schemas, Some(Vec::new()));
    assert_eq!(
        compiled("unknownTables: block\nglobal: [other.*, app.x]", &outbox).free_schemas,
        Some(vec!["other".into()])
    );
    assert_eq!(compiled("global: [other.*]", &outbox).free_schemas, None);
}

#[test]
fn a_table_has_one_finding_unless_only_a_second_one_blocks() {
    let column = catalog("notes", &[], &["id", "tenant_id"]);
    for more in ["", "unknownTables: block"] {
        let kinds: Vec<Kind> = found(more, &column).into_iter().map(|f| f.0).collect();
        assert_eq!(kinds, [Kind::Unclassified], "{more}");
    }
    let mut refers = catalog("notes", &[], &["id", "user_id"]);
    refers.foreign_keys.push(foreign_key("notes_user", OTHER, "user_id", TableId(2)));
    let kinds = |more| -> Vec<(Kind, Severity)> { found(more, &refers).into_iter().map(|f| (f.0, f.1)).collect() };
    assert_eq!(kinds(""), [(Kind::UndeclaredReference, Severity::Warning)]);
    // A warning must not hide a fault.
    assert_eq!(
        kinds("unknownTables: block"),
        [(Kind::UnknownTable, Severity::Blocks), (Kind::UndeclaredReference, Severity::Warning)]
    );
}

#[test]
fn a_global_table_must_have_no_rows_of_an_organization() {
    for (more, declared, remedy) in [
        ("global: [notes]", &["notes"][..], "remove `notes` from `cascade.global`, and add a step {entity: notes, "),
        ("global: [app.*]", &[][..], "add a step {entity: notes, "),
    ] {
        let mut column = catalog("notes", declared, &["id", "tenant_id"]);
        column.unmentioned.clear();
        let of_column = compiled(more, &column);
        let faults: Vec<&Finding> = of_column.findings().collect();
        let [Finding { kind: Kind::Unclassified, severity: Severity::Blocks, message, remedy: Some(said), .. }] =
            faults.as_slice()
        else {
            panic!("{faults:?}")
        };
        assert!(message.contains("the plan lists it as global") && said.starts_with(remedy), "{message}; {said}");

        let mut refers = catalog("notes", declared, &["id", "user_id"]);
        refers.unmentioned.clear();
        refers.foreign_keys.push(foreign_key("notes_user", OTHER, "user_id", TableId(2)));
        let of_reference = compiled(more, &refers);
        let warnings: Vec<&Finding> = of_reference.findings().collect();
        let [Finding { kind: Kind::UndeclaredReference, message, remedy: Some(said), .. }] = warnings.as_slice() else {
            panic!("{warnings:?}")
        };
        assert!(message.contains("but the plan lists it as global: "), "{message}");
        assert!(said.starts_with(remedy), "{said}");
    }
}

#[test]
fn a_step_is_not_global_in_another_spelling_or_as_a_partition() {
    let mut spelled = catalog("other", &["other"], &["id"]);
    spelled.tables[1].declared.push("app.users".to_owned());
    let mut partition = catalog("users_1", &["app.users_1"], &["id"]);
    let of = TableProperties { partition_of: Some("app.users".into()), ..TableProperties::default() };
    partition.properties.insert(OTHER, of);
    for (catalog, global, but) in [
        (spelled, "app.users", "lists `app.users` as global, but the plan also deletes from it"),
        (partition, "app.users_1", "lists `app.users_1` as global, but it is a partition of `app.users`"),
    ] {
        let plan = compiled(&format!("global: [{global}]"), &catalog);
        let fault = plan.faults().expect("a fault");
        assert!(fault.to_string().contains(but), "{fault}");
        let remedy = fault.findings()[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains(&format!("remove `{global}` from `cascade.global`")), "{remedy}");
    }
}

#[test]
fn sentences_name_a_few_tables_and_a_check_names_all() {
    let mut many = catalog("t", &[], &["id"]);
    many.unmentioned = (0..NAMED + 3).map(|n| Table::qualified("app", format!("t{n}"))).collect();
    let warned = compiled("", &many);
    assert_eq!(warned.warnings.len(), NAMED + 3);
    let said = unknown(warned.warnings.iter()).expect("a sentence");
    assert!(
        said.contains("leaves their rows in place: `app.t0`, `app.t1`") && said.contains("`app.t7`, and 3 more."),
        "{said}"
    );
    assert_eq!(unknown([].into_iter()), None);

    let blocked = compiled("unknownTables: block\nunclassified: [{table: x}]", &many);
    let faults = blocked.faults().expect("faults");
    assert_eq!((faults.findings().len(), faults.for_status().len()), (NAMED + 4, NAMED + 1));
    let said = faults.to_string();
    assert!(said.contains("`x` is unclassified") && said.contains("`app.t7`") && !said.contains("`app.t8`"), "{said}");
    assert!(
        said.ends_with("; the plan does not mention 3 more tables; `organization-operator check` names each of them"),
        "{said}"
    );
    let few = compiled("unknownTables: block", &catalog("t", &[], &["id"]));
    assert!(!few.faults().expect("a fault").to_string().contains("more tables"));
}
