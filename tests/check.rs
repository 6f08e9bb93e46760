//! "It tells me before anybody deletes": findings about a live schema, in `organization-operator check`, in `DeletionReady` and
//! in the metrics, and what a fault of the plan costs the API server.

pub mod standby;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{OPERATOR, Operator, Scene, Variant, World, eventually};
use crate::tests;

tests![
    a_healthy_schema_has_nothing_that_blocks,
    what_cannot_be_checked_is_no_answer,
    every_remedy_cures_its_finding,
    a_key_that_is_not_enforced_is_named_where_postgres_has_such,
    what_blocks_is_found_with_its_grant_and_cured,
    a_missing_privilege_on_the_operators_own_schema_blocks,
    a_rule_on_delete_blocks_a_deletion_until_it_is_dropped,
    rows_that_refer_from_outside_are_shown_with_the_way_to_the_organization,
    rows_of_two_organizations_are_found_as_the_deletion_finds_them,
    columns_that_cannot_be_compared_block,
    rows_behind_row_level_security_outside_the_plan_block,
    an_object_is_checked_by_its_name,
    new_tables_show_without_a_restart,
    a_fault_of_the_plan_costs_each_object_one_write_and_its_cure_another,
    an_unusable_plan_costs_each_object_one_write_and_no_event,
];

/// What a check printed, and its exit code.
pub struct Answer {
    pub code: Option<i32>,
    pub text: String,
    errors: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}{}", self.text, self.errors))
    }

    /// Findings of a kind: severity, table, columns and remedy.
    pub fn of(&self, kind: &str) -> Vec<(String, String, String, String)> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let columns = |v: &Value| v.as_array().expect("columns").iter().map(text).collect::<Vec<_>>().join(",");
        let findings = self.json()["findings"].as_array().expect("findings").clone();
        findings
            .iter()
            .filter(|f| f["kind"] == kind)
            .map(|f| (text(&f["severity"]), text(&f["table"]), columns(&f["columns"]), text(&f["remedy"])))
            .collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        let findings = self.json()["findings"].as_array().expect("findings").clone();
        findings.iter().map(|f| f["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Runs the command with this configuration, as the operator's role.
pub async fn run(scene: &Scene, config: &Value, arguments: &[&str], url: &str) -> Answer {
    let config = scene.file("check.yaml", &serde_yaml::to_string(config).expect("YAML"));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_organization-operator"));
    command
        .args(["check", "--config", &config, "--database", &scene.class])
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig())
        .kill_on_drop(true);
    let output = command.output().await.expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    Answer { code: output.status.code(), text: text(&output.stdout), errors: text(&output.stderr) }
}

async fn check(scene: &Scene, arguments: &[&str]) -> Answer {
    run(scene, &json!({}), &[&["-o", "json"], arguments].concat(), &scene.url()).await
}

/// The operator's own schema, without an operator.
pub async fn migrated(world: Arc<World>, variant: Variant) -> Scene {
    let scene = Scene::new(world, variant).await;
    scene.start().await.stop().await;
    scene
}

async fn a_healthy_schema_has_nothing_that_blocks(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.kinds(), ["OwnSchema"], "the operator would create it: {}", answer.text);
    assert_eq!(answer.code, Some(0), "{}", answer.text);
    let answer = run(&scene, &json!({"database": {"migrate": false}}), &["-o", "json"], &scene.url()).await;
    assert_eq!((answer.code, answer.of("OwnSchema")[0].0.as_str()), (Some(1), "Blocks"), "{}", answer.text);

    let operator = scene.start().await;
    let answer = check(&scene, &[]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), Vec::new()), "{}", answer.text);
    assert_eq!(answer.json()["order"].as_array().map(Vec::len), Some(5), "{}", answer.text);
    let table = run(&scene, &json!({}), &[], &scene.url()).await;
    assert!(table.text.contains("Nothing blocks the deletion of an organization; no warnings."), "{}", table.text);
    assert!(!operator.metrics().await.contains("organization_operator_findings{"));
    operator.stop().await;
}

