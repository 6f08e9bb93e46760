//! "I get a plan from my own schema, see what it would delete, and rehearse it, before anything is deleted."

pub mod decisions;
pub mod groups;

use std::sync::Arc;

use organization_operator::config::Config;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Scene, Variant, World, binary, path};
use crate::tests;

tests![
    a_drafted_plan_fits_every_example,
    a_drafted_plan_fits_a_larger_platform,
    the_documentation_shows_real_output,
    a_table_has_one_entity_in_a_draft_and_in_a_check,
    what_cannot_be_placed_blocks_until_a_person_has_decided,
    a_file_that_is_there_is_never_overwritten,
    a_plan_shows_what_would_be_deleted,
    a_plan_shows_what_one_statement_deletes,
    a_plan_with_faults_says_so,
    a_rehearsal_changes_nothing_and_counts_what_the_deletion_counts,
    a_rehearsal_shows_a_blocker_as_status_does,
    a_rehearsal_finds_what_only_the_commit_would_find,
    a_rehearsal_that_cannot_be_tried_says_why,
    a_rehearsal_waits_for_a_lock_only_as_long_as_configured,
    rehearsals_do_not_hinder_a_deletion,
    an_object_of_another_database_is_refused_by_every_command,
];

/// What a command printed, and its exit code.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// Insists on an exit code.
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

/// Runs the binary by hand, as the operator's role.
pub async fn run(scene: &Scene, arguments: &[&str]) -> Said {
    run_at(scene, &scene.url(), arguments).await
}

pub async fn run_at(scene: &Scene, url: &str, arguments: &[&str]) -> Said {
    run_for(scene, url, &scene.class, arguments).await
}

/// As the operator of another `spec.database`.
async fn run_for(scene: &Scene, url: &str, database: &str, arguments: &[&str]) -> Said {
    let mut command = tokio::process::Command::new(binary());
    command.env("DATABASE", database);
    command.args(arguments).env("DATABASE_URL", url).env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig());
    command.env_remove("CONFIG");
    said(command).await
}

/// What a command says until it ends.
pub async fn said(mut command: tokio::process::Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.expect("it ends").expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().expect("an exit code"), out: text(&output.stdout), err: text(&output.stderr) }
}

/// The plan of the example, as a configuration file.
fn config(scene: &Scene) -> String {
    let limits = "database: {lockTimeoutSeconds: 1, statementTimeoutSeconds: 20}\n";
    let plan = scene.variant.plan().map(|p| std::fs::read_to_string(path(p)).expect("a plan")).unwrap_or_default();
    scene.file("by-hand.yaml", &format!("{limits}{plan}"))
}

/// Drafts a plan into a file, and returns the file.
pub async fn draft(scene: &Scene, url: &str, organization: &str) -> (String, String) {
    let said = run_at(scene, url, &["plan", "init", "--organization", organization]).await.with(0);
    let file = scene.file(&format!("draft-{}.yaml", scene.world.number()), &said.out);
    Config::load(Some(std::path::Path::new(&file))).unwrap_or_else(|e| panic!("{e}: {}", said.out));
    (file, said.out)
}

/// Everything that a rehearsal could change: all rows of all tenants, claims, ledger, captured keys.
async fn everything(scene: &Scene) -> String {
    let own = "SELECT string_agg(x, ',' ORDER BY x) FROM (SELECT c::text AS x FROM organization_operator.claims c \
        UNION ALL SELECT l::text FROM organization_operator.ledger l \
        UNION ALL SELECT r::text FROM organization_operator.captured_keys r) s";
    let own: Option<String> = scene.value(own).await;
    format!("{} {own:?}", scene.others(&[]).await)
}

/// `(table, column)` of each step, in order.
fn steps(shown: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    shown["steps"].as_array().expect("steps").iter().map(|s| (text(&s["table"]), text(&s["belongsBy"]))).collect()
}

