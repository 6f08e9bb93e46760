//! From which tables a large deletion may delete in pages.

use super::*;
use crate::cascade::{Because, Walk};
use crate::catalog::{Relation, TableProperties, Timing, Trigger};

fn paged(erase: &ErasePlan) -> Vec<&str> {
    erase.pages.iter().map(|paged| paged.table.name.trim_start_matches("public.")).collect()
}

fn not_paged(erase: &ErasePlan) -> Vec<(&str, Because)> {
    let of = |not: &'_ crate::cascade::NotPaged| not.because.clone();
    erase.not_paged.iter().map(|not| (not.table.name.trim_start_matches("public."), of(not))).collect()
}

fn properties(change: impl FnOnce(&mut TableProperties)) -> TableProperties {
    let mut properties = TableProperties::default();
    change(&mut properties);
    properties
}

#[test]
fn tables_are_paged_after_all_that_refer_to_them() {
    // Also where the declared order runs as written, because the keys are checked at COMMIT.
    for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Deferrable, Flavour::Cascade] {
        let erase = erase(&platform(flavour));
        assert_eq!(not_paged(&erase), [], "{flavour:?}");
        let mut order = paged(&erase);
        order[..2].sort_unstable();
        assert_eq!(order, CHILDREN_FIRST, "{flavour:?}");
    }
}

#[test]
fn parents_of_what_no_foreign_key_protects_wait_for_the_last_transaction() {
    let erase = erase(&platform(Flavour::NoKeys));
    assert_eq!(paged(&erase), ["users", "task_outputs", "task_statuses"]);
    let because = |table: &str| Because::Unprotected(format!("public.{table}"));
    assert_eq!(
        not_paged(&erase),
        [("flows", because("flow_executions")), ("flow_executions", because("task_outputs"))]
    );
    // What refers to a table that waits does not keep it from being paged, but a table to which it refers.
    let mut broken = platform(Flavour::Ordinary);
    broken.foreign_keys.retain(|k| k.name != "outputs_execution");
    let erase = super::erase(&broken);
    assert_eq!(paged(&erase), ["task_statuses", "task_outputs"].map(|t| t).into_iter().rev().collect::<Vec<_>>());
    let referred = |table: &str| Because::Referred(format!("public.{table}"));
    assert_eq!(
        not_paged(&erase),
        [
            ("flow_executions", because("task_outputs")),
            ("flows", referred("flow_executions")),
            ("users", referred("flows"))
        ]
    );
}

#[test]
fn a_cycle_and_whatever_it_refers_to_waits() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[1] = table(USERS, "users", &["id", "organization_id", "favourite"]);
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, Flavour::Ordinary));
    let erase = super::erase(&catalog);
    assert_eq!(paged(&erase), ["task_outputs", "task_statuses", "flow_executions"]);
    assert_eq!(not_paged(&erase), [("users", Because::Cycle), ("flows", Because::Cycle)]);
    // With triggers, the tables go one by one after a reference was set to NULL.
    for table in [USERS, FLOWS] {
        let trigger =
            Trigger { name: "t".into(), function: "f".into(), timing: Timing::Before, per_row: true, fires: true };
        catalog.properties.insert(table, properties(|p| p.triggers.push(trigger)));
    }
    let erase = super::erase(&catalog);
    assert!(!erase.detaches.is_empty());
    assert_eq!(
        not_paged(&erase).into_iter().map(|(_, because)| because).collect::<Vec<_>>(),
        vec![Because::Detached; 2]
    );
}

#[test]
fn what_the_organization_itself_refers_to_waits() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[0] = table(ORGANIZATIONS, "organizations", &["id", "is_active:boolean", "owner"]);
    let mut owner = key("organizations_owner", ORGANIZATIONS, "owner", USERS, Flavour::Ordinary);
    owner.on_delete = OnDelete::SetNull;
    catalog.foreign_keys.push(owner);
    let erase = super::erase(&catalog);
    assert_eq!(not_paged(&erase), [("users", Because::Referred("public.organizations".into()))]);
}

#[test]
fn views_and_rows_that_are_found_by_rows_of_views_wait() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.properties.insert(EXECUTIONS, properties(|p| p.relation = Relation::View));
    let erase = super::erase(&catalog);
    let of_view = || Because::OfView("public.flow_executions".into());
    let found = not_paged(&erase);
    assert!(found.contains(&("flow_executions", Because::View)), "{found:?}");
    assert!(found.contains(&("task_outputs", of_view())) && found.contains(&("task_statuses", of_view())), "{found:?}");
}

