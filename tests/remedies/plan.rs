//! Remedies that change the plan: what they write is put there as it is.

use std::sync::Arc;

use planner::Kind;

use super::stage::{Printed, Stage, plan};
use crate::support::World;

crate::tests![what_a_remedy_adds_to_the_plan_is_a_plan, a_table_that_the_plan_does_not_mention_is_kept_or_global];

/// What is there, the kind and the place of what a check finds, and what counts the rows of the table.
const SITUATIONS: &[(&str, Kind, &str, &str)] = &[
    (
        "CREATE TABLE notes (id int PRIMARY KEY, organization_id text REFERENCES organizations); CREATE INDEX ON notes (organization_id);
         INSERT INTO notes VALUES (1, 'o''1'), (2, 'o2')",
        Kind::Unclassified,
        "public.notes (organization_id)",
        "SELECT count(*) FROM notes",
    ),
    (
        "CREATE SCHEMA \"Other One\"; GRANT USAGE ON SCHEMA \"Other One\" TO :role;
         CREATE TABLE \"Other One\".\"No\"\"tes: yes\" (\"The run\" bigint REFERENCES runs);
         CREATE INDEX ON \"Other One\".\"No\"\"tes: yes\" (\"The run\"); INSERT INTO \"Other One\".\"No\"\"tes: yes\" VALUES (1), (3)",
        Kind::UndeclaredReference,
        "Other One.No\"tes: yes (The run)",
        "SELECT count(*) FROM \"Other One\".\"No\"\"tes: yes\"",
    ),
    (
        "ALTER TABLE flows ADD UNIQUE (organization_id, id);
         CREATE TABLE notes (o text, f bigint, FOREIGN KEY (f, o) REFERENCES flows (id, organization_id)); CREATE INDEX ON notes (f, o);
         INSERT INTO notes VALUES ('o''1', 1), ('o2', 3)",
        Kind::UndeclaredReference,
        "public.notes (f, o)",
        "SELECT count(*) FROM notes",
    ),
];

async fn what_a_remedy_adds_to_the_plan_is_a_plan(world: Arc<World>) {
    for (sql, kind, place, left) in SITUATIONS {
        let stage = Stage::new(&world, sql).await;
        let of = |f: &&Printed| f.kind == kind.as_str() && f.place == *place;
        let before = stage.check(&plan(&[], ""), false).await;
        let found = before.iter().find(of).unwrap_or_else(|| panic!("{kind} of {place}: {before:#?}"));
        let written = mappings(&found.remedy);
        let step = written.iter().find(|m| m.starts_with("{entity:")).expect("a step");
        let keep = written.iter().find(|m| !m.starts_with("{entity:")).expect("a table to keep");
        let kept = plan(&[], &format!("keep: [{}]", keep.replace("...", "law")));
        let after = stage.check(&kept, false).await;
        assert!(!after.iter().any(|f| of(&f)), "{keep}: {after:#?}");
        let deleted = plan(&[step], "");
        let after = stage.check(&deleted, true).await;
        assert_eq!(after, [], "{step}");
        stage.erase(&deleted).await.expect("erased");
        assert_eq!(stage.number(left).await, 1, "{step}");
        stage.close().await;
    }
}

async fn a_table_that_the_plan_does_not_mention_is_kept_or_global(world: Arc<World>) {
    let stage = Stage::new(&world, "CREATE SCHEMA \"A b\"; CREATE TABLE \"A b\".\"No: \"\"tes\" (id int)").await;
    for unknown in ["", "unknownTables: block"] {
        let before = stage.check(&plan(&[], unknown), false).await;
        let [found] = before.as_slice() else { panic!("{before:#?}") };
        assert_eq!((found.kind.as_str(), found.blocks), ("UnknownTable", !unknown.is_empty()), "{found:#?}");
        let [keep] = mappings(&found.remedy)[..] else { panic!("{found:#?}") };
        let (_, global) = found.remedy.split_once("reason: ...} if such rows stay, or ").expect("a name");
        let (global, _) = global.split_once(" to `global`").expect("what to add it to");
        for rest in [format!("keep: [{}]", keep.replace("...", "law")), format!("global: [{global}]")] {
            let plan = plan(&[], &format!("{rest}\n{unknown}"));
            assert_eq!(stage.check(&plan, false).await, [], "{plan}");
        }
    }
    stage.close().await;
}

/// What stands in braces, at the outermost level.
fn mappings(text: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    found.push(&text[start..=at]);
                }
            }
            _ => {}
        }
    }
    found
}
