//! "Every table of my schema is in the draft: as a step, as global, or as a question with the reason."

pub mod update;

use std::sync::Arc;

use organization_operator::config::Config;
use planner::plan::Plan;

use crate::plan::{deleted, draft, run_at, with_schema};
use crate::support::{PATIENCE, ROLE, Scene, Variant, World, binary, path};
use crate::tests;

tests![
    what_was_left_alone_is_a_question_with_the_step_that_could_be_meant,
    people_of_several_organizations_are_a_question,
    values_of_rows_are_signs_whatever_the_type_of_the_key,
    a_number_and_a_short_text_are_keys_only_below_a_name,
    what_cannot_be_read_is_said_and_not_guessed,
    rows_with_several_nullable_ways_go_by_any_of_them,
    a_large_schema_is_drafted_with_little_work,
];

fn schema(name: &str) -> String {
    std::fs::read_to_string(path(&format!("tests/schemas/{name}"))).expect("a schema")
}

fn plan(file: &str) -> Plan {
    Config::load(Some(std::path::Path::new(file))).expect("a configuration").cascade.plan
}

/// Each unclassified table, with its reason.
fn open(plan: &Plan) -> Vec<(&str, &str)> {
    plan.unclassified.iter().map(|u| (u.table.as_str(), u.why.as_deref().unwrap_or_default())).collect()
}

async fn what_was_left_alone_is_a_question_with_the_step_that_could_be_meant(world: Arc<World>) {
    let (scene, url) = with_schema(world, &schema("left_alone.sql")).await;
    let (file, text) = draft(&scene, &url, "tenants").await;
    let drafted = plan(&file);
    let tables: Vec<&str> = drafted.steps.iter().map(|s| s.table.as_str()).collect();
    assert_eq!(tables, ["event", "v1_dag", "v1_event"], "{text}");
    assert_eq!(drafted.global, ["countries"], "{text}");
    assert_eq!(
        open(&drafted),
        [
            ("v1_event_runs", "event_id may refer to `v1_event`, but only its name suggests it"),
            ("v1_dag_data", "dag_id, dag_inserted_at may refer to `v1_dag`, but only their names suggest it"),
            ("shared_stores", "elements of tenant_ids (uuid[]) are keys of `tenants`"),
            ("outbox", "values inside payload (jsonb) are keys of `tenants`"),
        ],
        "{text}"
    );
    for suggested in [
        "#   as a step: - {entity: v1EventRuns, table: v1_event_runs, parent: v1Event, column: event_id}",
        "#   as a step: - {entity: v1DagData, table: v1_dag_data, parent: v1Dag, columns: {dag_id: id, dag_inserted_at: inserted_at}}",
        "#   no step finds rows by a value inside an array or JSON",
    ] {
        assert!(text.contains(suggested), "{suggested} is missing in:\n{text}");
    }
    assert!(!text.contains("parent: event,"), "the table of another type is not suggested: {text}");
    // No value of a row is in the file.
    assert!(!text.contains("00000000-0000-4000"), "{text}");

    // The suggestions are steps that work.
    let taken = decided(&text, &["v1_event_runs", "v1_dag_data"], &["shared_stores", "outbox"]);
    let file = scene.file("decided.yaml", &taken);
    let key = "00000000-0000-4000-8000-00000000000a";
    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", key, "-o", "json"]).await.with(0);
    // The tenant, v1_event, its run, v1_dag, its data.
    assert_eq!(deleted(&said.json()), 5, "{taken}");
}

/// The draft after a person took the suggested steps of some tables, and kept others.
fn decided(text: &str, steps: &[&str], kept: &[&str]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for table in steps {
        let line = text.lines().find(|l| l.contains("as a step: ") && l.contains(&format!("table: {table},")));
        lines.push(format!("    {}", line.and_then(|l| l.split_once("as a step: ")).expect("a suggestion").1));
    }
    let keep: Vec<String> = kept.iter().map(|table| format!("{{table: {table}, reason: by hand}}")).collect();
    let decided = text
        .replace("  steps:\n", &format!("  steps:\n{}\n", lines.join("\n")))
        .replace("  keep: []\n", &format!("  keep: [{}]\n", keep.join(", ")));
    decided.split("  unclassified:\n").next().expect("a beginning").to_owned()
}