#[test]
fn people_and_what_refers_to_them_wait() {
    let plan = plan(
        "{organization: {table: organizations, key: id}, steps: [{entity: flows, table: flows, organization: organization_id}, \
         {entity: flowExecutions, table: flow_executions, parent: flows, column: flow_id}, \
         {entity: users, table: users, referencedBy: flowExecutions, column: started_by}]}",
    );
    let mut catalog = platform(Flavour::Ordinary);
    catalog.foreign_keys.retain(|k| k.name != "flows_created_by");
    let compiled = compile(&plan, &catalog);
    let cascade = compiled.cascade().expect("statements");
    let found: Vec<_> = cascade.not_paged.iter().map(|not| (not.table.name.as_str(), not.because.clone())).collect();
    assert_eq!(
        found,
        [
            ("public.flow_executions", Because::Refers("public.users".into())),
            ("public.flows", Because::Referred("public.flow_executions".into())),
            ("public.users", Because::ReferencedBy),
        ]
    );
}

#[test]
fn rows_whose_parents_may_not_be_locked_wait() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables.iter_mut().filter(|t| t.id == FLOWS).for_each(|t| t.privileges.lock = false);
    let erase = super::erase(&catalog);
    let lock = || Because::Lock("public.flows".into());
    let found = not_paged(&erase);
    assert!(found.contains(&("task_outputs", lock())) && found.contains(&("flow_executions", lock())), "{found:?}");
    let said = found[0].1.to_string();
    assert_eq!(
        said,
        "the operator's role may not lock rows of `public.flows`, for which it needs UPDATE on one of its columns"
    );
}

#[test]
fn a_page_has_the_tenant_in_its_where_and_locks_the_way_to_the_organization() {
    for flavour in [Flavour::Ordinary, Flavour::Cascade] {
        let erase = erase(&platform(flavour));
        for paged in &erase.pages {
            let name = paged.table.name.as_str();
            let (_, conditions) = paged.by_blocks.delete.split_once(" WHERE ").expect("a WHERE");
            let (conditions, _) = conditions.split_once(" RETURNING ").expect("RETURNING");
            assert!(
                conditions.starts_with("t.ctid >= $2::text::tid AND t.ctid < $3::text::tid"),
                "{name}: {conditions}"
            );
            assert!(conditions.contains("\"organization_id\" = $1::text::uuid"), "{name}: {conditions}");
            let depth = match name {
                "public.task_outputs" | "public.task_statuses" => 2,
                "public.flow_executions" => 1,
                _ => 0,
            };
            assert_eq!(
                paged.by_blocks.delete.matches(" FOR SHARE)").count(),
                depth,
                "{name}: {}",
                paged.by_blocks.delete
            );
            // What a CASCADE would take along must be gone, and nothing new may refer to the page.
            let is_parent = !name.starts_with("public.task");
            assert_eq!(paged.by_blocks.delete.contains("NOT EXISTS"), is_parent, "{name}: {}", paged.by_blocks.delete);
            let guarded = is_parent && flavour == Flavour::Cascade;
            assert_eq!(paged.by_blocks.guard.is_some(), guarded, "{flavour:?} {name}");
            assert_eq!(paged.by_blocks.delete.contains("$5"), guarded, "{flavour:?} {name}");
        }
    }
}

#[test]
fn a_row_that_another_organization_has_as_well_stays() {
    let catalog = platform(Flavour::Ordinary);
    let erase = super::erase(&catalog);
    assert!(erase.pages.iter().all(|paged| !paged.by_blocks.delete.contains("IS NOT TRUE")), "no row can have two");
    let mut catalog = catalog;
    catalog.tables[3] = table(EXECUTIONS, "flow_executions", &["id", "flow_id", "started_by", "organization_id"]);
    let plan = Plan { tenant_columns: vec!["organization_id".into()], ..Plan::default() };
    let compiled = compile(&plan, &catalog);
    let cascade = compiled.cascade().expect("statements");
    let paged = cascade.pages.iter().find(|paged| paged.table.name == "public.flow_executions").expect("paged");
    assert!(
        paged.by_blocks.delete.contains("(t.\"organization_id\" <> $1::text::uuid) IS NOT TRUE"),
        "{}",
        paged.by_blocks.delete
    );
}

#[test]
fn a_partitioned_table_has_as_many_blocks_as_its_largest_partition() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.properties.insert(OUTPUTS, properties(|p| p.relation = Relation::Partitioned));
    let erase = super::erase(&catalog);
    let blocks = |name: &str| {
        let paged = erase.pages.iter().find(|paged| paged.table.name == name).expect("paged");
        paged.blocks.contains("pg_partition_tree")
    };
    assert!(blocks("public.task_outputs") && !blocks("public.task_statuses"));
}

