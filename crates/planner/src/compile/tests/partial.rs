//! Rows that are found by part of a parent's key, and rows that belong to nobody.

use super::*;
use crate::blocker::ambiguous_rows;
use crate::cascade::AmbiguousRows;
use crate::catalog::{Relation, TableProperties};
use crate::finding::Kind;
use crate::query::Query;

const EVENTS: TableId = TableId(10);
const RUNS: TableId = TableId(11);
const LOGS: TableId = TableId(12);

/// The key of `events` begins with the tenant; `runs` has the rest of it, `logs` all of it.
fn events() -> Catalog {
    let mut events = table(EVENTS, "events", &["tenant", "seen:timestamp with time zone", "id:bigint"]);
    events.unique_keys = vec![vec!["tenant".into(), "seen".into(), "id".into()]];
    let runs = table(RUNS, "runs", &["event:bigint", "event_seen:timestamp with time zone", "run"]);
    let logs = table(LOGS, "logs", &["tenant", "event:bigint", "event_seen:timestamp with time zone"]);
    let mut catalog = platform(Flavour::NoKeys);
    catalog.tables.truncate(1);
    catalog.tables.extend([events, runs, logs]);
    catalog.foreign_keys = vec![ForeignKey {
        parent_columns: vec!["id".into()],
        ..key("events_tenant", EVENTS, "tenant", ORGANIZATIONS, Flavour::Ordinary)
    }];
    catalog.plan_tables = vec![ORGANIZATIONS, EVENTS, RUNS, LOGS];
    catalog
}

const PLAN: &str = "organization: {table: organizations, key: id}\nsteps:\n\
    - {entity: events, table: events, organization: tenant}\n\
    - {entity: runs, table: runs, parent: events, columns: {event: id, event_seen: seen}}\n";

fn subjects(query: Option<&Query<AmbiguousRows>>) -> Vec<(String, Vec<String>)> {
    query.into_iter().flat_map(Query::subjects).map(|a| (a.table.clone(), a.parent_columns.clone())).collect()
}