async fn a_drafted_plan_fits_every_example(world: Arc<World>) {
    for variant in Variant::ALL {
        let scene = Scene::new(world.clone(), variant).await;
        for number in 1..3 {
            scene.seed(&scene.key(number)).await;
        }
        let mixed = variant == Variant::MixedCase;
        let organization = if mixed { "Organization" } else { "organizations" };
        let (file, text) = draft(&scene, &scene.url(), organization).await;
        assert!(!text.contains("unclassified:\n"), "{variant:?}: {text}");
        let shown = run(&scene, &["plan", "show", "--config", &file, "-o", "json"]).await.with(0).json();
        assert_eq!(shown["usable"], true, "{variant:?}: {shown}");
        let found: Vec<String> = steps(&shown).into_iter().map(|s| s.1).collect();
        let (flow, execution, tenant) = if mixed {
            (
                "flowId -> Flow.organizationId",
                "flowExecutionId -> FlowExecution.flowId -> Flow.organizationId",
                "organizationId",
            )
        } else {
            (
                "flow_id -> flows.organization_id",
                "flow_execution_id -> flow_executions.flow_id -> flows.organization_id",
                "organization_id",
            )
        };
        assert_eq!(found, [execution, execution, flow, tenant, tenant], "{variant:?}");
        let switched = &shown["organization"]["switchedOffBy"];
        assert_eq!(*switched, if mixed { "deactivatedAt = now" } else { "is_active = false" });
        for step in shown["steps"].as_array().expect("steps") {
            assert_eq!(step["protected"], variant != Variant::NoKeys, "{variant:?}: {step}");
        }
        // It deletes exactly what belongs to the tenant, and leaves everything as it is.
        let before = scene.others(&[]).await;
        let said = run(&scene, &["rehearse", "--id", &scene.key(1), "--config", &file, "-o", "json"]).await.with(0);
        assert_eq!(deleted(&said.json()), scene.total(&scene.key(1)).await, "{variant:?}: {}", said.out);
        assert_eq!(scene.others(&[]).await, before);
    }
}

/// Rows that a rehearsal deleted, the organization among them.
pub fn deleted(rehearsed: &Value) -> i64 {
    let steps = rehearsed["steps"].as_array().expect("steps");
    steps.iter().filter_map(|s| s["deleted"].as_i64()).sum::<i64>()
        + rehearsed["organizations"].as_i64().expect("a number")
}

async fn larger(world: Arc<World>) -> (Scene, String) {
    with_schema(world, &std::fs::read_to_string(path("tests/schemas/larger.sql")).expect("the schema")).await
}

/// A database with this schema, and its administrator's URL.
pub async fn with_schema(world: Arc<World>, schema: &str) -> (Scene, String) {
    let number = world.number();
    let database = format!("schema_{}_{number}", std::process::id());
    world.postgres().create_database(&database).await.expect("a database");
    let scene = Scene::of(world, Variant::Platform, database, format!("t{number}"));
    scene.sql(schema).await;
    let url = scene.world.postgres().admin_url(&scene.database);
    (scene, url)
}

/// The draft of `tests/schemas/larger.sql` after a person decided: people and their sessions stay.
fn people_stay(scene: &Scene, text: &str) -> String {
    let (decided, _) =
        text.split_once("  # The operator deletes nothing while this list").expect("unclassified tables");
    let decided = decided.replace("global: [countries]", "global: [accounts, countries, sessions]");
    assert!(decided.contains("accounts, countries"), "{text}");
    scene.file("decided.yaml", &decided)
}

/// Whoever copies a step from a check into a drafted plan must not meet two spellings of one name.
async fn a_table_has_one_entity_in_a_draft_and_in_a_check(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene
        .sql(
            "CREATE TABLE \"IntegrationDeployment\" (id int PRIMARY KEY, organization_id uuid REFERENCES organizations);
             CREATE TABLE \"Flow notes\" (id int PRIMARY KEY, flow_id uuid REFERENCES flows);
             CREATE SCHEMA apart; CREATE TABLE apart.users (id int PRIMARY KEY, organization_id uuid REFERENCES organizations);
             GRANT SELECT ON \"IntegrationDeployment\", \"Flow notes\" TO organization_operator",
        )
        .await;
    let drafted = run(&scene, &["plan", "init", "--organization", "organizations"]).await.with(0).out;
    let checked = run(&scene, &["check", "--config", &config(&scene)]).await.with(1).out;
    for (table, entity) in
        [("IntegrationDeployment", "integrationDeployment"), ("Flow notes", "flowNotes"), ("apart.users", "apartUsers")]
    {
        // A table is written with its schema where it may be another one of the search path.
        let named = |text: &str| {
            let of_table = |l: &&str| l.contains("entity: ") && l.contains(table) && l.contains("table: ");
            let line = text.lines().find(of_table).unwrap_or_else(|| panic!("{table} in {text}"));
            let rest = line.split_once("entity: ").expect("an entity").1;
            rest.split_once(',').expect("an end").0.to_owned()
        };
        assert_eq!((named(&drafted).as_str(), named(&checked).as_str()), (entity, entity), "{drafted}{checked}");
    }
}

