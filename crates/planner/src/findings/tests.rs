//! What is found in hand-written catalogues.

use std::collections::BTreeMap;

use crate::catalog::{
    Catalog, Enforcement, OnDelete, Relation, Rule, TableId, TableInfo, TableProperties, Timing, Trigger,
};
use crate::compile::compile;
use crate::finding::{Finding, Kind, NAMED, Severity, caveat};
use crate::fixtures::{self, foreign_key as key};
use crate::identifier::Table;
use crate::plan::Plan;
use strum::VariantArray as _;

const TENANTS: TableId = TableId(1);
const USERS: TableId = TableId(2);
const NOTES: TableId = TableId(3);
const TOKENS: TableId = TableId(4);

fn table(id: TableId, name: &str, columns: &[&str]) -> TableInfo {
    fixtures::table(id, "app", name, columns)
}

fn indexed(columns: &[&[&str]]) -> TableProperties {
    let indexes = columns.iter().map(|i| i.iter().map(|c| (*c).to_owned()).collect()).collect();
    TableProperties { indexes, ..TableProperties::default() }
}

/// Tenants have users, users have notes; everything has indexes and foreign keys.
fn healthy() -> Catalog {
    Catalog {
        tables: vec![
            table(TENANTS, "tenants", &["id"]),
            table(USERS, "users", &["id", "tenant_id"]),
            table(NOTES, "notes", &["id", "user_id"]),
        ],
        foreign_keys: vec![
            key("users_tenant", USERS, "tenant_id", TENANTS),
            key("notes_user", NOTES, "user_id", USERS),
        ],
        plan_tables: vec![TENANTS, USERS, NOTES],
        properties: BTreeMap::from([
            (TENANTS, indexed(&[&["id"]])),
            (USERS, indexed(&[&["id"], &["tenant_id", "id"]])),
            (NOTES, indexed(&[&["id"], &["user_id"]])),
        ]),
        ..Catalog::default()
    }
}

fn plan() -> Plan {
    serde_yaml::from_str(
        "organization: {table: tenants, key: id}\n\
         tenantColumns: [tenant_id]\n\
         steps:\n\
         - {entity: users, table: users, organization: tenant_id}\n\
         - {entity: notes, table: notes, parent: users, column: user_id}\n\
         keep: [{table: invoices, reason: law}]\n",
    )
    .expect("a plan")
}

fn found(catalog: &Catalog) -> Vec<Finding> {
    let findings: Vec<Finding> = match compile(&plan(), catalog, "operator") {
        Ok(compiled) => {
            let blocks = compiled.findings().any(|f| f.severity == Severity::Blocks);
            assert_eq!(blocks, compiled.faults().is_some(), "what blocks is a fault, and the other way round");
            assert!(compiled.warnings.iter().all(|f| f.severity == Severity::Warning), "a fault is no warning");
            compiled.findings().cloned().collect()
        }
        Err(faults) => faults.findings().to_vec(),
    };
    for finding in &findings {
        assert!(!finding.message.ends_with('.'), "{}", finding.message);
    }
    findings
}

/// What a change of the healthy catalogue makes: kind, severity, table, columns and remedy.
fn change(change: impl FnOnce(&mut Catalog)) -> Vec<(Kind, Severity, String, Vec<String>, String)> {
    let mut catalog = healthy();
    change(&mut catalog);
    found(&catalog)
        .into_iter()
        .map(|f| (f.kind, f.severity, f.table.unwrap_or_default(), f.columns, f.remedy.unwrap_or_default()))
        .collect()
}

fn outside(catalog: &mut Catalog, name: &str, column: &str, parent: TableId) {
    catalog.tables.push(TableInfo { declared: Vec::new(), ..table(TOKENS, name, &["id", column]) });
    catalog.foreign_keys.push(key("outside", TOKENS, column, parent));
    catalog.properties.insert(TOKENS, indexed(&[&[column]]));
}

fn properties(catalog: &mut Catalog, id: TableId) -> &mut TableProperties {
    catalog.properties.entry(id).or_default()
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(found(&healthy()), []);
    // A catalogue whose properties nobody read says nothing about them.
    assert_eq!(change(|c| c.properties.clear()), []);
}