async fn what_cannot_be_checked_is_no_answer(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    let nobody = "postgres://nobody:canary@127.0.0.1:1/none";
    for (config, arguments, url, word) in [
        (json!({}), vec![], nobody.to_owned(), "DatabaseUnavailable"),
        (
            json!({"cascade": {"organization": {"table": "", "key": "id"}}}),
            vec![],
            scene.url(),
            "cascade.organization.table",
        ),
        (json!({}), vec!["nobody-by-this-name"], scene.url(), "nobody-by-this-name"),
        (json!({}), vec!["a", "--id", "b"], scene.url(), "--id"),
    ] {
        let answer = run(&scene, &config, &arguments, &url).await;
        assert_eq!(answer.code, Some(2), "{word}: {}{}", answer.text, answer.errors);
        assert!(answer.errors.contains(word), "{word}: {}", answer.errors);
        assert_eq!(answer.text, "", "{word}");
        assert!(!answer.errors.contains("canary"), "{}", answer.errors);
    }
}

/// Everything that costs or surprises, on a schema with partitions: each finding is there once, and each remedy that is SQL,
/// word for word, takes it away.
async fn every_remedy_cures_its_finding(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    scene
        .sql(
            "DROP INDEX flows_created_by_idx; DROP INDEX task_outputs_flow_execution_id_idx;
             CREATE INDEX half ON task_outputs (flow_execution_id) WHERE task = 'task 1';
             CREATE INDEX other ON task_outputs (task, flow_execution_id);
             CREATE INDEX spoken ON task_outputs (lower(task), flow_execution_id);
             ALTER TABLE flow_executions DROP CONSTRAINT flow_executions_started_by_fkey;
             ALTER TABLE flow_executions ADD CONSTRAINT started FOREIGN KEY (started_by) REFERENCES users NOT VALID;
             DROP TABLE task_statuses;
             CREATE TABLE task_statuses (id uuid, flow_execution_id uuid NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);
             CREATE TABLE task_statuses_1 PARTITION OF task_statuses FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
             CREATE TABLE task_statuses_2 PARTITION OF task_statuses DEFAULT;
             CREATE FUNCTION \"Keep it\"() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
             CREATE TRIGGER suppresses BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION \"Keep it\"();
             CREATE TRIGGER writes AFTER DELETE ON users FOR EACH STATEMENT EXECUTE FUNCTION \"Keep it\"();
             CREATE TRIGGER sleeps BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION \"Keep it\"();
             ALTER TABLE users DISABLE TRIGGER sleeps;
             CREATE TRIGGER inserts BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION \"Keep it\"();
             GRANT SELECT, DELETE ON task_statuses TO organization_operator",
        )
        .await;
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.code, Some(0), "warnings never block: {}", answer.text);
    let mut found = BTreeMap::new();
    for kind in answer.kinds() {
        *found.entry(kind).or_insert(0) += 1;
    }
    let expected =
        [("NotValid", 1), ("SuppressingTrigger", 1), ("Unprotected", 1), ("Unindexed", 3), ("WritingTrigger", 1)];
    assert_eq!(found, expected.map(|(k, n)| (k.to_owned(), n)).into(), "{}", answer.text);
    let unindexed = answer.of("Unindexed");
    let columns: Vec<String> = unindexed.iter().map(|f| format!("{} {}", f.1, f.2)).collect();
    for expected in
        ["public.flows created_by", "public.task_outputs flow_execution_id", "public.task_statuses flow_execution_id"]
    {
        assert!(columns.iter().any(|c| c == expected), "{expected}: {columns:?}");
    }

    // Remedies of triggers only show the function; they must run all the same.
    for kind in ["NotValid", "Unprotected", "Unindexed", "SuppressingTrigger", "WritingTrigger"] {
        for (_, _, _, remedy) in answer.of(kind) {
            scene.sql(&remedy).await;
        }
    }
    let mut left = check(&scene, &[]).await.kinds();
    left.sort();
    assert_eq!(left, ["SuppressingTrigger", "WritingTrigger"]);
}