/// Every line of the three examples of docs/plan.md is a line of real output, and the other way round.
async fn the_documentation_shows_real_output(world: Arc<World>) {
    let (scene, url) = larger(world).await;
    let (_, text) = draft(&scene, &url, "organizations").await;
    let file = people_stay(&scene, &text);
    let shown = run_at(&scene, &url, &["plan", "show", "--config", &file, "--id", "1"]).await.with(0);
    let rehearsed = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "1"]).await.with(0);
    let (open, _) = draft(&scene, &url, "organizations").await;
    let faulty = run_at(&scene, &url, &["plan", "show", "--config", &open]).await.with(1).out;
    let (_, faults) = faulty.split_once("This plan cannot be used").expect("faults");
    let faults = format!("...\nThis plan cannot be used{faults}");
    scene
        .sql(
            "CREATE TABLE flow_notes (id bigint PRIMARY KEY, flow_id bigint NOT NULL REFERENCES flows); \
              CREATE TABLE outbox (id bigint PRIMARY KEY, payload jsonb); CREATE TABLE currencies (code text PRIMARY KEY); \
              INSERT INTO outbox VALUES (1, '{\"organization\": 1}'); DROP TABLE sessions",
        )
        .await;
    let updated = run_at(&scene, &url, &["plan", "init", "--update", &file]).await.with(0).out;
    let updated = updated.replace(&file, "config.yaml");
    let documentation = std::fs::read_to_string(path("docs/plan.md")).expect("the documentation");
    let block = |start: &str| {
        let (_, rest) =
            documentation.split_once(start).unwrap_or_else(|| panic!("{start} is not in the documentation"));
        rest.split_once("```").expect("an end").0.to_owned()
    };
    // How long it took is another time each time, and what is on standard error comes first.
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with("Rehearsing"));
        lines.map(|l| if l.contains(" rows in ") { "rows in".to_owned() } else { l.trim_end().to_owned() }).collect()
    };
    for (start, output) in [
        ("```yaml\n", &text),
        ("$ organization-operator plan show --config config.yaml --id 1\n", &shown.out),
        ("$ organization-operator rehearse --config config.yaml --id 1\n", &rehearsed.out),
        ("$ organization-operator plan show --config config.yaml\n", &faults),
        ("$ organization-operator plan init --update config.yaml\n", &updated),
    ] {
        assert_eq!(lines(&block(start)), lines(output), "{start}");
    }
}