/// Checks that a change makes exactly one finding.
macro_rules! one {
    ($name:ident, $change:expr, $kind:ident, $severity:ident, $table:expr, $columns:expr, $remedy:expr) => {
        #[test]
        fn $name() {
            let columns: Vec<String> = $columns.iter().map(|c: &&str| (*c).to_owned()).collect();
            let expected =
                vec![(Kind::$kind, Severity::$severity, String::from($table), columns, String::from($remedy))];
            assert_eq!(change($change), expected);
        }
    };
}

const NONE: [&str; 0] = [];

one!(
    a_table_that_is_missing_blocks,
    |c| c.tables.retain(|t| t.id != NOTES),
    MissingTable,
    Blocks,
    "notes",
    NONE,
    "correct the table's name in the plan (cascade), or write it as schema.table"
);
one!(
    the_missing_table_of_the_organizations_blocks,
    |c| c.tables.retain(|t| t.id != TENANTS),
    MissingTable,
    Blocks,
    "tenants",
    NONE,
    "correct the table's name in the plan (cascade), or write it as schema.table"
);
one!(
    a_column_that_is_missing_blocks,
    |c| c.tables[2].columns.retain(|c| c.name != "user_id"),
    MissingColumn,
    Blocks,
    "app.notes",
    ["user_id"],
    "correct the column's name in the plan (cascade)"
);
one!(
    a_key_that_is_not_unique_blocks,
    |c| c.tables[0].unique_keys.clear(),
    PlanMismatch,
    Blocks,
    "tenants",
    NONE,
    "ALTER TABLE \"app\".\"tenants\" ADD UNIQUE (\"id\");"
);
one!(
    a_tenant_table_that_nobody_classified_blocks,
    |c| outside(c, "tokens", "tenant_id", TENANTS),
    Unclassified,
    Blocks,
    "app.tokens",
    ["tenant_id"],
    "add a step {entity: tokens, table: app.tokens, organization: tenant_id} or a keep {table: app.tokens, reason: ...} to the plan (cascade)"
);
one!(
    a_missing_privilege_blocks,
    |c| c.tables[2].privileges.delete = false,
    MissingPrivilege,
    Blocks,
    "app.notes",
    NONE,
    "GRANT DELETE ON \"app\".\"notes\" TO \"operator\";"
);
one!(
    row_level_security_blocks,
    |c| c.tables[1].row_security = true,
    RowSecurity,
    Blocks,
    "app.users",
    NONE,
    "ALTER ROLE \"operator\" BYPASSRLS;"
);
one!(
    an_undeclared_table_that_refers_is_a_warning_with_a_step,
    |c| outside(c, "API tokens", "user_id", USERS),
    UndeclaredReference,
    Warning,
    "app.API tokens",
    ["user_id"],
    "add a step {entity: apiTokens, table: \"app.API tokens\", parent: users, column: user_id} or a keep {table: \"app.API tokens\", reason: ...} to the plan (cascade)"
);
one!(
    an_undeclared_table_that_refers_to_the_organization_by_another_name,
    |c| outside(c, "tokens", "owner", TENANTS),
    UndeclaredReference,
    Warning,
    "app.tokens",
    ["owner"],
    "add a step {entity: tokens, table: app.tokens, organization: owner} or a keep {table: app.tokens, reason: ...} to the plan (cascade)"
);
one!(
    a_kept_table_that_refers_is_a_warning,
    |c| {
        outside(c, "invoices", "tenant_id", TENANTS);
        c.tables[3].declared = vec!["invoices".into()];
    },
    KeptReference,
    Warning,
    "app.invoices",
    ["tenant_id"],
    "ALTER TABLE \"app\".\"invoices\" DROP CONSTRAINT \"outside\"; -- or detach the rows of each organization before you delete it"
);
one!(
    a_column_without_an_index_is_found_once_although_plan_and_key_need_it,
    |c| properties(c, NOTES).indexes.retain(|i| i[0] != "user_id"),
    Unindexed,
    Warning,
    "app.notes",
    ["user_id"],
    "CREATE INDEX CONCURRENTLY ON \"app\".\"notes\" (\"user_id\");"
);
one!(
    an_index_that_leads_with_another_column_does_not_help,
    |c| properties(c, NOTES).indexes = vec![vec!["id".into(), "user_id".into()]],
    Unindexed,
    Warning,
    "app.notes",
    ["user_id"],
    "CREATE INDEX CONCURRENTLY ON \"app\".\"notes\" (\"user_id\");"
);
one!(
    a_partitioned_table_is_not_indexed_concurrently,
    |c| *properties(c, NOTES) = TableProperties { relation: Relation::Partitioned, ..TableProperties::default() },
    Unindexed,
    Warning,
    "app.notes",
    ["user_id"],
    "CREATE INDEX ON \"app\".\"notes\" (\"user_id\"); -- blocks writes while it runs: a partitioned table does not support CONCURRENTLY"
);
one!(
    a_second_path_to_the_organization_needs_an_index_too,
    |c| {
        let column = c.tables[1].columns[1].clone();
        c.tables[2].columns.push(column);
    },
    Unindexed,
    Warning,
    "app.notes",
    ["tenant_id"],
    "CREATE INDEX CONCURRENTLY ON \"app\".\"notes\" (\"tenant_id\");"
);
one!(
    a_key_whose_triggers_are_disabled_protects_nothing,
    |c| c.foreign_keys[1].enforcement = Enforcement::Disabled,
    Unprotected,
    Warning,
    "app.notes",
    ["user_id"],
    "ALTER TABLE \"app\".\"notes\" ENABLE TRIGGER ALL; ALTER TABLE \"app\".\"users\" ENABLE TRIGGER ALL; -- also enables your own triggers"
);
one!(
    a_key_of_one_partition_protects_nothing,
    |c| c.foreign_keys[1].partition = Some(Table::qualified("app", "notes_1")),
    Unprotected,
    Warning,
    "app.notes",
    ["user_id"],
    "ALTER TABLE \"app\".\"notes\" ADD FOREIGN KEY (\"user_id\") REFERENCES \"app\".\"users\" (\"id\"); -- if it fails, first delete the rows that refer to nothing: SELECT c.* FROM \"app\".\"notes\" c WHERE c.\"user_id\" IS NOT NULL AND NOT EXISTS (SELECT FROM \"app\".\"users\" p WHERE p.\"id\" = c.\"user_id\");"
);
one!(
    a_trigger_before_the_row_can_suppress_its_delete,
    |c| properties(c, USERS).triggers.push(trigger(Timing::Before, true)),
    SuppressingTrigger,
    Warning,
    "app.users",
    NONE,
    "SELECT pg_get_functiondef('app.f()'::regprocedure); -- shows what it does"
);
one!(
    a_trigger_after_the_row_can_write,
    |c| properties(c, USERS).triggers.push(trigger(Timing::After, true)),
    WritingTrigger,
    Warning,
    "app.users",
    NONE,
    "SELECT pg_get_functiondef('app.f()'::regprocedure); -- shows what it does"
);
one!(
    a_trigger_before_the_statement_can_write,
    |c| properties(c, USERS).triggers.push(trigger(Timing::Before, false)),
    WritingTrigger,
    Warning,
    "app.users",
    NONE,
    "SELECT pg_get_functiondef('app.f()'::regprocedure); -- shows what it does"
);
one!(
    a_rule_on_a_step_blocks,
    |c| properties(c, USERS).rules.push(rule(false, false)),
    DeleteRule,
    Blocks,
    "app.users",
    NONE,
    "DROP RULE \"r\" ON \"app\".\"users\";"
);
one!(
    a_key_that_is_not_valid_is_a_warning,
    |c| properties(c, NOTES).not_valid.push("notes_user".into()),
    NotValid,
    Warning,
    "app.notes",
    ["user_id"],
    "ALTER TABLE \"app\".\"notes\" VALIDATE CONSTRAINT \"notes_user\"; -- if it fails, first delete the rows that refer to nothing: SELECT c.* FROM \"app\".\"notes\" c WHERE c.\"user_id\" IS NOT NULL AND NOT EXISTS (SELECT FROM \"app\".\"users\" p WHERE p.\"id\" = c.\"user_id\");"
);
one!(
    a_key_that_is_missing_protects_nothing,
    |c| c.foreign_keys.retain(|k| k.name != "notes_user"),
    Unprotected,
    Warning,
    "app.notes",
    ["user_id"],
    "ALTER TABLE \"app\".\"notes\" ADD FOREIGN KEY (\"user_id\") REFERENCES \"app\".\"users\" (\"id\"); -- if it fails, first delete the rows that refer to nothing: SELECT c.* FROM \"app\".\"notes\" c WHERE c.\"user_id\" IS NOT NULL AND NOT EXISTS (SELECT FROM \"app\".\"users\" p WHERE p.\"id\" = c.\"user_id\");"
);
one!(
    a_key_that_is_not_enforced_protects_nothing,
    |c| c.foreign_keys[1].enforcement = Enforcement::NotEnforced,
    Unprotected,
    Warning,
    "app.notes",
    ["user_id"],
    "ALTER TABLE \"app\".\"notes\" ALTER CONSTRAINT \"notes_user\" ENFORCED;"
);
one!(
    no_key_is_proposed_between_columns_of_different_types,
    |c| {
        c.foreign_keys.retain(|k| k.name != "notes_user");
        c.tables[2].columns[1].type_name = "text".into();
    },
    Unprotected,
    Warning,
    "app.notes",
    ["user_id"],
    ""
);