/// PostgreSQL 18 has them.
async fn a_key_that_is_not_enforced_is_named_where_postgres_has_such(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    if scene.value::<i32>("SELECT current_setting('server_version_num')::int").await < 180_000 {
        return;
    }
    scene.sql("ALTER TABLE flow_executions ALTER CONSTRAINT flow_executions_flow_id_fkey NOT ENFORCED").await;
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.code, Some(0), "{}", answer.text);
    assert_eq!(answer.kinds(), ["Unprotected"; 3], "its table and the two below: {}", answer.text);
    let remedies: Vec<String> = answer.of("Unprotected").into_iter().map(|f| f.3).filter(|r| !r.is_empty()).collect();
    assert_eq!(remedies.len(), 1, "{}", answer.text);
    scene.sql(&remedies[0]).await;
    assert_eq!(check(&scene, &[]).await.kinds(), Vec::<String>::new());
}

async fn what_blocks_is_found_with_its_grant_and_cured(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    scene
        .sql(
            "CREATE SCHEMA apart; CREATE TABLE apart.notes (id int, user_id uuid REFERENCES users, organization_id uuid);
             REVOKE DELETE ON task_outputs FROM organization_operator; REVOKE UPDATE ON organizations FROM organization_operator;
             REVOKE UPDATE (is_active) ON organizations FROM organization_operator;
             ALTER TABLE flow_executions RENAME started_by TO starter; ALTER TABLE task_statuses RENAME TO statuses",
        )
        .await;
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.text);
    let json = answer.json();
    assert_eq!((&json["ready"], &json["order"]), (&json!(false), &json!([])), "{}", answer.text);
    for (kind, table) in [
        ("MissingTable", "task_statuses"),
        ("Unclassified", "apart.notes"),
        ("MissingPrivilege", "public.task_outputs"),
        ("MissingPrivilege", "public.organizations"),
        ("MissingPrivilege", "apart.notes"),
    ] {
        let found = answer.of(kind);
        assert!(found.iter().any(|f| f.0 == "Blocks" && f.1 == table), "{kind} {table}: {}", answer.text);
    }
    let table = run(&scene, &json!({}), &[], &scene.url()).await;
    assert!(
        table.text.contains("GRANT DELETE ON \"public\".\"task_outputs\" TO \"organization_operator\";"),
        "{}",
        table.text
    );

    scene.sql("ALTER TABLE statuses RENAME TO task_statuses; DROP SCHEMA apart CASCADE").await;
    for (_, _, _, remedy) in answer.of("MissingPrivilege").iter().filter(|f| f.1.starts_with("public.")) {
        scene.sql(remedy).await;
    }
    let answer = check(&scene, &[]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), Vec::new()), "{}", answer.text);

    // The operator's role is shared by all tests: row-level security is not cured by the remedy here.
    scene.sql("ALTER TABLE users ENABLE ROW LEVEL SECURITY").await;
    let answer = check(&scene, &["--id", &scene.key(1)]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(1), vec!["RowSecurity".to_owned()]), "{}", answer.text);
    scene.sql("ALTER TABLE organizations RENAME TO tenants").await;
    let answer = check(&scene, &["--id", &scene.key(1)]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(1), vec!["MissingTable".to_owned()]), "{}", answer.text);
}

