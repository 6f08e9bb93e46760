//! Cycles, and what else rules out an order.

use super::*;

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

#[test]
fn a_cycle_is_named_with_its_constraints() {
    let fault = faults(&Plan::default(), &cycle(false, Flavour::Restrict)).expect("no order");
    assert!(!fault.only_access());
    assert!(fault.to_string().contains("users_favourite") && fault.to_string().contains("flows_created_by"), "{fault}");
    // The one that only has to be altered, not made again.
    assert_eq!(
        remedy(&fault).as_deref(),
        Some(r#"ALTER TABLE "public"."flows" ALTER CONSTRAINT "flows_created_by" DEFERRABLE;"#)
    );
    // One of the two checked at COMMIT is enough.
    let erase = erase(&cycle(false, Flavour::Deferrable));
    assert_eq!(order(&erase), CHILDREN_FIRST);
    assert_eq!(erase.detaches, []);
}

#[test]
fn a_cycle_is_broken_at_a_column_that_can_be_null() {
    for flavour in [Flavour::Ordinary, Flavour::Restrict, Flavour::Cascade] {
        let erase = erase(&cycle(true, flavour));
        assert_eq!(order(&erase), CHILDREN_FIRST);
        let [detach] = erase.detaches.as_slice() else { panic!("{:?}", erase.detaches) };
        assert_eq!((detach.constraint.as_str(), detach.columns[0].as_str()), ("users_favourite", "favourite"));
        assert_eq!(
            detach.statement.sql(),
            r#"UPDATE "public"."users" t SET "favourite" = NULL WHERE t."organization_id" = $1::text::uuid AND (t."favourite" IS NOT NULL)"#
        );
    }
    let mut catalog = cycle(true, Flavour::Ordinary);
    catalog.tables[1].columns[2].updatable = false;
    let fault = faults(&Plan::default(), &catalog).expect("a privilege is missing");
    assert_eq!(remedy(&fault).as_deref(), Some(r#"GRANT UPDATE ("favourite") ON "public"."users" TO "operator";"#));
}

#[test]
fn a_column_by_which_rows_are_found_is_never_set_to_null() {
    let mut catalog = cycle(false, Flavour::Restrict);
    for column in catalog.tables.iter_mut().flat_map(|t| &mut t.columns) {
        column.nullable = ["organization_id", "flow_id"].contains(&column.name.as_str());
    }
    let key = catalog.foreign_keys.last_mut().expect("the favourite");
    key.child_columns = vec!["organization_id".into()];
    assert!(faults(&Plan::default(), &catalog).is_some(), "the tenant column is the only one that can be NULL");
}

#[test]
fn set_null_on_a_column_that_cannot_be_null_asks_for_an_order() {
    let mut catalog = platform(Flavour::Ordinary);
    let set_null = |name: &str, columns: &mut Vec<ForeignKey>| {
        for key in columns.iter_mut().filter(|k| k.name == name) {
            key.on_delete = OnDelete::SetNull;
        }
    };
    set_null("flows_created_by", &mut catalog.foreign_keys);
    catalog.foreign_keys.push(key("users_favourite", USERS, "favourite", FLOWS, Flavour::Ordinary));
    catalog.tables[1] = table(USERS, "users", &["id", "organization_id", "favourite"]);
    assert_eq!(order(&erase(&catalog))[3..], ["users", "flows"], "the database sets created_by to NULL");
    for column in catalog.tables.iter_mut().flat_map(|t| &mut t.columns) {
        column.nullable = column.name == "favourite";
    }
    let erase = erase(&catalog);
    assert_eq!(order(&erase)[3..], ["flows", "users"]);
    assert_eq!(erase.detaches[0].constraint, "users_favourite");
}

#[test]
fn the_organization_may_refer_to_its_own_rows() {
    let mut catalog = platform(Flavour::Ordinary);
    catalog.tables[0] = table(ORGANIZATIONS, "organizations", &["id", "is_active:boolean", "owner"]);
    catalog.foreign_keys.push(key("organizations_owner", ORGANIZATIONS, "owner", USERS, Flavour::Restrict));
    assert_eq!(
        erase(&catalog).detaches[0].statement.sql(),
        r#"UPDATE "public"."organizations" t SET "owner" = NULL WHERE t."id" = $1::text::uuid AND (t."owner" IS NOT NULL)"#
    );
    catalog.tables[0].columns[2].nullable = false;
    let fault = faults(&Plan::default(), &catalog).expect("neither can be deleted first");
    assert!(fault.to_string().contains("organizations_owner"), "{fault}");
    assert_eq!(
        remedy(&fault).as_deref(),
        Some(r#"ALTER TABLE "public"."organizations" ALTER COLUMN "owner" DROP NOT NULL;"#)
    );
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