/// Notes have part of the key of users.
fn partial() -> (Plan, Catalog) {
    let mut plan = plan();
    plan.steps[1].column = None;
    plan.steps[1].columns = BTreeMap::from([("user_id".to_owned(), "id".to_owned())]);
    let mut catalog = healthy();
    catalog.tables[1].unique_keys = vec![vec!["tenant_id".into(), "id".into()]];
    catalog.foreign_keys.pop();
    catalog.properties.insert(USERS, TableProperties { size: 123_456_789, ..indexed(&[&["tenant_id", "id"]]) });
    (plan, catalog)
}

#[test]
fn the_proof_for_part_of_a_key_costs_a_scan_without_an_index_on_the_parent() {
    let (plan, mut catalog) = partial();
    let found = |catalog: &Catalog, kind: Kind| -> Vec<Finding> {
        let compiled = compile(&plan, catalog, "operator").expect("compiles");
        assert_eq!(compiled.faults(), None);
        compiled.warnings.into_iter().filter(|f| f.kind == kind).collect()
    };
    let unindexed = found(&catalog, Kind::Unindexed);
    let [finding] = unindexed.as_slice() else { panic!("{unindexed:?}") };
    assert_eq!(
        finding.message,
        "no index of `app.users` begins with (id), so PostgreSQL scans all of `app.users` (more than 100 MB) in each deletion to prove that no other organization's row has the same part of the key"
    );
    assert_eq!(finding.remedy.as_deref(), Some("CREATE INDEX CONCURRENTLY ON \"app\".\"users\" (\"id\");"));
    // No foreign key can refer to it, so none is proposed.
    let unprotected = found(&catalog, Kind::Unprotected);
    assert_eq!(unprotected.iter().map(|f| f.remedy.clone()).collect::<Vec<_>>(), [None]);
    assert!(unprotected[0].message.contains("(no foreign key can refer to part of a key)"), "{unprotected:?}");

    let digest = |catalog: &Catalog| compile(&plan, catalog, "operator").expect("compiles").digest;
    let before = digest(&catalog);
    properties(&mut catalog, USERS).size = 1;
    assert_eq!(digest(&catalog), before, "what is only a cost is not the plan's identity");
    properties(&mut catalog, USERS).indexes.push(vec!["id".into()]);
    assert_eq!(found(&catalog, Kind::Unindexed), []);
}