/// Each privilege in turn, then all of them. What the finding says is what cures it, word for word.
async fn a_missing_privilege_on_the_operators_own_schema_blocks(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    let mut wanted = vec![("USAGE", String::new(), "SCHEMA \"organization_operator\"".to_owned())];
    for (table, privileges) in [
        ("installation", &["SELECT"][..]),
        ("migrations", &["SELECT"]),
        ("ledger", &["SELECT", "INSERT", "UPDATE"]),
        ("standbys", &["SELECT", "INSERT"]),
        ("claims", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("captured_keys", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
        ("earlier_captured_keys", &["SELECT", "DELETE"]),
        ("erasures", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ] {
        for privilege in privileges {
            let quoted = format!("\"organization_operator\".\"{table}\"");
            wanted.push((privilege, format!("organization_operator.{table}"), quoted));
        }
    }
    for (privilege, table, object) in &wanted {
        scene.sql(&format!("REVOKE {privilege} ON {object} FROM organization_operator")).await;
        // Its own records also tell in which database an object was claimed.
        for arguments in [vec![], vec!["--id", &acme], vec![&scene.name("acme")]] {
            let answer = check(&scene, &arguments).await;
            let what = format!("{privilege} {object} {arguments:?}: {}{}", answer.text, answer.errors);
            let found = answer.of("MissingPrivilege");
            assert_eq!((answer.code, found.len()), (Some(1), 1), "{what}");
            let grant = format!("GRANT {privilege} ON {object} TO \"organization_operator\";");
            assert_eq!(found[0], ("Blocks".to_owned(), table.clone(), String::new(), grant), "{what}");
        }
        let table = run(&scene, &json!({}), &[], &scene.url()).await;
        assert!(table.text.contains("1 finding blocks the deletion of an organization"), "{}", table.text);
        scene.sql(&check(&scene, &[]).await.of("MissingPrivilege")[0].3).await;
    }
    for (privilege, _, object) in &wanted {
        scene.sql(&format!("REVOKE {privilege} ON {object} FROM organization_operator")).await;
    }
    let answer = check(&scene, &[]).await;
    let found = answer.of("MissingPrivilege");
    assert_eq!((answer.code, found.len()), (Some(1), wanted.len()), "{}", answer.text);
    for (_, _, _, remedy) in &found {
        scene.sql(remedy).await;
    }
    let answer = check(&scene, &[]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), Vec::new()), "{}", answer.text);
}

async fn a_rule_on_delete_blocks_a_deletion_until_it_is_dropped(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let rows = scene.total(&acme).await;
    scene.sql("CREATE RULE \"Keep\" AS ON DELETE TO flows DO INSTEAD NOTHING").await;
    let operator = scene.operator().launch().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert!(seen.message("DeletionReady").contains("the rule Keep of `public.flows`"), "{}", seen.yaml());
    let answer = check(&scene, &[]).await;
    let found = answer.of("DeleteRule");
    assert_eq!((answer.code, found.len()), (Some(1), 1), "{}", answer.text);
    scene.delete("acme").await;
    scene.until("acme", "blocked", |s| s.is("DeletionBlocked", "True")).await;
    assert_eq!(scene.total(&acme).await, rows, "nothing was deleted");
    scene.sql(&found[0].3).await;
    scene.gone("acme").await;
    assert_eq!(scene.total(&acme).await, 0);
    operator.stop().await;
}

async fn rows_that_refer_from_outside_are_shown_with_the_way_to_the_organization(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(&format!(
            "CREATE TABLE audit_links (n int PRIMARY KEY, output_id uuid NOT NULL CONSTRAINT of_output REFERENCES task_outputs);
             CREATE INDEX ON audit_links (output_id); GRANT SELECT ON audit_links TO organization_operator;
             INSERT INTO audit_links SELECT row_number() OVER (), id FROM task_outputs;
             UPDATE flows SET created_by = (SELECT id FROM users WHERE organization_id = '{acme}' LIMIT 1)
                 WHERE organization_id = '{globex}';"
        ))
        .await;
    let others = scene.others(&[]).await;
    let general = check(&scene, &[]).await;
    assert_eq!(general.code, Some(0), "{}", general.text);
    assert_eq!(general.kinds(), ["UndeclaredReference"], "{}", general.text);
    assert!(general.text.contains("audit_links -> task_outputs -> flow_executions -> flows -> organizations"));

    let answer = check(&scene, &["--id", &acme.to_uppercase()]).await;
    let json = answer.json();
    assert_eq!(answer.code, Some(1), "{}", answer.text);
    let expected = json!({"id": acme, "state": "Active", "referencesChecked": true});
    assert_eq!(json["organization"], expected, "{}", answer.text);
    let found = answer.of("ReferenceFromOutside");
    let mut tables: Vec<&str> = found.iter().map(|f| f.1.as_str()).collect();
    tables.sort_unstable();
    assert_eq!(tables, ["public.audit_links", "public.flows"], "{}", answer.text);
    assert!(
        answer.text.contains(
            "(constraint of_output): audit_links -> task_outputs -> flow_executions -> flows -> organizations"
        ),
        "{}",
        answer.text
    );
    assert_eq!(json["blocks"], 2);
    assert_eq!(scene.others(&[]).await, others, "a check changes nothing");

    // The first remedy word for word; what another organization's rows should refer to, only a person can know.
    scene.sql(&found.iter().find(|f| f.1 == "public.audit_links").expect("audit_links").3).await;
    scene.sql(&format!("UPDATE flows SET created_by = NULL WHERE organization_id = '{globex}'")).await;
    let answer = check(&scene, &["--id", &acme]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), vec!["UndeclaredReference".to_owned()]), "{}", answer.text);
    let answer = check(&scene, &["--id", &globex]).await;
    assert_eq!(answer.code, Some(1), "the other one's rows are still there: {}", answer.text);

    let answer = check(&scene, &["--id", &scene.key(9)]).await;
    assert_eq!(answer.code, Some(0), "{}", answer.text);
    assert_eq!(answer.kinds(), ["OrganizationNotFound", "UndeclaredReference"], "{}", answer.text);
    let answer = check(&scene, &["--id", "no uuid"]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.text);
    assert_eq!(answer.of("InvalidOrganizationId").len(), 1, "{}", answer.text);
}

