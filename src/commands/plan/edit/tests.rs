use planner::infer::{Referred, Suggestions, Unread, Update};
use planner::plan::{Step, Unclassified};

use super::*;

fn additions() -> Additions {
    let step = Step {
        entity: "notes".into(),
        table: "notes".into(),
        organization: Some("organization_id".into()),
        ..Step::default()
    };
    Additions::of(&Update {
        unclassified: vec![
            Unclassified { table: "notes".into(), why: Some("it's new: \"x\" # y".into()) },
            Unclassified { table: "a.b c".into(), why: None },
        ],
        suggestions: vec![Suggestions { steps: vec![step], inside: true, polymorphic: false }, Suggestions::default()],
        global: vec!["countries".into(), "it's, [odd]".into()],
        unread: vec![Unread { table: "countries".into(), columns: vec!["code".into()] }],
        referred: vec![Referred { table: "countries".into(), by: vec!["notes".into()] }],
        unknown: Vec::new(),
    })
}

/// Every line of the old file is in the new one, in the same order.
fn keeps_every_byte(old: &str, new: &str) {
    let mut rest = new.chars();
    for letter in old.chars() {
        assert!(rest.any(|l| l == letter), "{letter:?} of the old file is missing in:\n{new}");
    }
    for line in old.lines().filter(|l| !l.contains(['[', ']'])) {
        assert!(new.lines().any(|l| l == line), "{line:?} is missing in:\n{new}");
    }
}

const HEAD: &str = "# A comment.\ndatabase: {urlFile: /x} # where\ncascade: # the plan\n  organization: {table: o, key: id}\n\n  steps:\n  # users\n  - {entity: a, table: a, organization: o}   # first\n";

#[test]
fn every_usual_form_of_a_file_takes_the_entries_and_keeps_its_text() {
    for lists in [
        "",
        "  global: []\n",
        "  global:\n  unclassified:   # decided\n  # - {table: old}\n  keep: []\n",
        "  unclassified:\n",
        "  global: [x]\n  unclassified: []\n",
        "  global: [x, 'y ] z', \"a \\\" ] b\"] # these\n",
        "  global: [\n    x, # not ]\n    y\n    # end ]\n  ]\n",
        "  global: [x,\n    y,]\n",
        "  global:\n    - x\n    # after x\n\n  # keep\n  keep: []\n",
        "  global:\n  - x\n  # about keep\n  keep: []\n",
        "  unclassified:\n    - {table: u, why: w}\n    #   as a step: - {}\n    - table: v\n      why: |\n        global: [none]\n        # x\n  global: [it's]\n",
        "  unclassified: [{table: u, why: 'it''s ]'}, {table: v}]\n",
        "  unclassified:   # open\n\n      # first\n      - table: v\n  keep: [{table: k, reason: 'a\n      b'}]\n",
    ] {
        for tail in ["", "\n# the end\n", "concurrency: 2\n", "\n\n# next\nconcurrency: 2 # two"] {
            for breaks in ["\n", "\r\n"] {
                let old = format!("{HEAD}{lists}{tail}").replace('\n', breaks);
                let new = add(&old, &additions()).unwrap_or_else(|| panic!("refused:\n{old}"));
                keeps_every_byte(&old, &new);
                assert!(breaks == "\n" || !new.replace("\r\n", "").contains('\n'), "{new:?}");
                let value: Value = serde_yaml::from_str(&new).expect("YAML");
                let open = value["cascade"]["unclassified"].as_sequence().expect("a list");
                let last: Vec<&Value> = open.iter().rev().take(2).map(|u| &u["table"]).collect();
                assert_eq!(last, ["a.b c", "notes"], "{new}");
                assert!(new.contains("#   as a step: - {entity: notes, table: notes, organization: organization_id}"));
                assert!(new.contains("no step finds rows by a value inside"), "{new}");
            }
        }
    }
}

#[test]
fn a_file_without_a_last_line_break_takes_the_entries() {
    let new = add(&format!("{HEAD}  keep: []"), &additions()).expect("taken");
    assert!(new.starts_with(&format!("{HEAD}  keep: []\n")), "{new}");
}

#[test]
fn what_cannot_be_read_again_as_meant_is_refused() {
    for text in [
        "cascade: {organization: {table: o, key: id}, steps: []}\n",
        "\"cascade\":\n  organization: {table: o, key: id}\n",
        "cascade:\n  organization: {table: o, key: id}\n  \"global\": [x]\n",
        "cascade:\n  organization: {table: o, key: id}\n  global: &g [x]\n",
        "cascade:\n  organization: {table: o, key: id}\n  global: *g\n",
        "x: |\n  y\ncascade: *c\n",
        "",
    ] {
        assert!(add(text, &additions()).is_none(), "{text}");
    }
    let lines = additions().lines();
    let pasted: Value = serde_yaml::from_str(&format!("cascade:\n{lines}")).expect("lines that can be pasted");
    assert_eq!(pasted["cascade"]["global"].as_sequence().map(Vec::len), Some(2), "{lines}");
}

#[test]
fn nothing_to_add_changes_nothing() {
    let text = format!("{HEAD}  keep: []");
    assert_eq!(add(&text, &Additions::of(&Update::default())).as_deref(), Some(text.as_str()));
}
