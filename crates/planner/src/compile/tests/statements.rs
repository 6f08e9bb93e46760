//! The text of the statements.

use super::*;
use crate::query::Query;
use crate::statement::Statement;

/// Every statement that the cascade runs on the tenant's rows.
fn statements(compiled: &CompiledPlan) -> Vec<&Statement> {
    let erase = compiled.erase().expect("no fault");
    let mut all = vec![&compiled.root.observe, &compiled.root.lock, &compiled.root.observe_many];
    all.extend([&erase.count, &erase.inventory, &erase.recount].map(Query::statement));
    all.push(&erase.observe_many);
    all.extend(erase.captures.iter().flat_map(|c| &c.statement));
    all.extend(erase.deletes.iter().chain(&erase.late_deletes).map(|d| &d.statement));
    let preflights = [&erase.preflight, &erase.late_preflight, &erase.quick_check];
    all.extend(preflights.into_iter().flat_map(|p| &p.references).map(Query::statement));
    all.extend(preflights.into_iter().flat_map(|p| &p.ambiguous).map(Query::statement));
    all
}

/// Each `WHERE` binds a value. A statement without one would be about every tenant.
fn assert_tenant_predicate(sql: &str) {
    assert!(sql.contains("WHERE "), "{sql}");
    // What a delete itself returned needs no other predicate.
    let own = |condition: &&str| !condition.starts_with("r.\"");
    for condition in sql.split("WHERE ").skip(1).filter(own) {
        // An inner query may stand between a WHERE and the value that it compares with.
        assert!(condition.contains('$') || condition.contains(" IN (SELECT "), "no tenant in `{condition}` of {sql}");
    }
    assert!(sql.split("WHERE ").skip(1).filter(own).last().is_some_and(|last| last.contains('$')), "{sql}");
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
                let sql = statement.sql().replace(" AS users", "");
                // Nor is a table's name in the name of a set of captured keys, a constant.
                assert_quoted(&sql.split('\'').step_by(2).collect::<String>(), name);
            }
        }
        let deletes = &compiled.erase().expect("no fault").deletes;
        let (last, of_tables) = deletes.split_last().expect("the organization");
        assert_eq!(last.statement.sql(), r#"DELETE FROM "public"."organizations" t WHERE t."id" = $1::text::uuid"#);
        for delete in of_tables {
            let sql = delete.statement.sql();
            let (head, condition) = sql.split_once(" t WHERE t.").expect("the predicate stands in the outer WHERE");
            // Without RETURNING where nothing is to be known but the number.
            let start =
                if delete.by_command { "DELETE FROM \"public\"." } else { "WITH d0 AS (DELETE FROM \"public\"." };
            assert!(head.starts_with(start), "{sql}");
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
    let mut a = table(TableId(10), "a", &["tenant", "n", "id"]);
    a.unique_keys = vec![vec!["tenant".into(), "n".into()]];
    catalog.tables.truncate(1);
    catalog.tables.extend([a, table(TableId(11), "b", &["id", "a_tenant", "a_n"])]);
    catalog.foreign_keys = vec![ForeignKey {
        child_columns: vec!["a_tenant".into(), "a_n".into()],
        parent_columns: vec!["tenant".into(), "n".into()],
        ..key("b_a", TableId(11), "a_tenant", TableId(10), Flavour::Deferrable)
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
    assert_eq!(erase.captures[0].columns(), ["n", "tenant"]);
    let sql = erase.deletes[1].statement.sql();
    assert!(
        sql.contains(
            r#"(t."a_n", t."a_tenant") IN (SELECT (k.key::text[])[1]::uuid, (k.key::text[])[2]::uuid FROM organization_operator.captured_keys c CROSS JOIN LATERAL unnest(c.keys) k(key) WHERE c.erasure = $1::text AND c.key_set = 'public.a#0(n, tenant)')"#
        ),
        "{sql}"
    );

    let half = plan(&format!("{steps}- {{entity: b, table: b, parent: a, column: a_n}}"));
    let fault = faults(&half, &composite()).expect("half of a key is refused");
    assert!(!fault.only_access());
    assert!(fault.to_string().contains("cascade.steps[1].column"), "{fault}");
    assert!(remedy(&fault).expect("a remedy").contains("columns:"));

    let none = plan(&format!("{steps}- {{entity: b, table: b, parent: a, columns: {{a_n: id}}}}"));
    let fault = faults(&none, &composite()).expect("a column of no key is refused");
    assert!(fault.to_string().contains("`cascade.steps[1].columns`"), "{fault}");
    let mixed = plan(&format!("{steps}- {{entity: b, table: b, parent: a, columns: {{a_n: n, id: id}}}}"));
    assert!(faults(&mixed, &composite()).is_some(), "a column of a key beside one of no key is refused");
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
    assert_eq!(
        order(erase),
        ["flows", "users"],
        "one statement for both, so rows of one may refer to rows of the other"
    );
    let sql = erase.deletes[0].statement.sql();
    assert!(sql.contains(r#"t."organization_id" = $1"#) && sql.contains(r#" OR t."created_by" IN (SELECT "#), "{sql}");
    let shared = erase.preflight.shared.as_ref().expect("a flow may be found by two organizations");
    assert_eq!(shared.subjects()[0].table, "public.flows");
    let sql = shared.statement().sql();
    assert!(sql.contains(r#"t."organization_id" <> $1"#), "{sql}");
    let tables = erase.count.subjects();
    assert_eq!(tables.len(), 2, "counted once: {tables:?}");
    let sql = erase.count.statement().sql();
    assert_eq!(sql.matches(r#"FROM "public"."flows" t WHERE"#).count(), 1, "{sql}");
    assert!(sql.contains(" OR "), "{sql}");
    let rows = erase.by_entity(&erase.count.pair(&[3, 4]).expect("a number each"));
    let rows: Vec<(&str, i64)> = rows.into_iter().map(|(entity, rows)| (entity.name.as_str(), rows)).collect();
    assert_eq!(rows, [("flows", 3), ("users", 4)]);
}