/// A table in two steps, whose columns disagree about a row.
async fn rows_of_two_organizations_are_found_as_the_deletion_finds_them(world: Arc<World>) {
    let scene = migrated(world, Variant::Ordinary).await;
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    scene
        .sql(&format!(
            "ALTER TABLE flow_executions ADD organization_id uuid REFERENCES organizations;
             CREATE INDEX ON flow_executions (organization_id);
             UPDATE flow_executions SET organization_id = '{globex}' WHERE id = (SELECT e.id FROM flow_executions e
                 JOIN flows f ON f.id = e.flow_id WHERE f.organization_id = '{acme}' LIMIT 1)"
        ))
        .await;
    let config = json!({"cascade": {
        "organization": {"table": "organizations", "key": "id"},
        "steps": [
            {"entity": "users", "table": "users", "organization": "organization_id"},
            {"entity": "flows", "table": "flows", "organization": "organization_id"},
            {"entity": "flowExecutions", "table": "flow_executions", "parent": "flows", "column": "flow_id"},
            {"entity": "flowExecutions", "table": "flow_executions", "organization": "organization_id"},
            {"entity": "taskOutputs", "table": "task_outputs", "parent": "flowExecutions", "column": "flow_execution_id"},
            {"entity": "taskStatuses", "table": "task_statuses", "parent": "flowExecutions", "column": "flow_execution_id"},
        ],
    }});
    let general = run(&scene, &config, &["-o", "json"], &scene.url()).await;
    assert_eq!(general.code, Some(0), "{}", general.text);
    for key in [&acme, &globex] {
        let answer = run(&scene, &config, &["-o", "json", "--id", key], &scene.url()).await;
        let found = answer.of("SharedRows");
        assert_eq!((answer.code, found.len()), (Some(1), 1), "{}", answer.text);
        let (severity, table, _, remedy) = &found[0];
        assert_eq!((severity.as_str(), table.as_str()), ("Blocks", "public.flow_executions"), "{}", answer.text);
        assert!(answer.text.contains("1 row of `public.flow_executions` belongs to this organization by one column, but to another organization"), "{}", answer.text);
        // It shows the rows; which organization they belong to, only a person knows.
        scene.sql(remedy).await;
    }
    scene.sql("UPDATE flow_executions SET organization_id = NULL").await;
    let answer = run(&scene, &config, &["-o", "json", "--id", &acme], &scene.url()).await;
    assert_eq!((answer.code, answer.of("SharedRows").len()), (Some(0), 0), "{}", answer.text);
}

