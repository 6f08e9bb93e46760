//! The order, and tables that refer to each other in a cycle.

use super::*;
use crate::cascade::Delete;
use crate::catalog::{Rule, Timing};
use crate::finding::Kind;
use crate::statement::Param;

/// The platform, where a user has a favourite flow.
fn cycle(nullable: bool, flavour: Flavour) -> Catalog {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[1] = table(USERS, "users", &["id", "organization_id", "favourite"]);
    for column in catalog.tables.iter_mut().flat_map(|t| &mut t.columns) {
        column.nullable = nullable && column.name == "favourite";
    }
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, flavour));
    catalog
}

/// The platform, where the organization refers to its owner.
fn owned(nullable: bool) -> Catalog {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[0] = table(ORGANIZATIONS, "organizations", &["id", "is_active:boolean", "owner"]);
    catalog.tables[0].columns[2].nullable = nullable;
    catalog.foreign_keys.push(key("organizations_owner", ORGANIZATIONS, "owner", USERS, Flavour::Restrict));
    catalog
}

/// What each statement deletes from, in order.
fn sets(erase: &ErasePlan) -> Vec<Vec<&str>> {
    let names = |delete: &'_ Delete| -> Vec<&str> {
        let tables = erase.tables().filter(|t| delete.tables.iter().any(|of| of.table == **t));
        let tables = tables.map(|t| t.name.trim_start_matches("public."));
        tables.chain(delete.organization.then_some("organizations")).collect()
    };
    erase.deletes.iter().map(names).collect()
}

#[test]
fn a_cycle_is_deleted_by_one_statement() {
    for nullable in [true, false] {
        for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Cascade] {
            let erase = erase(&cycle(nullable, flavour));
            assert_eq!(
                sets(&erase),
                [
                    vec!["task_outputs"],
                    vec!["task_statuses"],
                    vec!["flow_executions"],
                    vec!["users", "flows"],
                    vec!["organizations"]
                ],
                "{flavour:?}"
            );
            assert_eq!(erase.detaches, []);
            assert_eq!(
                erase.deletes[3].statement.sql(),
                r#"WITH d0 AS (DELETE FROM "public"."users" t WHERE t."organization_id" = $1::text::uuid RETURNING 1), d1 AS (DELETE FROM "public"."flows" t WHERE t."organization_id" = $1::text::uuid RETURNING t."id"), d1s1k0 AS (INSERT INTO organization_operator.captured_keys (erasure, key_set, keys) SELECT $2::text, 'public.flows#1(id)', array_agg(s.key) FROM (SELECT n.key, row_number() OVER () / 1000 AS chunk FROM (SELECT u.key FROM (SELECT x.key COLLATE "C" AS key, true AS is_new FROM (SELECT r."id"::text AS key FROM d1 r WHERE r."id" IS NOT NULL) x UNION ALL SELECT y.key COLLATE "C", false FROM (SELECT k.key FROM organization_operator.captured_keys c CROSS JOIN LATERAL unnest(c.keys) k(key) WHERE c.erasure = $2::text AND c.key_set = 'public.flows#1(id)') y) u GROUP BY u.key HAVING bool_and(u.is_new)) n) s GROUP BY s.chunk) SELECT (SELECT count(*) FROM d0), 0::bigint, (SELECT count(*) FROM d1), 0::bigint"#
            );
        }
    }
    // A check at COMMIT asks for no order.
    let erase = erase(&cycle(false, Flavour::Deferrable));
    assert_eq!(order(&erase), CHILDREN_FIRST);
    assert!(sets(&erase).iter().all(|set| set.len() == 1));
}