async fn a_drafted_plan_fits_a_larger_platform(world: Arc<World>) {
    let (scene, url) = larger(world).await;
    let (file, text) = draft(&scene, &url, "organizations").await;
    let config = Config::load(Some(std::path::Path::new(&file))).expect("a configuration");
    let plan = serde_json::to_value(&config.cascade.plan).expect("a plan");
    let of = "organization_id";
    assert_eq!(
        plan["steps"],
        json!([
            {"entity": "taskOutputs", "table": "Task Outputs", "parent": "flowExecutions",
                "columns": {"flow_execution": "id", "execution_started": "started_at"}},
            {"entity": "auditLog", "table": "audit_log", "organization": of},
            {"entity": "invoices", "table": "billing.invoices", "parent": "subscriptions", "column": "subscription"},
            {"entity": "billingProjects", "table": "billing.projects", "organization": of},
            {"entity": "subscriptions", "table": "billing.subscriptions", "organization": of},
            {"entity": "comments", "table": "comments", "parent": "flows", "column": "flow_id"},
            {"entity": "comments", "table": "comments", "parent": "flowVersions", "column": "version_id"},
            {"entity": "flowExecutions", "table": "flow_executions", "parent": "flows", "column": "flow_id"},
            {"entity": "flowMetrics", "table": "flow_metrics", "parent": "flows", "column": "flow_id"},
            {"entity": "flowVersions", "table": "flow_versions", "parent": "flows", "column": "flow_id"},
            {"entity": "flows", "table": "flows", "parent": "projects",
                "columns": {"organization_id": "organization_id", "project": "number"}},
            {"entity": "memberships", "table": "memberships", "organization": of},
            {"entity": "projects", "table": "projects", "organization": of},
        ]),
        "{text}"
    );
    assert_eq!(plan["organization"]["active"], json!({"column": "suspended_at", "inactive": "now"}));
    assert_eq!(plan["tenantColumns"], json!(["organization_id"]));
    for line in [
        "  global: [countries]",
        "- {table: accounts, why: \"rows of `memberships` refer to it by account_id; rows that belonged only to a deleted organization would stay\"}",
        "#   as a step: - {entity: accounts, table: accounts, referencedBy: memberships, column: account_id}",
        "- {table: sessions, why: \"account_id refers to `accounts`, which is unclassified too\"}",
        "# comments: one step for each of flow_id, version_id, because all of them are nullable; rows where all are NULL belong to no organization, and no step finds them",
        "# comments: no index begins with flow_id",
        "# audit_log: organization_id has no foreign key, but foreign keys of other tables use this name",
        "give that name to the entity that means users",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }

    let file = people_stay(&scene, &text);
    let said = run_at(&scene, &url, &["plan", "show", "--config", &file, "--id", "1", "-o", "json"]).await.with(0);
    let shown = said.json();
    let unprotected: Vec<&Value> = shown["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|s| s["protected"] == false)
        .map(|s| &s["table"])
        .collect();
    assert_eq!(unprotected, ["audit_log", "flow_metrics"]);
    assert_eq!(
        shown["preview"],
        json!({"organizationKey": "1", "state": "Active", "total": {"count": 38, "capped": false}})
    );
    // The schema organization_operator is not there, and is not needed.
    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "1", "-o", "json"]).await.with(0);
    assert_eq!(deleted(&said.json()), 39);
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM \"Task Outputs\"").await, 24);
}

