//! What blocks one deletion, or all.

use super::*;
use crate::query::Query;

#[test]
fn only_keys_over_which_outsiders_can_refer_are_checked() {
    let checks = |catalog: &Catalog| -> Vec<String> {
        let erase = erase(catalog);
        erase.preflight.references.iter().flat_map(Query::subjects).map(|c| c.constraint.clone()).collect()
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
    let erase = erase(&catalog);
    let checks = erase.preflight.references.as_ref().expect("checks");
    let with = |rows: &[i64], key: &str| references(&checks.pair(rows).expect("a number each"), key);
    assert_eq!(with(&[0, 0, 0], "k"), []);
    let found = with(&[1, 0, COUNT_LIMIT + 1], "o'k");
    let [first, second] = found.as_slice() else { panic!("every blocker: {found:?}") };
    assert_eq!((first.rows, second.rows), (Some(1), Some(COUNT_LIMIT)));
    assert_eq!(
        first.message,
        "1 row in `public.flows` of other organizations refers to `public.users` (constraint flows_created_by): flows -> users -> organizations"
    );
    assert_eq!(
        second.message,
        "10000+ rows in `public.invoices` refer to `public.flows` (constraint invoices_flow), and ON DELETE CASCADE would change them: invoices -> flows -> organizations"
    );
    let remedy = second.remedy.as_deref().expect("a remedy");
    assert!(
        remedy.contains(r#"DELETE FROM "public"."invoices" c USING "public"."flows" p WHERE c."flow_id" = p."id""#),
        "{remedy}"
    );
    assert!(remedy.contains("'o''k'") && !remedy.contains(":key"), "{remedy}");
}

#[test]
fn a_column_that_refers_to_another_table_is_refused() {
    let steps = "organization: {table: organizations, key: id}\nsteps:\n\
         - {entity: users, table: users, organization: organization_id}\n\
         - {entity: flows, table: flows, organization: organization_id}\n";
    let with = |last: &str| faults(&plan(&format!("{steps}{last}")), &platform(Flavour::Ordinary));
    let fault =
        with("- {entity: runs, table: flow_executions, parent: users, column: flow_id}").expect("a wrong parent");
    assert!(
        fault.to_string().contains("`cascade.steps[2].column`") && fault.to_string().contains("executions_flow"),
        "{fault}"
    );
    assert_eq!(with("- {entity: runs, table: flow_executions, parent: users, column: started_by}"), None);
    assert_eq!(with("- {entity: runs, table: flow_executions, parent: users, columns: {flow_id: id}}"), None);
}

#[test]
fn every_fault_is_named_at_once() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables.push(table(INVOICES, "invoices", &["id", "organization_id"]));
    catalog.tables[4].privileges.delete = false;
    catalog.tables[5].row_security = true;
    let fault = faults(&Plan::default(), &catalog).expect("faults");
    assert!(!fault.only_access());
    assert_eq!(fault.findings().len(), 3, "{fault}");
    for part in [
        "`public.invoices` has the tenant column `organization_id`",
        "lacks the privilege DELETE",
        "row-level security",
    ] {
        assert!(fault.to_string().contains(part), "{part}: {fault}");
    }
    let remedy = remedy(&fault).expect("a remedy");
    assert!(remedy.contains(r#"GRANT DELETE ON "public"."task_outputs" TO "operator";"#), "{remedy}");
    assert!(remedy.contains(r#"ALTER ROLE "operator" BYPASSRLS;"#), "{remedy}");

    catalog.tables.truncate(1);
    let fault = faults(&Plan::default(), &catalog).expect("faults");
    assert_eq!(fault.findings().len(), 5, "every missing table: {fault}");
    assert!(fault.to_string().contains("cascade.steps[4].table"), "{fault}");
    catalog.tables.clear();
    assert!(super::super::compile(&Plan::default(), &catalog, "operator").is_err(), "nothing can be done for anybody");
}