/// The built-in plan, and a table `notes` with a column for the organization.
pub fn with_notes() -> Value {
    json!({
        "organization": {"table": "organizations", "key": "id", "active": {"column": "is_active", "inactive": false}},
        "tenantColumns": ["organization_id"],
        "steps": [
            {"entity": "users", "table": "users", "organization": "organization_id"},
            {"entity": "flows", "table": "flows", "organization": "organization_id"},
            {"entity": "flowExecutions", "table": "flow_executions", "parent": "flows", "column": "flow_id"},
            {"entity": "taskOutputs", "table": "task_outputs", "parent": "flowExecutions", "column": "flow_execution_id"},
            {"entity": "taskStatuses", "table": "task_statuses", "parent": "flowExecutions", "column": "flow_execution_id"},
            {"entity": "notes", "table": "notes", "organization": "organization_id"},
        ],
    })
}

/// The id is a good one: it is the schema that does not fit.
async fn columns_that_cannot_be_compared_block(world: Arc<World>) {
    let scene = migrated(world, Variant::Text).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene
        .sql(
            "CREATE TABLE notes (id int PRIMARY KEY, organization_id bigint NOT NULL);
             GRANT SELECT, DELETE ON notes TO organization_operator",
        )
        .await;
    let config = json!({"cascade": with_notes()});
    let answer = run(&scene, &config, &["-o", "json", "--id", &acme], &scene.url()).await;
    let found = answer.of("PlanMismatch");
    assert_eq!((answer.code, found.len()), (Some(1), 1), "{}{}", answer.text, answer.errors);
    assert_eq!(answer.of("InvalidOrganizationId").len(), 0, "{}", answer.text);
    scene.sql(&found[0].3).await;
    let answer = run(&scene, &config, &["-o", "json", "--id", &acme], &scene.url()).await;
    assert_eq!((answer.code, answer.of("PlanMismatch").len()), (Some(0), 0), "{}{}", answer.text, answer.errors);
}

/// Nobody can see whether such rows refer to an organization, and the deletion would fail at its check.
async fn rows_behind_row_level_security_outside_the_plan_block(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    scene
        .sql(
            "CREATE TABLE notes (id int PRIMARY KEY, user_id uuid REFERENCES users); CREATE INDEX ON notes (user_id);
             GRANT SELECT ON notes TO organization_operator; ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
        )
        .await;
    for arguments in [vec![], vec!["--id", &acme]] {
        let answer = check(&scene, &arguments).await;
        let found = answer.of("RowSecurity");
        assert_eq!((answer.code, found.len()), (Some(1), 1), "{}", answer.text);
        assert_eq!(found[0].1, "public.notes", "{}", answer.text);
        assert_eq!(found[0].3, "ALTER ROLE \"organization_operator\" BYPASSRLS;");
    }
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert_eq!(seen.reason("DeletionReady"), "PermissionDenied", "{}", seen.yaml());
    assert!(
        seen.message("DeletionReady").contains("row-level security of the table `public.notes`"),
        "{}",
        seen.yaml()
    );

    // The operator's role is shared by all tests: it is not cured by the remedy here.
    scene.sql("ALTER TABLE notes DISABLE ROW LEVEL SECURITY").await;
    scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    operator.stop().await;
}

async fn an_object_is_checked_by_its_name(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete").state("Deactivated")).await;
    scene.ready("acme").await;
    let answer = check(&scene, &[&scene.name("acme")]).await;
    assert_eq!((answer.code, answer.kinds()), (Some(0), Vec::new()), "{}", answer.text);
    let organization = &answer.json()["organization"];
    let expected = json!({"name": scene.name("acme"), "id": acme, "state": "Deactivated", "referencesChecked": true});
    assert_eq!(*organization, expected);
    let table = run(&scene, &json!({}), &[&scene.name("acme")], &scene.url()).await;
    assert!(
        table.text.starts_with(&format!("Organization  {}, id {acme}: Deactivated\n", scene.name("acme"))),
        "{}",
        table.text
    );

    // An object that another operator serves is not judged by this one's database.
    let mut elsewhere = Scene::new(scene.world.clone(), Variant::Ordinary).await;
    "another".clone_into(&mut elsewhere.class);
    let answer = check(&elsewhere, &[&scene.name("acme")]).await;
    assert_eq!(answer.code, Some(2), "{}", answer.text);
    assert!(answer.errors.contains(&scene.class), "{}", answer.errors);
    operator.stop().await;
}