async fn what_cannot_be_placed_blocks_until_a_person_has_decided(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    scene
        .sql(
            "CREATE TABLE templates (id uuid PRIMARY KEY, made_from uuid REFERENCES flows ON DELETE SET NULL); \
              CREATE TABLE template_lines (id uuid PRIMARY KEY, template_id uuid NOT NULL REFERENCES templates); \
              CREATE TABLE legacy (id bigint PRIMARY KEY, organization_id text NOT NULL); \
              GRANT SELECT ON templates TO organization_operator; GRANT UPDATE (id) ON flows TO organization_operator;",
        )
        .await;
    let (file, text) = draft(&scene, &scene.url(), "organizations").await;
    let plan = Config::load(Some(std::path::Path::new(&file))).expect("a configuration").cascade.plan;
    let open: Vec<&str> = plan.unclassified.iter().map(|u| u.table.as_str()).collect();
    assert_eq!(open, ["templates", "template_lines", "legacy"], "{text}");
    assert!(
        text.contains("#   as a step: - {entity: templates, table: templates, parent: flows, column: made_from}"),
        "{text}"
    );

    // Shown as a fault, with the remedy, by hand and by the operator.
    let said = run(&scene, &["plan", "show", "--config", &file]).await.with(1);
    for words in [
        "SchemaMismatch (500)",
        "the table `templates` is unclassified",
        "`legacy`",
        "decide about `template_lines` in the plan",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = run(&scene, &["rehearse", "--config", &file, "--id", &scene.key(1), "-o", "json"]).await.with(1);
    assert_eq!(said.json()["error"]["reason"], "SchemaMismatch");
    let cascade = serde_json::to_value(&plan).expect("a plan");
    let _operator = scene.operator().configure("cascade", cascade).launch().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    let seen = scene.until("acme", "DeletionReady=False", |s| s.is("DeletionReady", "False")).await;
    assert_eq!(seen.reason("DeletionReady"), "SchemaMismatch");
    let message = seen.message("DeletionReady");
    assert!(message.contains("`templates` is unclassified"), "{message}");
    scene.delete("acme").await;
    let seen = scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    assert!(seen.error().and_then(|e| e.remedy).is_some_and(|r| r.contains("cascade.unclassified")), "{}", seen.yaml());
    assert!(scene.total(&scene.key(1)).await > 1, "nothing was deleted");

    // Decided: two kept, one a step.
    let kept = text
        .replace("keep: []", "keep: [{table: templates, reason: shared}, {table: legacy, reason: frozen}]")
        .lines()
        .filter(|l| {
            !["- {table: templates", "- {table: legacy", "- {table: template_lines"]
                .iter()
                .any(|t| l.trim_start().starts_with(t))
        })
        .filter(|l| l.trim() != "unclassified:")
        .collect::<Vec<_>>()
        .join("\n");
    let file = scene.file("decided.yaml", &kept);
    run(&scene, &["plan", "show", "--config", &file]).await.with(0);
}

async fn a_file_that_is_there_is_never_overwritten(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let file = scene.file("mine.yaml", "mine");
    let init = ["plan", "init", "--organization", "organizations", "--output"];
    let said = run(&scene, &[&init[..], &[&file]].concat()).await.with(2);
    assert!(said.err.contains("not overwritten") && said.out.is_empty(), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "mine");
    let fresh = format!("{file}.fresh");
    let said = run(&scene, &[&init[..], &[&fresh]].concat()).await.with(0);
    assert!(said.out.is_empty() && said.err.contains("5 steps, 0 tables unclassified"), "{}{}", said.out, said.err);
    run(&scene, &["plan", "show", "--config", &fresh]).await.with(0);

    let said = run(&scene, &["plan", "init", "--organization", "Organizations"]).await.with(2);
    assert!(said.err.contains("did you mean: organizations"), "{}", said.err);
    let help = run(&scene, &["plan", "init", "--help"]).await.with(0).out;
    for words in ["unclassified", "--organization", "Exit code"] {
        assert!(help.contains(words), "{words}: {help}");
    }
}

async fn a_plan_shows_what_would_be_deleted(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.seed_sized(&scene.key(1), 10_050, 1, 1, 10_050).await;
    scene.seed(&scene.key(2)).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    scene.ready("acme").await;
    let config = config(&scene);
    let name = scene.name("acme");
    let before = everything(&scene).await;
    let text = run(&scene, &["plan", "show", "--config", &config, &name]).await.with(0).out;
    // By its object and by its id it is the same.
    assert_eq!(run(&scene, &["plan", "show", "--config", &config, "--id", &scene.key(1)]).await.with(0).out, text);
    let row = |table: &str| -> Vec<String> {
        let line = text.lines().find(|l| l.split_whitespace().nth(1) == Some(table));
        let line = line.unwrap_or_else(|| panic!("no {table} in:\n{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    // Users exactly, the rest up to a limit; the parents that go first are captured.
    assert_eq!(row("users"), ["1", "users", "users", "10050", "yes", "organization_id"]);
    assert_eq!(row("flows"), ["2", "flows", "flows", "1", "yes", "id", "organization_id"]);
    assert_eq!(row("task_outputs")[3], "10000+");
    assert_eq!(row("task_statuses")[3], "10000+");
    assert!(text.contains("checked at COMMIT where deferrable"), "{text}");
    let sql = run(&scene, &["plan", "show", "--config", &config, "--sql"]).await.with(0).out;
    for words in [
        "DELETE FROM \"public\".\"flow_executions\"",
        "-- count captured rows",
        "= the erasure that captures",
        "FOR UPDATE;",
    ] {
        assert!(sql.contains(words), "{words}: {sql}");
    }
    assert!(!sql.contains("ROWS"), "without an organization nothing is counted: {sql}");
    let absent = run(&scene, &["plan", "show", "--config", &config, "--id", &scene.key(7), "-o", "json"]).await.with(0);
    assert_eq!(absent.json()["preview"]["state"], "Absent");
    assert_eq!(everything(&scene).await, before);
}

/// The organization has a founder among its users: the draft, the plan and the rehearsal take it as it is.
async fn a_plan_shows_what_one_statement_deletes(world: Arc<World>) {
    let (scene, url) =
        with_schema(world, &std::fs::read_to_string(path("tests/schemas/founder.sql")).expect("the schema")).await;
    let (file, _) = draft(&scene, &url, "organizations").await;
    let arguments = ["plan", "show", "--config", &file, "--id", "a"];
    let text = run_at(&scene, &url, &arguments).await.with(0).out;
    let line = |table: &str| -> Vec<&str> {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.into_iter().find(|cells| cells.get(1) == Some(&table)).unwrap_or_else(|| panic!("{table}: {text}"))
    };
    assert_eq!(line("connectors"), ["1", "connectors", "connectors", "1", "yes", "organization_id"]);
    assert_eq!(line("users"), ["2", "users", "users", "2", "yes", "organization_id"]);
    assert_eq!(line("organizations"), ["2", "organizations", "1", "id"]);
    let told = "\nDeleted by one statement, because they refer to each other: users, organizations.\n";
    assert!(text.contains(told), "{text}");

    let shown = run_at(&scene, &url, &[&arguments[..], &["--sql", "-o", "json"]].concat()).await.with(0).json();
    assert_eq!(shown["sets"], json!([["users", "organizations"]]), "{shown}");
    assert_eq!(shown["organization"]["statement"], 2, "{shown}");
    let statements: Vec<&Value> =
        shown["steps"].as_array().expect("steps").iter().map(|step| &step["statement"]).collect();
    assert_eq!(statements, [1, 2]);
    assert_eq!(shown["steps"][1]["sql"]["what"], "delete from users, organizations");
    assert!(
        shown["after"].is_null(),
        "the organization is deleted before, and foreign keys prove that nothing is left"
    );

    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "a", "-o", "json"]).await.with(0);
    assert_eq!((deleted(&said.json()), &said.json()["organizations"]), (4, &json!(1)), "{}", said.out);
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM users").await, 3, "nothing was deleted");
    let checked = run_at(&scene, &url, &["check", "--config", &file, "--id", "a", "-o", "json"]).await.with(0);
    assert!(!checked.out.contains("PlanMismatch"), "{}", checked.out);

    // An organization that refers to a table which does not refer back goes before it.
    scene
        .sql(
            "CREATE TABLE accounts (id int PRIMARY KEY, firm_id int);
             CREATE TABLE firms (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts)",
        )
        .await;
    let steps = "[{entity: accounts, table: accounts, organization: firm_id}]";
    let file = scene.file(
        "firms.yaml",
        &format!("cascade: {{organization: {{table: firms, key: id}}, tenantColumns: [firm_id], steps: {steps}}}\n"),
    );
    let text = run_at(&scene, &url, &["plan", "show", "--config", &file]).await.with(0).out;
    let numbered: Vec<&str> = text.lines().filter(|l| l.starts_with(['1', '2'])).collect();
    assert!(
        matches!(numbered[..], [first, second] if first.starts_with("1  firms ") && second.starts_with("2  accounts ")),
        "{text}"
    );
}

async fn a_plan_with_faults_says_so(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.sql("CREATE TABLE notes (organization_id uuid); ALTER TABLE organizations RENAME TO companies").await;
    let said = run(&scene, &["plan", "show", "-o", "json"]).await.with(1).json();
    assert_eq!((&said["usable"], &said["error"]["reason"]), (&json!(false), &json!("SchemaMismatch")));
    scene.sql("ALTER TABLE companies RENAME TO organizations").await;
    let said = run(&scene, &["plan", "show"]).await.with(1);
    assert!(said.out.contains("`public.notes`") && said.out.contains("add a step"), "{}", said.out);
    assert!(
        said.out.contains("flow_execution_id -> flow_executions.flow_id"),
        "the order is shown all the same: {}",
        said.out
    );
}

async fn a_rehearsal_changes_nothing_and_counts_what_the_deletion_counts(world: Arc<World>) {
    for variant in [Variant::Platform, Variant::Cascade, Variant::NoKeys, Variant::MixedCase] {
        let scene = Scene::new(world.clone(), variant).await;
        for number in 1..4 {
            scene.seed(&scene.key(number)).await;
        }
        let operator = scene.start().await;
        scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
        scene.ready("acme").await;
        operator.stop().await;
        let before = everything(&scene).await;
        let uid = scene.uid("acme").await;

        let config = config(&scene);
        let said = run(&scene, &["rehearse", &scene.name("acme"), "--config", &config, "-o", "json"]).await.with(0);
        assert!(said.err.contains("locked until the rollback"), "{}", said.err);
        let rehearsed = said.json();
        assert_eq!(rehearsed["outcome"], "WouldErase");
        assert_eq!(rehearsed["organizationKey"], scene.key(1));
        assert!(rehearsed["seconds"].as_f64().is_some_and(|s| s > 0.0 && s < 20.0), "{rehearsed}");
        let text = run(&scene, &["rehearse", "--id", &scene.key(1), "--config", &config]).await.with(0).out;
        let total = scene.total(&scene.key(1)).await;
        assert!(text.contains(&format!("A deletion would succeed: {total} rows")), "{text}");
        assert_eq!(text.contains("Not protected by a foreign key"), variant == Variant::NoKeys, "{text}");
        assert_eq!(everything(&scene).await, before, "{variant:?}: a rehearsal changed something");
        assert_eq!(scene.uid("acme").await, uid);

        // The deletion itself, afterwards, deletes the same.
        let _operator = scene.start().await;
        scene.delete("acme").await;
        scene.gone("acme").await;
        let ledger = scene.ledger().await;
        assert_eq!(ledger[0].steps, rehearsed["steps"], "{variant:?}");
        assert_eq!(json!(ledger[0].organizations_deleted), rehearsed["organizations"]);
        assert_eq!(scene.total(&scene.key(1)).await, 0);
    }
}

async fn a_rehearsal_shows_a_blocker_as_status_does(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.seed(&scene.key(1)).await;
    scene.sql(&std::fs::read_to_string(path("examples/platform/invoices.sql")).expect("invoices")).await;
    let invoice = "INSERT INTO invoices SELECT 'a', id, name, 1, '2026-01-01' FROM organizations";
    scene.sql(invoice).await;
    let text = std::fs::read_to_string(path("examples/platform/config.yaml")).expect("the example");
    let config: Value = serde_yaml::from_str(&text).expect("YAML");
    let _operator = scene.operator().configure("cascade", config["cascade"].clone()).start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    let before = everything(&scene).await;
    let example = path("examples/platform/config.yaml");
    let rehearse = ["rehearse", &scene.name("acme"), "--config", &example, "-o", "json"].map(str::to_owned);
    let rehearse: Vec<&str> = rehearse.iter().map(String::as_str).collect();
    let said = run(&scene, &rehearse).await.with(1).json();
    assert_eq!(said["outcome"], "Blocked");
    assert_eq!(everything(&scene).await, before);

    scene.delete("acme").await;
    let seen = scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    let mut error = serde_json::to_value(seen.error().expect("an error")).expect("JSON");
    for field in ["attempts", "firstSeenTime", "lastSeenTime"] {
        error.as_object_mut().expect("an object").remove(field);
    }
    assert_eq!(said["error"], error);
    let remedy = error["remedy"].as_str().expect("a remedy");
    let text = run(&scene, &rehearse[..4]).await.with(1).out;
    assert!(text.contains("A deletion is blocked: ForeignKeyViolation (409)") && text.contains(remedy), "{text}");

    // The remedy clears it, and the deletion goes on.
    scene.sql(remedy).await;
    scene.gone("acme").await;
}

async fn a_rehearsal_finds_what_only_the_commit_would_find(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.seed(&scene.key(1)).await;
    // Each deleted user leaves a row behind that refers to the organization, and the reference is checked at COMMIT only.
    scene
        .sql(
            "CREATE TABLE tombstones (of uuid REFERENCES organizations DEFERRABLE INITIALLY DEFERRED); \
              CREATE FUNCTION bury() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \
              'BEGIN INSERT INTO tombstones VALUES (OLD.organization_id); RETURN NULL; END'; \
              CREATE TRIGGER bury AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION bury(); \
              GRANT SELECT ON tombstones TO organization_operator",
        )
        .await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    let before = everything(&scene).await;
    let said = run(&scene, &["rehearse", &scene.name("acme"), "-o", "json"]).await.with(1).json();
    let error = &said["error"];
    assert_eq!(error["reason"], "ContentChanged", "{said}");
    assert_eq!((&error["sqlState"], &error["table"]), (&json!("23503"), &json!("public.tombstones")), "{said}");
    assert_eq!(everything(&scene).await, before);
    assert_eq!(scene.value::<i64>("SELECT count(*) FROM tombstones").await, 0);

    scene.delete("acme").await;
    let seen = scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    let shown = seen.error().expect("an error");
    assert_eq!(error["message"], json!(shown.message), "the deletion says the same");
    operator.stop().await;
}

async fn a_rehearsal_that_cannot_be_tried_says_why(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let id = scene.key(1);
    for (url, arguments, words) in [
        (scene.url(), vec!["rehearse"], "NAME of its object, or --id ID"),
        (scene.url(), vec!["rehearse", "nobody-at-all"], "there is no Organization `nobody-at-all`"),
        (scene.url(), vec!["rehearse", "--id", &id], "OrganizationNotFound (404)"),
        (scene.url(), vec!["rehearse", "--id", "acme"], "InvalidOrganizationId (422)"),
        ("postgres://u:canary@127.0.0.1:1/d".into(), vec!["rehearse", "--id", &id], "DatabaseUnavailable (503)"),
    ] {
        let said = run_at(&scene, &url, &arguments).await.with(2);
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains(words) && !all.contains("canary"), "{words}: {all}");
    }
    let help = run(&scene, &["rehearse", "--help"]).await.with(0).out;
    for words in
        ["Nothing is changed", "same locks as a deletion", "Exit code: 0 a deletion would succeed, 1 it is blocked"]
    {
        assert!(help.contains(words), "{words}: {help}");
    }
}

async fn a_rehearsal_waits_for_a_lock_only_as_long_as_configured(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    let config = config(&scene);
    let mut connection = scene.connect().await;
    let lock = format!("BEGIN; SELECT 1 FROM organizations WHERE id = '{}' FOR UPDATE", scene.key(1));
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut connection).await.expect("a lock");
    let said = run(&scene, &["rehearse", "--id", &scene.key(1), "--config", &config]).await.with(1);
    assert!(said.out.contains("LockTimeout (423)"), "{}", said.out);
    sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.expect("a rollback");
    run(&scene, &["rehearse", "--id", &scene.key(1), "--config", &config]).await.with(0);
}