fn trigger(timing: Timing, per_row: bool) -> Trigger {
    Trigger { name: "t".into(), function: "app.f".into(), timing, per_row, fires: true }
}

fn rule(instead: bool, partial: bool) -> Rule {
    Rule { name: "r".into(), instead, partial, fires: true }
}

#[test]
fn what_does_not_fire_is_not_found() {
    let quiet = change(|c| {
        properties(c, USERS).triggers.push(Trigger { fires: false, ..trigger(Timing::Before, true) });
        properties(c, USERS).rules.push(Rule { fires: false, ..rule(true, true) });
    });
    assert_eq!(quiet, []);
}

#[test]
fn only_rules_that_postgres_runs_in_place_of_a_counted_delete_are_let_pass() {
    for (relation, organization, instead, partial, expected) in [
        (Relation::Table, false, false, false, true),
        (Relation::Table, false, true, false, true),
        (Relation::Table, true, true, false, true),
        (Relation::Table, true, false, false, false),
        (Relation::View, false, true, false, false),
        (Relation::View, false, true, true, true),
        (Relation::View, false, false, false, true),
    ] {
        let found = rule(instead, partial).blocks(relation, organization);
        assert_eq!(found, expected, "{relation:?} organization {organization} instead {instead} partial {partial}");
    }
}