async fn people_of_several_organizations_are_a_question(world: Arc<World>) {
    let (scene, url) = with_schema(world, &schema("people.sql")).await;
    let (file, text) = draft(&scene, &url, "organizations").await;
    let drafted = plan(&file);
    let why =
        "rows of `memberships` refer to it by user_id; rows that belonged only to a deleted organization would stay";
    assert_eq!(
        open(&drafted),
        [("users", why), ("sessions", "user_id refers to `users`, which is unclassified too")],
        "{text}"
    );
    assert!(drafted.global.is_empty() && drafted.steps.iter().all(|s| s.referenced_by.is_none()), "{text}");
    for suggested in [
        "#   as a step: - {entity: users, table: users, referencedBy: memberships, column: user_id}",
        "#   as a step: - {entity: sessions, table: sessions, parent: users, column: user_id}",
    ] {
        assert!(text.contains(suggested), "{suggested} is missing in:\n{text}");
    }

    // The suggestions are steps that work: u1 was only in a, and goes with the session and the token.
    let file = scene.file("decided.yaml", &decided(&text, &["users", "sessions"], &[]));
    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "a", "-o", "json"]).await.with(0);
    let rows: Vec<(String, i64)> = said.json()["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|s| (s["entity"].as_str().expect("an entity").to_owned(), s["deleted"].as_i64().expect("a number")))
        .collect();
    let of = |entity: &str| rows.iter().find(|r| r.0 == entity).map(|r| r.1);
    for (entity, deleted) in [("users", 1), ("sessions", 1), ("memberships", 2), ("apiTokens", 1)] {
        assert_eq!(of(entity), Some(deleted), "{entity}: {}", said.out);
    }
}

