//! Compiles plans against hand-written catalogues.

use super::*;
use crate::api::Reason;
use crate::domain::blocker::blockers;
use crate::domain::catalog::{ColumnInfo, ForeignKey, Privileges, TableInfo};
use crate::domain::identifier::Table;

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
    TableInfo {
        id,
        table: Table::qualified("public", name),
        declared: vec![name.to_owned()],
        columns: columns
            .iter()
            .map(|c| ColumnInfo {
                name: (*c).to_owned(),
                type_name: if *c == "is_active" { "boolean".into() } else { "uuid".into() },
                nullable: true,
                updatable: true,
            })
            .collect(),
        unique_keys: vec![vec!["id".to_owned()]],
        privileges: Privileges { usage: true, select: true, delete: true, lock: true },
        row_security: false,
    }
}

fn key(name: &str, child: TableId, column: &str, parent: TableId, flavour: Flavour) -> ForeignKey {
    ForeignKey {
        name: name.to_owned(),
        child,
        child_columns: vec![column.to_owned()],
        parent,
        parent_columns: vec!["id".to_owned()],
        on_delete: match flavour {
            Flavour::Restrict => OnDelete::Restrict,
            Flavour::Cascade => OnDelete::Cascade,
            _ => OnDelete::NoAction,
        },
        deferrable: flavour == Flavour::Deferrable,
        enforced: true,
    }
}

const ORGANIZATIONS: TableId = 1;
const USERS: TableId = 2;
const FLOWS: TableId = 3;
const EXECUTIONS: TableId = 4;
const OUTPUTS: TableId = 5;
const STATUSES: TableId = 6;
const INVOICES: TableId = 7;