#[test]
fn what_is_left_of_a_set_is_found_by_captured_keys() {
    // The favourite execution: users, executions and flows are a cycle, and executions are found by their flow.
    let mut catalog = cycle(false, Flavour::Restrict);
    let favourite = catalog.foreign_keys.last_mut().expect("the favourite");
    favourite.parent = EXECUTIONS;
    let erase = erase(&catalog);
    let set = erase.deletes.iter().find(|d| d.tables.len() > 1).expect("a set");
    let names: Vec<&str> = set.tables.iter().map(|of| of.table.name.as_str()).collect();
    assert_eq!(names, ["public.users", "public.flows", "public.flow_executions"]);
    let executions = &set.tables[2];
    let sql = set.statement.sql();
    assert!(sql.contains(r#"t."flow_id" IN (SELECT tp."id" FROM "public"."flows" tp WHERE"#), "{sql}");
    let left = executions.left.statement();
    let captured = r#"t."flow_id" IN (SELECT k.key::uuid FROM organization_operator.captured_keys c CROSS JOIN LATERAL unnest(c.keys) k(key) WHERE c.erasure = $1::text AND c.key_set = 'public.flows#1(id)')"#;
    assert!(left.sql().contains(captured), "{}", left.sql());
    assert_eq!(left.params(), [Param::Erasure]);
    let captured: Vec<&str> = erase.captures.iter().map(|c| c.declared.as_str()).collect();
    assert_eq!(captured, ["flows", "flow_executions"], "their keys are there when they are asked for");
}

#[test]
fn a_cycle_goes_one_by_one_where_a_trigger_may_need_it() {
    for (table, timing) in [(USERS, Timing::Before), (FLOWS, Timing::After)] {
        for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Cascade] {
            let mut catalog = cycle(true, flavour);
            trigger(&mut catalog, table, timing);
            let erase = erase(&catalog);
            assert_eq!(order(&erase), CHILDREN_FIRST);
            assert!(sets(&erase).iter().all(|set| set.len() == 1));
            let [detach] = erase.detaches.as_slice() else { panic!("{:?}", erase.detaches) };
            assert_eq!((detach.constraint.as_str(), detach.columns[0].as_str()), ("users_favourite", "favourite"));
            assert_eq!(
                detach.statement.sql(),
                r#"UPDATE "public"."users" t SET "favourite" = NULL WHERE t."organization_id" = $1::text::uuid AND (t."favourite" IS NOT NULL)"#
            );
        }
    }
    let mut catalog = cycle(true, Flavour::Ordinary);
    trigger(&mut catalog, USERS, Timing::Before);
    catalog.tables[1].columns[2].updatable = false;
    let fault = faults(&Plan::default(), &catalog).expect("a privilege is missing");
    assert_eq!(remedy(&fault).as_deref(), Some(r#"GRANT UPDATE ("favourite") ON "public"."users" TO "operator";"#));
    // A trigger elsewhere, and one that does not fire, need nothing.
    let mut catalog = cycle(true, Flavour::Ordinary);
    trigger(&mut catalog, EXECUTIONS, Timing::Before);
    trigger(&mut catalog, USERS, Timing::Before);
    catalog.properties.get_mut(&USERS).expect("properties").triggers[0].fires = false;
    assert_eq!(erase(&catalog).detaches, []);
}

#[test]
fn a_cycle_with_a_trigger_is_one_statement_where_nothing_can_be_null() {
    let mut catalog = cycle(false, Flavour::Restrict);
    trigger(&mut catalog, USERS, Timing::Before);
    let erase = erase(&catalog);
    assert_eq!(sets(&erase)[3], ["users", "flows"]);
    assert_eq!(erase.detaches, []);
    assert!(erase.deletes[3].tables[0].may_suppress && !erase.deletes[3].tables[1].may_suppress);
}

#[test]
fn a_column_by_which_rows_are_found_is_never_set_to_null() {
    let mut catalog = cycle(false, Flavour::Restrict);
    for column in catalog.tables.iter_mut().flat_map(|t| &mut t.columns) {
        column.nullable = ["organization_id", "flow_id"].contains(&column.name.as_str());
    }
    let key = catalog.foreign_keys.last_mut().expect("the favourite");
    key.child_columns = vec!["organization_id".into()];
    trigger(&mut catalog, USERS, Timing::Before);
    assert_eq!(erase(&catalog).detaches, [], "the tenant column is the only one that can be NULL");
}

#[test]
fn set_null_on_a_column_that_cannot_be_null_asks_for_an_order() {
    let mut catalog = platform(Flavour::Ordinary);
    for key in catalog.foreign_keys.iter_mut().filter(|k| k.name == "flows_created_by") {
        key.on_delete = OnDelete::SetNull;
    }
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, Flavour::Ordinary));
    catalog.tables[1] = table(USERS, "users", &["id", "organization_id", "favourite"]);
    assert_eq!(order(&erase(&catalog))[3..], ["users", "flows"], "the database sets created_by to NULL");
    for column in catalog.tables.iter_mut().flat_map(|t| &mut t.columns) {
        column.nullable = column.name == "favourite";
    }
    assert_eq!(sets(&erase(&catalog))[3], ["users", "flows"], "both at once");
}

#[test]
fn the_organization_may_refer_to_its_own_rows() {
    for nullable in [true, false] {
        let catalog = owned(nullable);
        let erase = erase(&catalog);
        assert_eq!(
            sets(&erase),
            [
                vec!["task_outputs"],
                vec!["task_statuses"],
                vec!["flow_executions"],
                vec!["flows"],
                vec!["users", "organizations"]
            ]
        );
        assert_eq!(erase.detaches, []);
        assert_eq!(
            erase.deletes[4].statement.sql(),
            r#"WITH d0 AS (DELETE FROM "public"."users" t WHERE t."organization_id" = $1::text::uuid RETURNING 1), o AS (DELETE FROM "public"."organizations" t WHERE t."id" = $1::text::uuid RETURNING 1) SELECT (SELECT count(*) FROM d0), 0::bigint, (SELECT count(*) FROM o)"#
        );
        assert!(!erase.has_unprotected());
    }
    let mut catalog = owned(true);
    trigger(&mut catalog, ORGANIZATIONS, Timing::After);
    assert_eq!(
        erase(&catalog).detaches[0].statement.sql(),
        r#"UPDATE "public"."organizations" t SET "owner" = NULL WHERE t."id" = $1::text::uuid AND (t."owner" IS NOT NULL)"#
    );
}

#[test]
fn the_organization_goes_before_what_it_needs_and_what_does_not_need_it() {
    // No foreign key leads from users to the organization: they stay behind its reference to one of them.
    let mut catalog = owned(false);
    catalog.foreign_keys.retain(|k| k.name != "users_organization");
    let erase = erase(&catalog);
    assert_eq!(sets(&erase)[3..], [vec!["flows"], vec!["organizations"], vec!["users"]]);
    assert_eq!(erase.unprotected_tables(), ["public.users"]);
    let [late] = erase.late_deletes.as_slice() else { panic!("{:?}", erase.late_deletes) };
    assert_eq!(late, &erase.deletes[5]);
}

#[test]
fn the_organization_stays_until_a_trigger_has_fired() {
    // Users refer to the organization by a key that is checked at COMMIT, and it refers to one of them at once.
    for (nullable, triggers, expected) in [
        (true, true, vec![vec!["users"], vec!["organizations"]]),
        (true, false, vec![vec!["organizations"], vec!["users"]]),
        (false, true, vec![vec!["organizations"], vec!["users"]]),
    ] {
        let mut catalog = owned(nullable);
        catalog.foreign_keys.iter_mut().filter(|k| k.name == "users_organization").for_each(|k| k.deferrable = true);
        if triggers {
            trigger(&mut catalog, USERS, Timing::After);
        }
        let erase = erase(&catalog);
        assert_eq!(sets(&erase)[4..], expected);
        assert_eq!(erase.detaches.len(), usize::from(nullable && triggers));
    }
}

#[test]
fn only_unprotected_tables_of_a_set_are_deleted_from_again() {
    // Users are in a cycle with the organization and with flows, and only flows can appear after COMMIT.
    let mut catalog = owned(false);
    catalog.tables[1] = table(USERS, "users", &["id", "organization_id", "favourite"]);
    catalog.tables[1].columns[2].nullable = false;
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, Flavour::Ordinary));
    catalog.foreign_keys.retain(|k| k.name != "flows_organization");
    let erase = erase(&catalog);
    assert_eq!(sets(&erase)[3], ["users", "flows", "organizations"]);
    let late: Vec<&str> = erase.late_deletes.iter().map(|d| d.statement.sql()).collect();
    assert_eq!(
        late[3],
        r#"WITH d0 AS (DELETE FROM "public"."flows" t WHERE t."organization_id" = $1::text::uuid RETURNING t."id"), d0s1k0 AS (INSERT INTO organization_operator.captured_keys (erasure, key_set, keys) SELECT $2::text, 'public.flows#1(id)', array_agg(s.key) FROM (SELECT n.key, row_number() OVER () / 1000 AS chunk FROM (SELECT u.key FROM (SELECT x.key COLLATE "C" AS key, true AS is_new FROM (SELECT r."id"::text AS key FROM d0 r WHERE r."id" IS NOT NULL) x UNION ALL SELECT y.key COLLATE "C", false FROM (SELECT k.key FROM organization_operator.captured_keys c CROSS JOIN LATERAL unnest(c.keys) k(key) WHERE c.erasure = $2::text AND c.key_set = 'public.flows#1(id)') y) u GROUP BY u.key HAVING bool_and(u.is_new)) n) s GROUP BY s.chunk) SELECT (SELECT count(*) FROM d0), 0::bigint"#
    );
    assert_eq!(late.len(), 4, "flows and what is below them: {late:?}");
    assert!(late.iter().all(|sql| !sql.contains(r#"DELETE FROM "public"."organizations""#)));
}

#[test]
fn a_rule_on_the_organization_is_a_fault_only_where_one_statement_deletes_it_with_others() {
    let rule = Rule { name: "log".into(), instead: false, partial: false, fires: true };
    let with = |mut catalog: Catalog| {
        catalog.properties.entry(ORGANIZATIONS).or_default().rules.push(rule.clone());
        compile(&Plan::default(), &catalog)
    };
    for (catalog, detaches) in [(platform(Flavour::Ordinary), 0), (owned(true), 1)] {
        let compiled = with(catalog);
        assert_eq!(compiled.erase().expect("no fault").detaches.len(), detaches);
        assert!(compiled.warnings.iter().any(|w| w.kind == Kind::DeleteRule));
    }
    let compiled = with(owned(false));
    let fault = compiled.faults().expect("PostgreSQL rejects such a rule in a WITH query");
    assert_eq!(remedy(fault).as_deref(), Some(r#"DROP RULE "log" ON "public"."organizations";"#));
    assert!(compiled.warnings.iter().all(|w| w.kind != Kind::DeleteRule), "said once");
}

#[test]
fn the_organizations_own_table_is_no_step() {
    let plan = plan(
        "{organization: {table: organizations, key: id}, steps: [{entity: a, table: organizations, organization: parent}]}",
    );
    let fault = faults(&plan, &platform(Flavour::Ordinary)).expect("other organizations are nobody's rows");
    assert!(fault.to_string().contains("cascade.steps[0].table"), "{fault}");
}

#[test]
fn the_digest_knows_names_and_not_identities() {
    let of = |catalog: &Catalog| compile(&Plan::default(), catalog).digest;
    let here = platform(Flavour::Ordinary);
    let mut there = here.clone();
    for table in &mut there.tables {
        table.id.0 += 1000;
    }
    for key in &mut there.foreign_keys {
        (key.child.0, key.parent.0) = (key.child.0 + 1000, key.parent.0 + 1000);
    }
    there.tables.reverse();
    there.foreign_keys.reverse();
    there.fingerprint = "another".into();
    assert_eq!(of(&here), of(&there));
    there.tables[0].columns[0].nullable = false;
    assert_ne!(of(&here), of(&there));
    assert_ne!(of(&here), of(&platform(Flavour::Cascade)));
}