/// Tables with one column each that holds the key of an organization, and the same with a value that is none.
async fn values_of_rows_are_signs_whatever_the_type_of_the_key(world: Arc<World>) {
    let uuid = "00000000-0000-4000-8000-00000000000a";
    let other = "99999999-0000-4000-8000-00000000000a";
    for (key_type, key, other) in [
        ("uuid", uuid, other),
        ("text", "acme-corporation", "somebody-else"),
        ("varchar(40)", "acme-corporation", "somebody-else"),
        ("text COLLATE \"C\"", "acme-corporation", "somebody-else"),
        ("char(16)", "acme-corporation", "somebody-else-16"),
    ] {
        let array = if key_type == "uuid" { "uuid[]" } else { "text[]" };
        let mut sql = format!(
            "CREATE TABLE organizations (id {key_type} PRIMARY KEY); INSERT INTO organizations VALUES ('{key}');
             CREATE TABLE flows (id int PRIMARY KEY, organization_id {key_type} REFERENCES organizations);"
        );
        let forms = [
            ("plain", "text", "{}"),
            ("long", "varchar(100)", "{}"),
            ("listed", array, "{{}}"),
            ("nested", "jsonb", r#"{"a": [1, {"b": [["{}"]]}]}"#),
            ("written", "json", r#"["x", {"n": 1.5, "v": "{}"}]"#),
            ("scalar", "jsonb", r#""{}""#),
            ("named", "jsonb", r#"{"limits": [{"{}": {"flows": 3}}]}"#),
        ];
        for (name, column, form) in forms {
            for (table, value) in [(format!("with_{name}"), key), (format!("without_{name}"), other)] {
                // The last of a thousand rows, and NULL in others.
                sql.extend([format!(
                    "CREATE TABLE {table} (n int, about {column}); INSERT INTO {table} SELECT n, NULL FROM generate_series(1, 998) n;
                     INSERT INTO {table} VALUES (999, '{}');",
                    form.replacen("{}", value, 1)
                )]);
            }
        }
        sql.extend([format!(
            "CREATE TABLE \"odd \"\"; name\" (\"c \"\"x\"\"\" text); INSERT INTO \"odd \"\"; name\" VALUES ('{key}');"
        )]);
        let (scene, url) = with_schema(world.clone(), &sql).await;
        let (file, text) = draft(&scene, &url, "organizations").await;
        let drafted = plan(&file);
        let mut found: Vec<&str> = open(&drafted).iter().map(|o| o.0).collect();
        found.sort_unstable();
        let expected = [
            "odd \"; name",
            "with_listed",
            "with_long",
            "with_named",
            "with_nested",
            "with_plain",
            "with_scalar",
            "with_written",
        ];
        assert_eq!(found, expected, "{key_type}: {text}");
        assert_eq!(drafted.global.len(), forms.len(), "{key_type}: {text}");
        assert!(!text.contains(key) && !text.contains("could not be read"), "{key_type}: {text}");
        assert!(text.contains("{entity: withPlain, table: with_plain, organization: about}"), "{key_type}: {text}");
    }
}

async fn a_number_and_a_short_text_are_keys_only_below_a_name(world: Arc<World>) {
    for (key_type, key, array) in [("bigint", "7", "bigint[]"), ("text", "acme", "text[]")] {
        let value = if key_type == "bigint" { key.to_owned() } else { format!("\"{key}\"") };
        let mut sql = format!(
            "CREATE TABLE organizations (id {key_type} PRIMARY KEY); INSERT INTO organizations VALUES ('{key}');
             CREATE TABLE flows (id int PRIMARY KEY, organization_id {key_type} REFERENCES organizations);"
        );
        let tables = [
            ("yes_a", "details jsonb", format!(r#"{{"for": [{{"organizationId": {value}}}]}}"#)),
            ("yes_b", "details json", format!(r#"{{"source_organization": {{"id": {value}}}}}"#)),
            ("yes_c", "details jsonb", format!(r#"[{{"organization_ids": [0, {value}]}}]"#)),
            ("yes_d", &*format!("organization_ids {array}"), format!("{{{key}}}")),
            ("yes_e", "organizations jsonb", format!("[{value}]")),
            ("yes_f", "details jsonb", format!(r#"{{"tenant": {{"organizations": {{"{key}": true}}}}}}"#)),
            ("no_a", "details jsonb", format!(r#"{{"count": {value}, "list": [{value}], "{key}": 1}}"#)),
            ("no_b", &*format!("numbers {array}"), format!("{{{key}}}")),
            ("no_c", "note text", key.to_owned()),
            ("no_d", "details jsonb", r#"{"organization_id": 8}"#.to_owned()),
        ];
        for (table, column, value) in &tables {
            sql.extend([format!("CREATE TABLE {table} ({column}); INSERT INTO {table} VALUES ('{value}');")]);
        }
        let (scene, url) = with_schema(world.clone(), &sql).await;
        let (file, text) = draft(&scene, &url, "organizations").await;
        let drafted = plan(&file);
        let mut found: Vec<&str> = open(&drafted).iter().map(|o| o.0).collect();
        found.sort_unstable();
        assert_eq!(found, ["yes_a", "yes_b", "yes_c", "yes_d", "yes_e", "yes_f"], "{key_type}: {text}");
        assert_eq!(drafted.global, ["no_a", "no_b", "no_c", "no_d"], "{key_type}: {text}");
    }
}

async fn what_cannot_be_read_is_said_and_not_guessed(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let key = &scene.key(1);
    scene.seed(key).await;
    scene
        .sql(&format!(
            "CREATE TABLE hidden (note text, secret jsonb); INSERT INTO hidden VALUES ('{key}', '\"{key}\"');
             CREATE TABLE half (note text, secret jsonb); INSERT INTO half VALUES ('x', '\"{key}\"');
             CREATE TABLE seen (note text, secret jsonb); INSERT INTO seen VALUES ('{key}', '\"{key}\"');
             CREATE TABLE broken (note json, other json); INSERT INTO broken VALUES ('\"\\u0000\"', '\"{key}\"');
             CREATE TABLE ruled (note text); ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;
             GRANT SELECT ON broken, ruled TO {ROLE};
             GRANT SELECT (note) ON half, seen TO {ROLE};"
        ))
        .await;
    let (file, text) = draft(&scene, &scene.url(), "organizations").await;
    let drafted = plan(&file);
    assert_eq!(drafted.global, ["half", "hidden", "ruled"], "{text}");
    // One column that cannot be read hides nothing of the others.
    assert_eq!(
        open(&drafted),
        [
            ("seen", "values of note (text) are keys of `organizations`"),
            ("broken", "values inside other (json) are keys of `organizations`")
        ],
        "{text}"
    );
    let said = "# The command compared only the names of these columns, because it could not read their values:";
    assert!(text.contains(said), "{text}");
    assert!(text.contains("#   half (secret), hidden (note, secret), ruled (note)\n"), "{text}");
    assert!(!text.contains(key.as_str()), "{text}");
}

async fn rows_with_several_nullable_ways_go_by_any_of_them(world: Arc<World>) {
    let (scene, url) = with_schema(
        world,
        "CREATE TABLE organizations (id int PRIMARY KEY);
         CREATE TABLE projects (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES organizations);
         CREATE TABLE api_keys (id int PRIMARY KEY, organization_id int REFERENCES organizations,
             project_id int REFERENCES projects);
         INSERT INTO organizations VALUES (1), (2); INSERT INTO projects VALUES (10, 1), (20, 2);
         INSERT INTO api_keys VALUES (1, 1, NULL), (2, NULL, 10), (3, 1, 10), (4, 2, NULL), (5, NULL, 20), (6, NULL, NULL)",
    )
    .await;
    let (file, text) = draft(&scene, &url, "organizations").await;
    assert!(text.contains("rows where all are NULL belong to no organization"), "{text}");
    let drafted = plan(&file);
    let ways: Vec<Vec<String>> =
        drafted.steps.iter().filter(|s| s.table == "api_keys").map(planner::plan::Step::path_columns).collect();
    assert_eq!(ways, [["organization_id"], ["project_id"]], "{text}");
    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "1", "-o", "json"]).await.with(0);
    // The organization, its project, and three keys, each once.
    assert_eq!(deleted(&said.json()), 5, "{}", said.out);
}

async fn a_large_schema_is_drafted_with_little_work(world: Arc<World>) {
    let mut sql = vec!["CREATE TABLE organizations (id uuid PRIMARY KEY)".to_owned()];
    for t in 1..=150 {
        let way = match t % 5 {
            1 => "organization_id uuid NOT NULL REFERENCES organizations".to_owned(),
            2 | 3 => format!("t{0}_id uuid NOT NULL REFERENCES t{0}", t - 1),
            4 => "payload jsonb".to_owned(),
            _ => "owners uuid[]".to_owned(),
        };
        let filler: Vec<String> = (0..15).map(|c| format!("c{c} text")).collect();
        sql.push(format!("CREATE TABLE t{t} (id uuid PRIMARY KEY, {way}, {})", filler.join(", ")));
    }
    // Rows in the tables that are sampled.
    for t in (1..=150).filter(|t| [0, 4].contains(&(t % 5))) {
        sql.push(format!(
            "INSERT INTO t{t} (id, c0, c1) SELECT gen_random_uuid(), md5(n::text), 'x' FROM generate_series(1, 200) n"
        ));
    }
    sql.push("UPDATE t150 SET owners = ARRAY[id]; INSERT INTO organizations SELECT id FROM t150".to_owned());
    let (scene, url) = with_schema(world, &sql.join(";\n")).await;
    let file = cheap_draft(&scene, &url).await;
    let drafted = plan(&file);
    assert_eq!((drafted.steps.len(), drafted.global.len()), (90, 59));
    assert_eq!(
        open(&drafted),
        [(
            "t150",
            "values of id (uuid) are keys of `organizations`; elements of owners (uuid[]) are keys of `organizations`"
        )]
    );
}

/// Other tests share the machine, so the time of a clock says nothing: what counts is the processor's time that the command
/// takes, and how many statements it sends. `time organization-operator plan init` shows the time on a quiet machine.
async fn cheap_draft(scene: &Scene, url: &str) -> String {
    let proxy = scene.sql_proxy().await;
    let behind = url.replacen(&format!(":{}/", scene.world.postgres().port()), &format!(":{}/", proxy.port()), 1);
    assert_ne!(url, behind, "the URL has the port");
    proxy.record();
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", "TIMEFORMAT='cpu %U %S'; time \"$@\"", "bash"]);
    command.arg(binary()).args(["plan", "init", "--organization", "organizations"]);
    command.env("DATABASE_URL", &behind).env_remove("CONFIG").kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{said}");
    let times = said.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_else(|| panic!("no time in {said}"));
    let seconds: f64 = times.split_whitespace().map(|t| t.parse::<f64>().expect("seconds")).sum();
    assert!(seconds < 1.0, "150 tables take {seconds} s of the processor");
    // One for each of the 60 tables that are sampled, with a savepoint around it.
    let statements = proxy.count();
    assert!((60..250).contains(&statements), "{statements} statements");
    let file = scene.file("large.yaml", &String::from_utf8(output.stdout).expect("text"));
    Config::load(Some(std::path::Path::new(&file))).expect("a configuration");
    file
}
