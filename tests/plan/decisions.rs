//! "The documentation shows every decision, and what it shows is what the commands print."

use std::sync::Arc;

use super::{run_at, with_schema};
use crate::support::{World, path};
use crate::tests;

tests![every_decision_of_the_documentation_is_real];

const ID: &str = "00000000-0000-4000-8000-00000000000a";

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The blocks of this kind, in order.
fn blocks(documentation: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    let starts = documentation.split(&fence).skip(1);
    starts.map(|rest| rest.split_once("```").expect("an end").0.to_owned()).collect()
}

/// What can be compared: how long it took is another time each time.
fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.is_empty() && *line != "...");
    lines
        .map(|l| if l.starts_with("A deletion would succeed") { "so long".to_owned() } else { l.trim_end().to_owned() })
        .collect()
}

/// From this text on.
fn from<'t>(text: &'t str, start: &str) -> &'t str {
    &text[text.find(start).unwrap_or_else(|| panic!("{start} is not in {text}"))..]
}

async fn every_decision_of_the_documentation_is_real(world: Arc<World>) {
    let (scene, url) = with_schema(world, &read("tests/schemas/decisions.sql")).await;
    let documentation = read("docs/plan.md");
    let documentation = from(&documentation, "## Every decision, one by one");
    let plan = read("tests/schemas/decisions.yaml");
    let file = scene.file("decisions.yaml", &plan);
    let said = async |arguments: &[&str], code: i32| run_at(&scene, &url, arguments).await.with(code).out;
    let rehearse = ["rehearse", "--config", &file, "--id", ID];
    said(&["migrate", "--config", &file], 0).await;

    let draft = said(&["plan", "init", "--organization", "organizations"], 0).await;
    let shown = said(&["plan", "show", "--config", &file, "--id", ID], 0).await;
    let checked = said(&["check", "--config", &file], 0).await;
    let blocked = said(&rehearse, 1).await;
    let remedy = from(&blocked, "Remedy:\n").trim_start_matches("Remedy:\n").to_owned();
    scene.sql(&remedy).await;
    let rehearsed = said(&rehearse, 0).await;
    let theirs = "organization_id = '00000000-0000-4000-8000-00000000000b' AND id = 1";
    scene.sql("INSERT INTO events VALUES ('00000000-0000-4000-8000-00000000000b', '2026-02-01', 1)").await;
    let ambiguous = said(&rehearse, 1).await;
    scene
        .sql(&format!(
            "DELETE FROM events WHERE {theirs}; CREATE TABLE currencies (code text PRIMARY KEY); \
             CREATE TABLE flow_labels (id bigint PRIMARY KEY, flow_id uuid NOT NULL REFERENCES flows)"
        ))
        .await;
    let strict = scene.file("strict.yaml", &plan.replace("cascade:\n", "cascade:\n  unknownTables: block\n"));
    let unknown = said(&["plan", "show", "--config", &strict], 1).await;

    let outputs = [
        from(&draft, "  unclassified:"),
        &shown,
        &checked,
        &blocked,
        &rehearsed,
        &ambiguous,
        from(&unknown, "This plan cannot be used"),
    ];
    let shown = blocks(documentation, "console");
    assert_eq!(shown.len(), outputs.len());
    for (block, output) in shown.iter().zip(outputs) {
        let (command, block) = block.split_once('\n').expect("a command");
        assert_eq!(lines(block), lines(output), "{command}");
    }

    // Each answer is part of the finished configuration.
    let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let answers: Vec<String> = plan.lines().map(plain).collect();
    let written = blocks(documentation, "yaml");
    assert_eq!(written.len(), 4);
    for line in written.iter().flat_map(|block| block.lines()) {
        assert!(answers.contains(&plain(line)), "{line} is not in decisions.yaml");
    }
}
