//! "My schema has changed, and my file says what became of every table again, with all that I wrote in it."

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::{open, plan};
use crate::plan::{deleted, draft, run_at, with_schema};
use crate::support::World;
use crate::tests;

tests![
    an_update_adds_new_tables_and_leaves_the_rest_of_the_file_as_it_is,
    a_file_that_cannot_be_edited_is_left_alone_and_the_lines_are_printed,
];

const SCHEMA: &str = "CREATE TABLE organizations (id int PRIMARY KEY);
    CREATE TABLE users (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES organizations);
    CREATE TABLE invoices (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES organizations);
    CREATE TABLE accounts (id int PRIMARY KEY);
    CREATE TABLE legacy (id int PRIMARY KEY);
    INSERT INTO organizations VALUES (1), (2); INSERT INTO users VALUES (1, 1), (2, 2)";

const FILE: &str = "# Ours.
concurrency: 3   # enough

cascade:
  organization: {table: organizations, key: id}
  tenantColumns: [organization_id]

  # People first.
  steps:
  - {entity: people, table: users, organization: organization_id}   # all of them
  keep:
    - table: invoices
      reason: |
        ten years
        global: [nothing]
  global: [accounts, 'legacy'] # since 2024

# The end.
";

async fn an_update_adds_new_tables_and_leaves_the_rest_of_the_file_as_it_is(world: Arc<World>) {
    let (scene, url) = with_schema(world, SCHEMA).await;
    let file = scene.file("ours.yaml", FILE);
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(&file, mode.clone()).expect("permissions");
    let update = ["plan", "init", "--update", &file];
    let said = run_at(&scene, &url, &update).await.with(0);
    assert!(said.out.contains("mentions every table of the database. The command added nothing."), "{}", said.out);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), FILE);

    scene
        .sql(
            "CREATE TABLE notes (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users);
             CREATE TABLE note_marks (id int PRIMARY KEY, note_id int NOT NULL REFERENCES notes);
             CREATE TABLE account_settings (id int PRIMARY KEY, account_id int REFERENCES accounts);
             CREATE TABLE outbox (id int PRIMARY KEY, payload jsonb);
             INSERT INTO outbox VALUES (1, '{\"organization\": 2}');
             INSERT INTO notes VALUES (1, 1), (2, 2); INSERT INTO note_marks VALUES (1, 1), (2, 2);
             DROP TABLE legacy",
        )
        .await;
    // To another file, and that one is never overwritten.
    let copy = format!("{file}.copy");
    run_at(&scene, &url, &[&update[..], &["--output", &copy]].concat()).await.with(0);
    let said = run_at(&scene, &url, &[&update[..], &["--output", &copy]].concat()).await.with(2);
    assert!(said.err.contains("not overwritten"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), FILE);

    let said = run_at(&scene, &url, &update).await.with(0);
    for words in [
        "  unclassified: notes (a new table: user_id refers to `users`)\n",
        "  unclassified: note_marks (a new table: note_id refers to `notes`)\n",
        "  unclassified: outbox (values inside payload (jsonb) are keys of `organizations`)\n",
        "  global: account_settings (no sign of an organization)\n",
        "mentions the table `legacy`, which the database does not have.",
        "The operator deletes nothing while a table is unclassified.",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text, std::fs::read_to_string(&copy).expect("the copy"));
    assert_eq!(
        text,
        FILE.replace("'legacy']", "'legacy', account_settings]").replace(
            "# since 2024\n",
            "# since 2024
  unclassified:
    - {table: notes, why: \"a new table: user_id refers to `users`\"}
    #   as a step: - {entity: notes, table: notes, parent: people, column: user_id}
    - {table: note_marks, why: \"a new table: note_id refers to `notes`\"}
    #   as a step: - {entity: noteMarks, table: note_marks, parent: notes, column: note_id}
    - {table: outbox, why: \"values inside payload (jsonb) are keys of `organizations`\"}
    #   no step finds rows by a value inside an array or JSON: keep the table, with a reason, and clear these values yourself
"
        )
    );
    assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, mode.mode());
    let beside = std::path::Path::new(&file).parent().expect("a directory");
    let left = std::fs::read_dir(beside).expect("a directory").filter_map(Result::ok).map(|e| e.file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".new")), "no half of a file is left");

    // Once more: nothing.
    let said = run_at(&scene, &url, &update).await.with(0);
    assert!(said.out.contains("The command added nothing."), "{}", said.out);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), text);

    // The suggestions are steps for this file.
    let steps: Vec<&str> = text.lines().filter_map(|l| Some(l.split_once("as a step: ")?.1)).collect();
    let (before, _) = text.split_once("  unclassified:\n").expect("the list");
    let decided = before
        .replace("  keep:\n", &format!("  {}\n  keep:\n    - {{table: outbox, reason: by hand}}\n", steps.join("\n  ")))
        .replace("'legacy', ", "");
    let file = scene.file("decided.yaml", &decided);
    let said = run_at(&scene, &url, &["rehearse", "--config", &file, "--id", "1", "-o", "json"]).await.with(0);
    assert_eq!(deleted(&said.json()), 4, "{decided}");
}

async fn a_file_that_cannot_be_edited_is_left_alone_and_the_lines_are_printed(world: Arc<World>) {
    let (scene, url) = with_schema(world, SCHEMA).await;
    let flow = "cascade: {organization: {table: organizations, key: id}, \
        steps: [{entity: users, table: users, organization: organization_id}], keep: [{table: invoices, reason: law}]}\n";
    let file = scene.file("flow.yaml", flow);
    let said = run_at(&scene, &url, &["plan", "init", "--update", &file]).await.with(2);
    for words in ["cannot safely insert the new tables", "  global:\n    - accounts\n    - legacy\n"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), flow);

    // What the draft of the same schema writes can be updated.
    let (file, _) = draft(&scene, &url, "organizations").await;
    scene
        .sql("CREATE TABLE tags (id int PRIMARY KEY); CREATE TABLE marks (id int, organization_id int NOT NULL)")
        .await;
    run_at(&scene, &url, &["plan", "init", "--update", &file]).await.with(0);
    let updated = plan(&file);
    assert_eq!(updated.global, ["accounts", "legacy", "tags"]);
    assert_eq!(
        open(&updated),
        [(
            "marks",
            "a new table: organization_id has no foreign key, but other tables use its name for foreign keys to `organizations`"
        )]
    );

    for arguments in [
        &["plan", "init"][..],
        &["plan", "init", "--update", &file, "--organization", "organizations"],
        &["plan", "init", "--update", "/nowhere/at/all.yaml"],
    ] {
        assert_eq!(run_at(&scene, &url, arguments).await.with(2).out, "");
    }
}
