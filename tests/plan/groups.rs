//! "I can read the plan of 150 tables on one screen."

use std::sync::Arc;

use serde_json::{Value, json};

use super::{run_at, with_schema};
use crate::support::{World, path};
use crate::tests;

tests![a_plan_of_many_tables_is_shown_in_groups, the_smallest_of_many_groups_are_one,];

/// Tables of the organization, each with a number of tables below it.
const AREAS: [(&str, u32); 10] = [
    ("flows", 12),
    ("projects", 9),
    ("agents", 14),
    ("documents", 11),
    ("integrations", 6),
    ("billing_accounts", 5),
    ("datasets", 8),
    ("reports", 4),
    ("webhooks", 2),
    ("teams", 1),
];

/// Tables of the organization with nothing below them; the first ones have no foreign key.
const SETTINGS: u32 = 70;
const UNPROTECTED: u32 = 12;

/// The schema with a row in each table for organization 1, and its plan.
fn platform() -> (String, Value) {
    let mut sql = vec![
        "CREATE TABLE organizations (id bigint PRIMARY KEY, is_active boolean NOT NULL DEFAULT true); \
                        INSERT INTO organizations VALUES (1)"
            .to_owned(),
    ];
    let mut steps = Vec::new();
    let mut below = |parent: &str, table: &str, column: &str, keyed: bool, sql: &mut Vec<String>| {
        let key = if keyed { format!("REFERENCES {parent}") } else { String::new() };
        sql.push(format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, {column} bigint NOT NULL {key}); INSERT INTO {table} VALUES (1, 1)"
        ));
        steps.push(if parent == "organizations" {
            json!({"entity": table, "table": table, "organization": column})
        } else {
            json!({"entity": table, "table": table, "parent": parent, "column": column})
        });
    };
    for (area, tables) in AREAS {
        below("organizations", area, "organization_id", true, &mut sql);
        let mut parent = area.to_owned();
        for number in 1..=tables {
            let table = format!("{area}_{number}");
            below(&parent, &table, "of", true, &mut sql);
            // Deeper from time to time.
            if number % 3 == 0 {
                parent = table;
            }
        }
    }
    for number in 1..=SETTINGS {
        below("organizations", &format!("settings_{number}"), "organization_id", number > UNPROTECTED, &mut sql);
    }
    below("organizations", "licences", "issued_to", true, &mut sql);
    sql.push("INSERT INTO flows_1 SELECT g, 1 FROM generate_series(2, 10100) g".to_owned());
    sql.push("CREATE TABLE invoices (id bigint); CREATE TABLE countries (code text)".to_owned());
    let plan = json!({
        "organization": {"table": "organizations", "key": "id", "active": {"column": "is_active", "inactive": false}},
        "tenantColumns": ["organization_id"],
        "steps": steps,
        "keep": [{"table": "invoices", "reason": "statutory retention"}],
    });
    (sql.join(";\n"), plan)
}

async fn a_plan_of_many_tables_is_shown_in_groups(world: Arc<World>) {
    let (sql, plan) = platform();
    let tables = plan["steps"].as_array().expect("steps").len();
    let (scene, url) = with_schema(world, &sql).await;
    let config = scene.file("many.yaml", &serde_yaml::to_string(&json!({"cascade": plan})).expect("YAML"));
    let show = async |more: &[&str]| {
        run_at(&scene, &url, &[&["plan", "show", "--config", &config], more].concat()).await.with(0).out
    };
    let grouped = show(&["--id", "1"]).await;
    let documentation = std::fs::read_to_string(path("docs/plan.md")).expect("the documentation");
    let (_, block) = documentation
        .split_once("$ organization-operator plan show --config large.yaml --id 1\n")
        .unwrap_or_else(|| panic!("docs/plan.md does not show groups:\n{grouped}"));
    let block = block.split_once("```").expect("an end").0;
    // The digest is that of the whole plan.
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|l| !l.is_empty() && !l.starts_with("plan  ")).map(str::to_owned).collect()
    };
    assert_eq!(lines(block), lines(&grouped), "{grouped}");
    assert!(lines(&grouped).len() < 30, "it fits on a screen: {grouped}");

    let uncounted = show(&[]).await;
    assert!(uncounted.contains("flows and 12 tables below it") && !uncounted.contains("ROWS"), "{uncounted}");
    // Each table, by `--all` and in JSON.
    let all = show(&["--id", "1", "--all"]).await;
    for area in ["flows_12", "settings_70", "licences"] {
        assert!(all.lines().any(|l| l.contains(&format!("  {area}  "))), "{area}: {all}");
    }
    assert!(all.contains("settings_11, settings_12") && !all.contains("tables below it"), "{all}");
    let shown: Value = serde_json::from_str(&show(&["--id", "1", "-o", "json"]).await).expect("JSON");
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(tables));
    let total = shown["preview"]["total"].clone();
    assert_eq!(total, json!({"count": 10_000 + i64::try_from(tables).expect("few") - 1, "capped": true}));
}

async fn the_smallest_of_many_groups_are_one(world: Arc<World>) {
    let mut sql = vec!["CREATE TABLE organizations (id int PRIMARY KEY)".to_owned()];
    let mut steps = Vec::new();
    for area in 1..=30 {
        sql.push(format!("CREATE TABLE a{area} (id int PRIMARY KEY, org int NOT NULL)"));
        steps.push(json!({"entity": format!("a{area}"), "table": format!("a{area}"), "organization": "org"}));
        // The larger ones are in the middle.
        for number in 0..=(15_i32 - (area - 15_i32).abs()) / 5 {
            let table = format!("a{area}_{number}");
            sql.push(format!("CREATE TABLE {table} (id int, of int NOT NULL REFERENCES a{area})"));
            steps.push(json!({"entity": table, "table": table, "parent": format!("a{area}"), "column": "of"}));
        }
    }
    let tables = steps.len();
    let (scene, url) = with_schema(world, &sql.join(";\n")).await;
    let plan = json!({"cascade": {"organization": {"table": "organizations", "key": "id"}, "steps": steps}});
    let config = scene.file("areas.yaml", &serde_yaml::to_string(&plan).expect("YAML"));
    let shown = run_at(&scene, &url, &["plan", "show", "--config", &config]).await.with(0).out;
    let lines: Vec<Vec<&str>> = shown
        .lines()
        .skip_while(|l| !l.starts_with("GROUP"))
        .skip(1)
        .take(25)
        .map(|l| l.split("  ").filter(|c| !c.is_empty()).map(str::trim).collect())
        .collect();
    let (groups, organization) = lines.split_at(24);
    assert_eq!(organization[0][..2], ["organizations", "1"], "{shown}");
    assert_eq!(groups[23][0], "other tables", "{shown}");
    assert!(groups.iter().any(|g| g[0] == "a15 and 4 tables below it"), "{shown}");
    assert!(!groups.iter().any(|g| g[0].starts_with("a30 ")), "the last of the smallest: {shown}");
    let sum: usize = groups.iter().map(|g| g[1].parse::<usize>().expect("a number")).sum();
    assert_eq!(sum, tables, "each table is in one group: {shown}");
    assert!(groups.iter().all(|g| g[2].starts_with("0 of ")), "{shown}");
    assert!(
        shown.contains("Not protected by a foreign key: ")
            && shown.contains(", and ")
            && shown.contains(" more. A deletion waits"),
        "{shown}"
    );
}