#[test]
fn parents_are_walked_where_an_index_finds_their_rows() {
    let mut catalog = platform(Flavour::Ordinary);
    let index = |columns: &[&str]| properties(|p| p.indexes.push(columns.iter().map(|c| (*c).to_owned()).collect()));
    catalog.properties.insert(OUTPUTS, index(&["flow_execution_id"]));
    catalog.properties.insert(STATUSES, index(&["id", "flow_execution_id"]));
    catalog.properties.insert(USERS, index(&["organization_id"]));
    let erase = super::erase(&catalog);
    let by_parents: Vec<&str> = erase
        .pages
        .iter()
        .filter(|paged| matches!(paged.walk, Walk::Parents { .. }))
        .map(|p| p.table.name.as_str())
        .collect();
    assert_eq!(
        by_parents,
        ["public.task_outputs"],
        "another column comes first, or the key stands in the table itself"
    );
    let paged = erase.pages.iter().find(|paged| paged.table.name == "public.task_outputs").expect("paged");
    assert_eq!(paged.walk, Walk::Parents { table: "public.flow_executions".into() });
    assert_eq!(
        paged.blocks,
        format!("SELECT pg_relation_size({}) / current_setting('block_size')::bigint", EXECUTIONS.0)
    );
    let (parents, rest) =
        paged.by_blocks.delete.split_once("DELETE FROM \"public\".\"task_outputs\" t WHERE ").expect("a DELETE");
    assert!(parents.contains("\"organization_id\" = $1::text::uuid"), "{parents}");
    assert_eq!(parents.matches(" FOR SHARE)").count(), 2, "both parents are locked before the delete: {parents}");
    assert!(rest.contains("AND COALESCE((t.\"flow_execution_id\") IN (SELECT k.\"id\" FROM k), false)"), "{rest}");
    // A reference that changes rows needs the locks on the table's own rows.
    for action in [OnDelete::Cascade, OnDelete::SetNull] {
        let mut catalog = catalog.clone();
        catalog.properties.insert(EXECUTIONS, index(&["flow_id"]));
        catalog.foreign_keys.iter_mut().filter(|k| k.parent == EXECUTIONS).for_each(|k| k.on_delete = action);
        let erase = super::erase(&catalog);
        let executions = erase.pages.iter().find(|paged| paged.table.name == "public.flow_executions").expect("paged");
        assert!(executions.by_blocks.guard.is_some(), "{action:?}");
    }
}

#[test]
fn a_table_of_two_ways_is_walked_itself() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[3] = table(EXECUTIONS, "flow_executions", &["id", "flow_id", "started_by", "organization_id"]);
    catalog.properties.insert(
        EXECUTIONS,
        properties(|p| p.indexes.extend(["flow_id", "organization_id"].map(|column| vec![column.to_owned()]))),
    );
    let both = plan(
        "{organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}, \
         {entity: flows, table: flows, organization: organization_id}, \
         {entity: flowExecutions, table: flow_executions, parent: flows, column: flow_id}, \
         {entity: flowExecutions, table: flow_executions, organization: organization_id}]}",
    );
    let compiled = compile(&both, &catalog);
    let cascade = compiled.cascade().expect("statements");
    let paged = cascade.pages.iter().find(|paged| paged.table.name == "public.flow_executions");
    assert!(paged.is_none_or(|paged| paged.walk == Walk::Own), "{paged:?}");
}

#[test]
fn only_the_rows_are_visited_where_indexes_find_them_in_one_table() {
    let index = |columns: &[&str]| properties(|p| p.indexes.push(columns.iter().map(|c| (*c).to_owned()).collect()));
    let captured = |catalog: &Catalog, name: &str| {
        let erase = super::erase(catalog);
        let paged = erase.pages.iter().find(|paged| paged.table.name == name).expect("paged");
        paged.by_tids.as_ref().map(|by_tids| by_tids.capture.clone())
    };
    let mut catalog = platform(Flavour::Ordinary);
    catalog.properties.insert(OUTPUTS, index(&["flow_execution_id"]));
    assert_eq!(captured(&catalog, "public.users"), None, "no index on its own column");
    assert_eq!(captured(&catalog, "public.task_outputs"), None, "no index finds the walked parents");
    catalog.properties.insert(USERS, index(&["organization_id"]));
    catalog.properties.insert(FLOWS, index(&["id", "organization_id"]));
    catalog.properties.insert(EXECUTIONS, index(&["flow_id"]));
    assert!(captured(&catalog, "public.users").is_some_and(|sql| sql.contains("FROM \"public\".\"users\" t WHERE")));
    assert_eq!(captured(&catalog, "public.flows"), None, "another column comes first");
    let of_parents = captured(&catalog, "public.task_outputs").expect("the executions of each flow are found");
    assert!(of_parents.contains("FROM \"public\".\"flow_executions\" t WHERE"), "{of_parents}");

    let mut partitioned = catalog.clone();
    partitioned
        .properties
        .insert(USERS, TableProperties { relation: Relation::Partitioned, ..index(&["organization_id"]) });
    assert_eq!(captured(&partitioned, "public.users"), None, "partitioned");
    let mut repeated = catalog;
    repeated.tables[1] = table(USERS, "users", &["id", "organization_id", "invited_by"]);
    repeated.foreign_keys.push(key("users_invited_by", USERS, "invited_by", USERS, Flavour::Ordinary));
    assert_eq!(captured(&repeated, "public.users"), None, "its rows refer to each other, so it is paged again");
}