/// The value of `organization_operator_findings`.
async fn findings(operator: &Operator, kind: &str, severity: &str) -> Option<String> {
    let line = format!("organization_operator_findings{{kind=\"{kind}\",severity=\"{severity}\"}} ");
    operator.metrics().await.lines().find_map(|l| l.strip_prefix(&line).map(str::to_owned))
}

async fn new_tables_show_without_a_restart(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &acme)).await;
    let seen = scene.until("acme", "DeletionReady", |s| s.is("DeletionReady", "True")).await;
    assert!(!seen.message("DeletionReady").contains("tables"), "{}", seen.yaml());

    scene
        .sql(
            "CREATE TABLE api_tokens (id int PRIMARY KEY, user_id uuid CONSTRAINT token_user REFERENCES users);
             GRANT SELECT ON api_tokens TO organization_operator",
        )
        .await;
    let shown =
        |s: &crate::support::Seen| s.message("DeletionReady").contains("`public.api_tokens` (constraint token_user)");
    let seen = scene.until("acme", "the table in DeletionReady", shown).await;
    assert!(seen.is("DeletionReady", "True"), "a warning never blocks: {}", seen.yaml());
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.code, Some(0), "{}", answer.text);
    let step = "add a step {entity: apiTokens, table: public.api_tokens, parent: users, column: user_id} or a keep {table: public.api_tokens, reason: ...} to the plan (cascade)";
    assert_eq!(answer.of("UndeclaredReference")[0].3, step);
    assert_eq!(answer.of("Unindexed").len(), 1, "{}", answer.text);
    eventually("the metric", || findings(&operator, "UndeclaredReference", "Warning")).await;
    assert_eq!(operator.fetch("/readyz").await.map(|a| a.0), Some(200));

    scene.sql("CREATE TABLE notes (id int PRIMARY KEY, organization_id uuid)").await;
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert!(seen.message("DeletionReady").contains("`public.notes`"), "{}", seen.yaml());
    assert!(seen.is("Ready", "True"), "{}", seen.yaml());
    let answer = check(&scene, &[]).await;
    assert_eq!(answer.code, Some(1), "{}", answer.text);
    assert_eq!(answer.of("Unclassified").len(), 1, "{}", answer.text);
    eventually("the metric", || findings(&operator, "Unclassified", "Blocks")).await;
    let (status, text) = operator.fetch("/readyz").await.expect("an answer");
    assert!(status == 503 && text.contains("organization-operator check"), "{status} {text}");

    scene.sql("DROP TABLE notes, api_tokens").await;
    let healed =
        |s: &crate::support::Seen| s.is("DeletionReady", "True") && !s.message("DeletionReady").contains("tables");
    scene.until("acme", "healed", healed).await;
    eventually("no finding", || async { findings(&operator, "Unclassified", "Blocks").await.is_none().then_some(()) })
        .await;
    operator.stop().await;
}

/// How many objects are watched.
const MANY: u32 = 12;

/// Many ready objects, and an operator whose statements can be counted.
async fn many(scene: &Scene, proxy: &testbed::proxy::SqlProxy) -> Operator {
    let keys: Vec<String> = (1..=MANY).map(|n| scene.key(n)).collect();
    scene.seed_many(&keys).await;
    let launch = scene.operator().url(&scene.url_through(proxy));
    let operator = launch.start().await;
    let manifests: Vec<String> = (1..=MANY).map(|n| scene.org(&format!("o{n}"), &scene.key(n)).yaml()).collect();
    let file = scene.file("many.yaml", &manifests.join("---\n"));
    scene.ok(&["apply", "-f", &file]).await;
    all(scene, "ready", |s| s.is("Ready", "True") && s.is("DeletionReady", "True")).await;
    // The catalogue is read once a round.
    proxy.count_only(|what| what.contains("pg_rewrite"));
    proxy.record();
    operator
}

async fn all(scene: &Scene, what: &str, wanted: impl Fn(&crate::support::Seen) -> bool) {
    for n in 1..=MANY {
        scene.until(&format!("o{n}"), what, &wanted).await;
    }
}