#[test]
fn a_chain_that_breaks_above_is_cured_above() {
    let found = change(|c| c.foreign_keys.retain(|k| k.name != "users_tenant"));
    let remedies: Vec<(&str, &str)> = found.iter().map(|f| (f.2.as_str(), f.4.as_str())).collect();
    let cure = "ALTER TABLE \"app\".\"users\" ADD FOREIGN KEY (\"tenant_id\") REFERENCES \"app\".\"tenants\" (\"id\"); -- if it fails, first delete the rows that refer to nothing: SELECT c.* FROM \"app\".\"users\" c WHERE c.\"tenant_id\" IS NOT NULL AND NOT EXISTS (SELECT FROM \"app\".\"tenants\" p WHERE p.\"id\" = c.\"tenant_id\");";
    assert_eq!(remedies, [("app.users", cure), ("app.notes", "")]);
}

#[test]
fn an_undeclared_table_is_named_with_action_and_path() {
    let mut catalog = healthy();
    outside(&mut catalog, "tokens", "note_id", NOTES);
    catalog.foreign_keys[2].on_delete = OnDelete::Cascade;
    catalog.foreign_keys[2].name = "of note".into();
    let found = found(&catalog);
    let message = &found[0].message;
    for part in [
        "(constraint of note, ON DELETE CASCADE)",
        "the plan does not name it",
        "tokens -> notes -> users -> tenants",
        "PostgreSQL would change these rows",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let caveat = caveat(&found).expect("a caveat");
    assert!(caveat.contains("`app.tokens` (constraint of note)"), "{caveat}");
}

#[test]
fn a_caveat_is_short_and_only_about_rows_that_would_block() {
    let finding = |kind, table: String| Finding::new(Severity::Warning, kind, "m").on(table);
    assert_eq!(caveat(&[finding(Kind::Unindexed, "t".into()), finding(Kind::Unprotected, "t".into())]), None);
    let many: Vec<Finding> = (0..NAMED + 3).map(|i| finding(Kind::UndeclaredReference, format!("t{i}"))).collect();
    let text = caveat(&many).expect("a caveat");
    assert!(text.contains("`t7`, and 3 more.") && !text.contains("`t8`"), "{text}");
    assert!(!caveat(&many[..NAMED]).expect("a caveat").contains("more"));
}

#[test]
fn a_digest_does_not_change_with_what_only_warnings_are_about() {
    let digest = |catalog: &Catalog| compile(&plan(), catalog, "operator").expect("compiles").digest;
    let before = digest(&healthy());
    let mut catalog = healthy();
    properties(&mut catalog, USERS).indexes.clear();
    properties(&mut catalog, USERS).triggers.push(trigger(Timing::After, true));
    assert_eq!(digest(&catalog), before);
    outside(&mut catalog, "tokens", "user_id", USERS);
    assert_ne!(digest(&catalog), before);
}

#[test]
fn every_kind_has_its_word_and_its_line_in_the_documentation() {
    let page = include_str!("../../../../docs/check.md");
    for kind in Kind::VARIANTS {
        assert_eq!(serde_json::to_value(kind).expect("a word"), kind.as_str());
        assert!(page.contains(&format!("| `{kind}` |")), "docs/check.md has no line about {kind}");
    }
}