#[test]
fn part_of_a_key_is_allowed_and_proven() {
    let compiled = compile(&plan(PLAN), &events());
    let erase = compiled.erase().expect("no fault");
    let expected = [("public.runs".to_owned(), vec!["id".to_owned(), "seen".to_owned()])];
    for preflight in [&erase.preflight, &erase.late_preflight, &erase.quick_check] {
        assert_eq!(subjects(preflight.ambiguous.as_ref()), expected);
    }
    let sql = erase.preflight.ambiguous.as_ref().expect("a proof").statement().sql();
    let proof = r#"EXISTS (SELECT FROM "public"."events" p WHERE p."id" = c."event" AND p."seen" = c."event_seen" AND (p."tenant" = $1::text::uuid) IS NOT TRUE)"#;
    assert!(sql.contains(proof), "{sql}");
    assert!(sql.contains(r#"(c."event", c."event_seen") IN (SELECT"#) && sql.contains("LIMIT 10001"), "{sql}");
    // After COMMIT, only rows of a parent that is there again can be told apart from those of others.
    let late = erase.late_preflight.ambiguous.as_ref().expect("a proof").statement().sql();
    assert_eq!(late, sql);
    // In the end, no row has such a part any more.
    let parents: Vec<_> = erase.parents_left.iter().flat_map(Query::subjects).collect();
    assert_eq!(parents.iter().map(|p| (p.table.as_str(), p.part)).collect::<Vec<_>>(), [("events", true)]);
    assert_eq!(erase.parents_back.len(), 1, "nothing protects rows that refer to part of a key");
}

#[test]
fn a_whole_key_needs_no_proof() {
    let whole =
        "- {entity: logs, table: logs, parent: events, columns: {tenant: tenant, event: id, event_seen: seen}}\n";
    let compiled = compile(&plan(&format!("{PLAN}{whole}")), &events());
    let erase = compiled.erase().expect("no fault");
    assert_eq!(subjects(erase.preflight.ambiguous.as_ref()).len(), 1, "only the part");
    // The part of a key may be in use again while the whole key is not: each is asked for and forgotten alone.
    let backs: Vec<&[String]> = erase.parents_back.iter().map(|b| b.columns.as_slice()).collect();
    assert_eq!(backs, [&["id", "seen"][..], &["id", "seen", "tenant"]]);
}

#[test]
fn what_cannot_be_told_apart_blocks_with_its_number() {
    let compiled = compile(&plan(PLAN), &events());
    let query = compiled.erase().expect("no fault").preflight.ambiguous.as_ref().expect("a proof");
    let with = |rows: i64| ambiguous_rows(&query.pair(&[rows]).expect("a number each"), "o'k");
    assert_eq!(with(0), []);
    let found = with(COUNT_LIMIT + 1);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (finding.kind, finding.rows, finding.entity.as_deref()),
        (Kind::AmbiguousRows, Some(COUNT_LIMIT), Some("runs"))
    );
    assert_eq!(
        finding.message,
        "10000+ rows of `public.runs` refer by (event, event_seen) to rows of `public.events` that belong to this organization and to rows that belong to another organization or to none, because (id, seen) is only part of a key"
    );
    let remedy = finding.remedy.as_deref().expect("a remedy");
    assert!(remedy.starts_with(r#"SELECT c.* FROM "public"."runs" c WHERE "#), "{remedy}");
    assert!(remedy.contains("'o''k'") && !remedy.contains(":key") && !remedy.contains('$'), "{remedy}");
    assert!(with(1)[0].message.starts_with("1 row of `public.runs` refers by"), "{:?}", with(1));
}

#[test]
fn a_quick_check_searches_the_parent_only_by_an_index() {
    let sql = |indexes: &[&str]| {
        let mut catalog = events();
        let indexes = vec![indexes.iter().map(|c| (*c).to_owned()).collect()];
        catalog.properties.insert(EVENTS, TableProperties { indexes, ..TableProperties::default() });
        let compiled = compile(&plan(PLAN), &catalog);
        compiled
            .erase()
            .expect("no fault")
            .quick_check
            .ambiguous
            .as_ref()
            .expect("a proof")
            .statement()
            .sql()
            .to_owned()
    };
    assert!(sql(&["tenant", "seen", "id"]).contains("CASE WHEN pg_relation_size(10) <="));
    assert!(!sql(&["seen", "id", "tenant"]).contains("pg_relation_size"));
}

/// The conditions by which rows are counted that belong to nobody, by their table.
fn nobodys(plan_text: &str, catalog: &Catalog) -> Vec<(String, String)> {
    let compiled = compile(&plan(plan_text), catalog);
    let queries = &compiled.cascade().expect("names resolve").nobodys_rows;
    let condition =
        |sql: &str| sql.split_once(" t WHERE ").map(|(_, c)| c.replace(" LIMIT 10001) s)]::bigint[] AS rows", ""));
    queries
        .iter()
        .map(|q| (q.subjects()[0].table.clone(), condition(q.statement().sql()).expect("a condition")))
        .collect()
}

#[test]
fn rows_are_nobodys_if_every_way_is_null() {
    let organization = "organization: {table: organizations, key: id}\n";
    let users = "- {entity: users, table: users, organization: organization_id}\n";
    let flows = "- {entity: flows, table: flows, organization: organization_id}\n\
        - {entity: flows, table: flows, parent: users, column: created_by}\n";
    let text = format!("{organization}steps:\n{users}{flows}");
    let catalog = platform(Flavour::Ordinary);
    let expected = [
        ("public.users", r#"t."organization_id" IS NULL"#),
        ("public.flows", r#"t."organization_id" IS NULL AND t."created_by" IS NULL"#),
    ];
    assert_eq!(nobodys(&text, &catalog), expected.map(|(t, c)| (t.to_owned(), c.to_owned())));

    // One way that is always there is enough.
    let mut one = platform(Flavour::Ordinary);
    one.tables[2].columns[1].nullable = false;
    assert_eq!(nobodys(&text, &one).len(), 1);

    // A tenant column by which no step finds rows says whose they are, too.
    let by_user = format!(
        "{organization}tenantColumns: [organization_id]\nsteps:\n{users}- {{entity: flows, table: flows, parent: users, column: created_by}}\n"
    );
    assert_eq!(nobodys(&by_user, &catalog)[1].1, r#"t."created_by" IS NULL AND t."organization_id" IS NULL"#);

    // A view writes the NULL itself, where a row is no organization's.
    let mut view = platform(Flavour::Ordinary);
    view.properties.insert(USERS, TableProperties { relation: Relation::View, ..TableProperties::default() });
    assert!(nobodys(&text, &view).iter().all(|(table, _)| table != "public.users"));
}

#[test]
fn one_column_of_a_composite_key_that_is_null_is_enough() {
    let found = nobodys(PLAN, &events());
    let expected = ("public.runs".to_owned(), r#"(t."event" IS NULL OR t."event_seen" IS NULL)"#.to_owned());
    assert!(found.contains(&expected), "{found:?}");
    let mut catalog = events();
    catalog.tables[2].columns.iter_mut().filter(|c| c.name == "event").for_each(|c| c.nullable = false);
    assert_eq!(nobodys(PLAN, &catalog)[1].1, r#"t."event_seen" IS NULL"#, "the other can be NULL");
}