fn platform(flavour: Flavour) -> Catalog {
    let k = |name: &str, child, column: &str, parent| key(name, child, column, parent, flavour);
    Catalog {
        tables: vec![
            table(ORGANIZATIONS, "organizations", &["id", "is_active"]),
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

fn compile(plan: &Plan, catalog: &Catalog) -> CompiledPlan {
    CompiledPlan::new(plan, catalog, "operator").expect("the organization's table is there")
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
    erase.deletes.iter().map(|d| erase.tables[d.table].name.as_str()).collect()
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
        let entities: Vec<&str> = erase.entities.iter().map(|e| e.tables[0].as_str()).collect();
        assert_eq!(entities, expected, "{flavour:?}: status shows the real order");
    }
}

#[test]
fn parents_that_go_first_are_captured_first() {
    for (flavour, expected) in [
        (Flavour::Ordinary, vec![]),
        (Flavour::Deferrable, vec![("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
        // Cascades change rows: what they start from is locked, so that nothing new hangs on it.
        (Flavour::Cascade, vec![("users", vec![])]),
        (Flavour::NoKeys, vec![("flows", vec!["id"]), ("flow_executions", vec!["id"])]),
    ] {
        let erase = erase(&platform(flavour));
        let captures: Vec<(&str, Vec<&str>)> =
            erase.captures.iter().map(|c| (c.table.as_str(), c.columns.iter().map(String::as_str).collect())).collect();
        assert_eq!(captures, expected, "{flavour:?}");
        assert_eq!(erase.captures.iter().any(|c| c.residue), flavour == Flavour::NoKeys, "{flavour:?}");
    }
}

#[test]
fn what_no_chain_of_keys_ties_to_the_organization_is_not_fenced() {
    let unfenced = |catalog: &Catalog| -> Vec<String> {
        let erase = erase(catalog);
        let names = erase.deletes.iter().filter(|d| !d.fenced).map(|d| erase.tables[d.table].name.clone());
        let names: Vec<String> = names.collect();
        assert_eq!(erase.sweeps.len(), names.len(), "each is swept after COMMIT");
        names
    };
    for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Deferrable, Flavour::Cascade] {
        assert_eq!(unfenced(&platform(flavour)), [""; 0], "{flavour:?}");
    }
    assert_eq!(unfenced(&platform(Flavour::NoKeys)), DECLARED);
    // A chain that is broken in the middle fences nothing below.
    let mut broken = platform(Flavour::Ordinary);
    broken.foreign_keys.retain(|k| k.name != "executions_flow");
    let mut found = unfenced(&broken);
    found.sort();
    assert_eq!(found, ["flow_executions", "task_outputs", "task_statuses"]);
    // A key that is not enforced (NOT VALID is; a disabled one is not) fences nothing either.
    let mut disabled = platform(Flavour::Ordinary);
    disabled.foreign_keys.iter_mut().filter(|k| k.name == "outputs_execution").for_each(|k| k.enforced = false);
    assert_eq!(unfenced(&disabled), ["task_outputs"]);
}

/// Every statement that the cascade runs on the tenant's rows.
fn statements(compiled: &CompiledPlan) -> Vec<&Statement> {
    let erase = compiled.erase().expect("no fault");
    let mut all = vec![&compiled.root.observe, &compiled.root.lock, &compiled.root.census];
    all.extend([&erase.count, &erase.inventory, &erase.recount, &erase.delete_organization, &erase.census]);
    all.extend(erase.captures.iter().map(|c| &c.statement));
    all.extend(erase.deletes.iter().chain(&erase.sweeps).map(|d| &d.statement));
    all.extend(erase.preflight.iter().map(|p| &p.0));
    all
}

/// Each `WHERE` binds a value. A statement without one would be about every tenant.
fn assert_tenant_predicate(sql: &str) {
    assert!(sql.contains("WHERE "), "{sql}");
    for condition in sql.split("WHERE ").skip(1) {
        // An inner query may stand between a WHERE and the value that it compares with.
        assert!(condition.contains('$') || condition.contains(" IN (SELECT "), "no tenant in `{condition}` of {sql}");
    }
    assert!(sql.rsplit("WHERE ").next().is_some_and(|last| last.contains('$')), "{sql}");
}

#[test]
fn every_statement_is_about_one_tenant_and_quotes_its_names() {
    for flavour in [Flavour::Ordinary, Flavour::Deferrable, Flavour::Cascade, Flavour::NoKeys] {
        let compiled = compile(&Plan::default(), &platform(flavour));
        for statement in statements(&compiled) {
            assert!(!statement.params().is_empty(), "{flavour:?}: {}", statement.sql());
            assert_tenant_predicate(statement.sql());
            for name in ["organizations", "users", "flows", "flow_executions", "task_outputs", "organization_id", "id"]
            {
                // `users` is also the operator's own name for a number.
                assert_quoted(&statement.sql().replace(" AS users", ""), name);
            }
        }
        for delete in &compiled.erase().expect("no fault").deletes {
            let sql = delete.statement.sql();
            let (head, condition) = sql.split_once(" t WHERE t.").expect("the predicate stands in the outer WHERE");
            assert!(head.starts_with("WITH d AS (DELETE FROM \"public\"."), "{sql}");
            assert!(condition.contains("$1::text"), "{sql}");
            assert!(!sql.contains("LIMIT") && !sql.contains("ctid"), "{sql}");
        }
    }
}

/// The name never stands without quotes.
fn assert_quoted(sql: &str, name: &str) {
    for (at, _) in sql.match_indices(name) {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let (before, after) = (sql[..at].chars().next_back(), sql[at + name.len()..].chars().next());
        if !word(before) && !word(after) {
            assert_eq!((before, after), (Some('"'), Some('"')), "`{name}` without quotes in {sql}");
        }
    }
}

#[test]
fn hostile_names_stay_names() {
    let mut catalog = platform(Flavour::NoKeys);
    catalog.tables[1].declared = vec!["u".into()];
    catalog.tables[1].table = Table::qualified("a\"b", "x\"; DROP TABLE y; --");
    catalog.tables.truncate(2);
    let plan = plan(
        "{organization: {table: organizations, key: id}, steps: [{entity: users, table: u, organization: organization_id}]}",
    );
    let compiled = compile(&plan, &catalog);
    for statement in statements(&compiled).into_iter().filter(|s| s.sql().contains("DROP")) {
        assert!(statement.sql().contains(r#""a""b"."x""; DROP TABLE y; --""#), "{}", statement.sql());
    }
}

/// `a` has a composite key; `b` refers to it.
fn composite() -> Catalog {
    let mut catalog = platform(Flavour::NoKeys);
    let mut a = table(10, "a", &["tenant", "n"]);
    a.unique_keys = vec![vec!["tenant".into(), "n".into()]];
    catalog.tables.truncate(1);
    catalog.tables.extend([a, table(11, "b", &["id", "a_tenant", "a_n"])]);
    catalog.foreign_keys = vec![ForeignKey {
        child_columns: vec!["a_tenant".into(), "a_n".into()],
        parent_columns: vec!["tenant".into(), "n".into()],
        ..key("b_a", 11, "a_tenant", 10, Flavour::Deferrable)
    }];
    catalog
}

#[test]
fn composite_keys_are_matched_as_a_whole() {
    let steps =
        "organization: {table: organizations, key: id}\nsteps:\n- {entity: a, table: a, organization: tenant}\n";
    let whole = plan(&format!("{steps}- {{entity: b, table: b, parent: a, columns: {{a_tenant: tenant, a_n: n}}}}"));
    let compiled = compile(&whole, &composite());
    let erase = compiled.erase().expect("no fault");
    assert_eq!(order(erase), ["a", "b"]);
    assert_eq!(erase.captures[0].columns, ["n", "tenant"]);
    let sql = erase.deletes[1].statement.sql();
    assert!(
        sql.contains(r#"(t."a_n", t."a_tenant") IN (SELECT * FROM unnest($1::text[]::uuid[], $2::text[]::uuid[]))"#),
        "{sql}"
    );

    let half = plan(&format!("{steps}- {{entity: b, table: b, parent: a, column: a_n}}"));
    let fault = compile(&half, &composite()).fault.expect("half of a key is refused");
    assert_eq!(fault.reason, Reason::SchemaMismatch);
    assert!(fault.message.contains("cascade.steps[1].column"), "{fault}");
    assert!(fault.remedy.expect("a remedy").contains("columns:"));
}

#[test]
fn one_table_in_several_steps_is_the_union() {
    let union = plan(
        "organization: {table: organizations, key: id}\nsteps:\n\
         - {entity: users, table: users, organization: organization_id}\n\
         - {entity: flows, table: flows, organization: organization_id}\n\
         - {entity: flows, table: flows, parent: users, column: created_by}\n",
    );
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables.truncate(3);
    catalog.foreign_keys.truncate(3);
    let compiled = compile(&union, &catalog);
    let erase = compiled.erase().expect("no fault");
    assert_eq!(order(erase), ["flows", "flows", "users"]);
    assert_eq!(erase.tables.len(), 2, "counted once: {:?}", erase.tables);
    assert_eq!(erase.count.sql().matches(r#"FROM "public"."flows" t WHERE"#).count(), 1, "{}", erase.count.sql());
    assert!(erase.count.sql().contains(" OR "), "{}", erase.count.sql());
    assert_eq!(erase.by_entity(&[3, 4]), [("flows".to_owned(), 3), ("users".to_owned(), 4)]);
}

#[test]
fn only_keys_over_which_outsiders_can_refer_are_checked() {
    let checks = |catalog: &Catalog| -> Vec<String> {
        let erase = erase(catalog);
        erase.preflight.map(|(_, checks)| checks.into_iter().map(|c| c.constraint).collect()).unwrap_or_default()
    };
    // Over these the rows of a step are found: whoever refers is inside.
    assert_eq!(checks(&platform(Flavour::Ordinary)), ["flows_created_by", "executions_started_by"]);
    assert_eq!(checks(&platform(Flavour::NoKeys)), [""; 0]);
    let mut invoices = platform(Flavour::Ordinary);
    invoices.tables.push(table(INVOICES, "invoices", &["id", "flow_id"]));
    invoices.foreign_keys.push(key("invoices_flow", INVOICES, "flow_id", FLOWS, Flavour::Cascade));
    assert_eq!(checks(&invoices), ["flows_created_by", "executions_started_by", "invoices_flow"]);
}

#[test]
fn blockers_name_constraint_rows_and_remedy() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables.push(table(INVOICES, "invoices", &["id", "flow_id"]));
    catalog.foreign_keys.push(key("invoices_flow", INVOICES, "flow_id", FLOWS, Flavour::Cascade));
    let (_, checks) = erase(&catalog).preflight.expect("checks");
    assert_eq!(blockers(&checks, &[0, 0, 0], "k"), None);
    let failure = blockers(&checks, &[1, 0, COUNT_LIMIT + 1], "o'k").expect("blocked");
    assert_eq!(failure.reason, Reason::ForeignKeyViolation);
    assert_eq!(failure.causes.len(), 2, "every blocker: {failure:?}");
    assert_eq!(failure.rows, Some(COUNT_LIMIT + 1));
    let text = &failure.message;
    assert!(text.starts_with("2 foreign keys stand in the way from outside the plan"), "{text}");
    assert!(
        text.contains(
            "1 row in `public.flows` of other organizations refer to `public.users` (constraint flows_created_by)"
        ),
        "{text}"
    );
    assert!(text.contains("10000+ rows in `public.invoices` refer to `public.flows` (constraint invoices_flow), and ON DELETE CASCADE would change them"), "{text}");
    assert!(text.ends_with("Nothing was deleted"), "{text}");
    let remedy = failure.remedy.expect("a remedy");
    assert!(
        remedy.contains(r#"DELETE FROM "public"."invoices" c USING "public"."flows" p WHERE c."flow_id" = p."id""#),
        "{remedy}"
    );
    assert!(remedy.contains("'o''k'") && !remedy.contains(":key"), "{remedy}");
}

#[test]
fn a_cycle_is_named_with_its_constraints() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, Flavour::Ordinary));
    let fault = compile(&Plan::default(), &catalog).fault.expect("no order");
    assert_eq!(fault.reason, Reason::SchemaMismatch);
    assert!(fault.message.contains("users_favourite") && fault.message.contains("flows_created_by"), "{fault}");
    assert!(fault.remedy.expect("a remedy").contains("DEFERRABLE"));
    // One of the two checked at COMMIT is enough.
    if let Some(key) = catalog.foreign_keys.last_mut() {
        key.deferrable = true;
    }
    assert_eq!(order(&erase(&catalog)), CHILDREN_FIRST);
}

#[test]
fn every_fault_is_named_at_once() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables.push(table(INVOICES, "invoices", &["id", "organization_id"]));
    catalog.tables[4].privileges.delete = false;
    catalog.tables[5].row_security = true;
    let fault = compile(&Plan::default(), &catalog).fault.expect("faults");
    assert_eq!(fault.reason, Reason::SchemaMismatch);
    assert_eq!(fault.causes.len(), 3, "{fault}");
    for part in [
        "`public.invoices` has the tenant column `organization_id`",
        "lacks the privilege DELETE",
        "row-level security",
    ] {
        assert!(fault.message.contains(part), "{part}: {fault}");
    }
    let remedy = fault.remedy.expect("a remedy");
    assert!(remedy.contains(r#"GRANT DELETE ON "public"."task_outputs" TO "operator";"#), "{remedy}");
    assert!(remedy.contains(r#"ALTER ROLE "operator" BYPASSRLS;"#), "{remedy}");

    catalog.tables.truncate(1);
    let fault = compile(&Plan::default(), &catalog).fault.expect("faults");
    assert_eq!(fault.causes.len(), 5, "every missing table: {fault}");
    assert!(fault.message.contains("cascade.steps[4].table"), "{fault}");
    catalog.tables.clear();
    assert!(CompiledPlan::new(&Plan::default(), &catalog, "operator").is_err(), "nothing can be done for anybody");
}