/// Waits for several polls of the database: longer than the slowest retry of the tests.
async fn rounds(proxy: &testbed::proxy::SqlProxy) {
    let before = proxy.count();
    eventually("rounds", || async { (proxy.count() > before + 6).then_some(()) }).await;
}

/// Status writes and Events of the operator about each object so far.
fn writes(scene: &Scene) -> BTreeMap<String, (usize, usize)> {
    let mut writes = BTreeMap::new();
    for event in scene.world.control_plane().audit_events().expect("the audit log") {
        let name = event.name.split('.').next().unwrap_or_default();
        if event.is_write() && event.user == OPERATOR && name.ends_with(&format!("-{}", scene.class)) {
            let entry: &mut (usize, usize) = writes.entry(name.to_owned()).or_default();
            entry.0 += usize::from(event.subresource == "status");
            entry.1 += usize::from(event.resource == "events");
        }
    }
    writes
}

/// Asserts that each object got as many status writes since, and no Event.
fn wrote(scene: &Scene, before: &BTreeMap<String, (usize, usize)>, times: usize, what: &str) {
    let now = writes(scene);
    assert_eq!(now.len(), MANY as usize, "{now:?}");
    for (name, (status, events)) in now {
        let (old_status, old_events) = before.get(&name).copied().unwrap_or_default();
        assert_eq!((status - old_status, events - old_events), (times, 0), "{what}: {name}");
    }
}

async fn a_fault_of_the_plan_costs_each_object_one_write_and_its_cure_another(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let proxy = scene.sql_proxy().await;
    let operator = many(&scene, &proxy).await;
    rounds(&proxy).await;
    let before = writes(&scene);

    scene.sql("CREATE TABLE notes (id int PRIMARY KEY, organization_id uuid)").await;
    all(&scene, "faulty", |s| s.is("DeletionReady", "False") && s.is("Ready", "True")).await;
    rounds(&proxy).await;
    wrote(&scene, &before, 1, "one write while it is faulty");

    scene.sql("DROP TABLE notes").await;
    all(&scene, "healed", |s| s.is("DeletionReady", "True")).await;
    rounds(&proxy).await;
    wrote(&scene, &before, 2, "one write when it heals");

    // What only costs time is not written to any object.
    scene.sql("DROP INDEX flows_created_by_idx").await;
    eventually("the metric", || findings(&operator, "Unindexed", "Warning")).await;
    rounds(&proxy).await;
    wrote(&scene, &before, 2, "an index");
    operator.stop().await;
}

async fn an_unusable_plan_costs_each_object_one_write_and_no_event(world: Arc<World>) {
    for (fault, cure, reason) in [
        (
            "ALTER TABLE organizations RENAME TO tenants",
            "ALTER TABLE tenants RENAME TO organizations",
            "SchemaMismatch",
        ),
        (
            "REVOKE SELECT ON users FROM organization_operator",
            "GRANT SELECT ON users TO organization_operator",
            "PermissionDenied",
        ),
    ] {
        let scene = Scene::new(world.clone(), Variant::Ordinary).await;
        let proxy = scene.sql_proxy().await;
        let operator = many(&scene, &proxy).await;
        rounds(&proxy).await;
        let before = writes(&scene);

        scene.sql(fault).await;
        all(&scene, "faulty", |s| s.is("Ready", "False") && s.reason("DeletionReady") == reason).await;
        rounds(&proxy).await;
        wrote(&scene, &before, 1, fault);
        eventually("not ready", || async { operator.fetch("/readyz").await.filter(|a| a.0 == 503) }).await;
        let warnings = operator.log().lines().filter(|l| l.contains(reason)).count();
        assert!(warnings <= 2, "it is logged {warnings} times");

        scene.sql(cure).await;
        all(&scene, "healed", |s| s.is("Ready", "True") && s.is("DeletionReady", "True")).await;
        rounds(&proxy).await;
        wrote(&scene, &before, 2, cure);
        operator.wait_ready().await;
        operator.stop().await;
    }
}