async fn rehearsals_do_not_hinder_a_deletion(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed_sized(&scene.key(1), 50, 10, 10, 20).await;
    scene.seed(&scene.key(2)).await;
    let others = scene.others(&[&scene.key(1)]).await;
    let _operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    let config = config(&scene);
    let key = scene.key(1);
    let arguments = ["rehearse", "--id", &key, "--config", &config, "-o", "json"];
    let rehearse = || run(&scene, &arguments);
    let (first, second, third, ()) = tokio::join!(rehearse(), rehearse(), rehearse(), scene.delete("acme"));
    for said in [first, second, third] {
        let outcome = said.json();
        // Before the deletion it succeeds, after it there is nothing; in between it waits, at the longest for the lock timeout.
        let reason = outcome["error"]["reason"].as_str().unwrap_or("none");
        assert!(["none", "OrganizationNotFound", "LockTimeout"].contains(&reason), "{outcome}");
    }
    scene.gone("acme").await;
    let ledger = scene.ledger().await;
    assert_eq!((ledger.len(), ledger[0].outcome.as_str()), (1, "Erased"));
    assert_eq!(scene.others(&[]).await, others);
}

/// The same id may be another tenant's in another database.
async fn an_object_of_another_database_is_refused_by_every_command(world: Arc<World>) {
    let scene = Scene::new(world.clone(), Variant::Ordinary).await;
    let (copy, bare) = (Scene::new(world.clone(), Variant::Ordinary).await, Scene::new(world, Variant::Ordinary).await);
    for place in [&scene, &copy, &bare] {
        place.seed(&scene.key(1)).await;
    }
    let operator = scene.start().await;
    copy.start().await.stop().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    operator.stop().await;
    let installation: String = scene.value("SELECT id::text FROM organization_operator.installation").await;
    let name = scene.name("acme");
    let commands = [vec!["check", &name], vec!["plan", "show", &name], vec!["rehearse", &name]];
    for command in &commands {
        run(&scene, command).await.with(0);
        let said = run_for(&scene, &scene.url(), "another", command).await.with(2);
        let other = format!("--database {}", scene.class);
        assert!(said.err.contains("belongs to the database") && said.err.contains(&other), "{command:?}: {}", said.err);
        // The name of the configuration fits, and the database is not the one of the claim.
        let said = run_at(&scene, &copy.url(), command).await.with(2);
        for words in ["was claimed in another database", "use the configuration of the operator", &installation] {
            assert!(said.err.contains(words), "{command:?}: {}", said.err);
        }
        assert_eq!(said.out, "", "{command:?}");
        // By the id in the database itself nothing is compared.
        let (id, last) = (scene.key(1), command.len() - 1);
        run_at(&scene, &copy.url(), &[&command[..last], &["--id", &id]].concat()).await.with(0);
        // A database without the operator's schema is not that of a claim.
        let said = run_at(&scene, &bare.url(), command).await.with(2);
        assert!(said.err.contains("was claimed in another database"), "{command:?}: {}", said.err);
    }
}
