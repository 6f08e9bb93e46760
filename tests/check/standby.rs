//! A check of a standby: people like to spare the primary.

use std::sync::Arc;

use serde_json::json;
use testbed::PostgresOptions;

use super::run;
use crate::support::{Need, PASSWORD, ROLE, Scene, Variant, World, eventually};
use crate::tests;

tests![needs Need::PgBaseBackup; a_standby_says_what_it_cannot_check];

/// To find people who belong to nobody else, keys have to be written down, which a standby cannot do.
async fn a_standby_says_what_it_cannot_check(world: Arc<World>) {
    let primary = Arc::new(world.with_postgres(PostgresOptions::default()).await);
    let standby = primary.postgres().standby().await.expect("a standby");
    let scene = Scene::new(primary, Variant::Ordinary).await;
    scene.start().await.stop().await;
    let acme = scene.key(1);
    scene.seed(&acme).await;
    scene
        .sql(
            "DROP TABLE task_outputs, task_statuses, flow_executions, flows, users CASCADE;
             CREATE TABLE people (id int PRIMARY KEY);
             CREATE TABLE memberships (person int REFERENCES people, organization_id uuid NOT NULL REFERENCES organizations);
             CREATE INDEX ON memberships (person); CREATE INDEX ON memberships (organization_id);
             GRANT SELECT, DELETE, UPDATE ON people, memberships TO organization_operator;
             INSERT INTO people VALUES (1)",
        )
        .await;
    scene.sql(&format!("INSERT INTO memberships VALUES (1, '{acme}')")).await;
    let url = standby.url(ROLE, PASSWORD, &scene.database);
    let caught_up = || async {
        let mut connection = standby.connect(&scene.database).await.ok()?;
        let found = sqlx::query("SELECT FROM memberships").fetch_optional(&mut connection).await.ok()?;
        found.map(drop)
    };
    eventually("the standby to have the rows", caught_up).await;

    let organization = json!({"table": "organizations", "key": "id"});
    let memberships = json!({"entity": "memberships", "table": "memberships", "organization": "organization_id"});
    let people = json!({"entity": "people", "table": "people", "referencedBy": "memberships", "column": "person"});
    let config = |steps| json!({"cascade": {"organization": organization, "steps": steps}});
    let with_people = config(json!([memberships, people]));
    let arguments = ["-o", "json", "--id", &acme];

    let answer = run(&scene, &with_people, &arguments, &url).await;
    let found = answer.of("Standby");
    assert_eq!((answer.code, found.len()), (Some(1), 1), "{}{}", answer.text, answer.errors);
    assert_eq!((found[0].0.as_str(), found[0].3.contains("primary")), ("Blocks", true), "{}", answer.text);
    for part in ["`public.people` (`referencedBy`)", "were not checked"] {
        assert!(answer.text.contains(part), "{part}: {}", answer.text);
    }
    let organization = &answer.json()["organization"];
    assert_eq!((&organization["state"], &organization["referencesChecked"]), (&json!("Active"), &json!(false)));

    // What can be checked there is checked: the schema, and organizations without such steps.
    let answer = run(&scene, &with_people, &["-o", "json"], &url).await;
    assert_eq!((answer.code, answer.of("Standby").len()), (Some(0), 0), "{}{}", answer.text, answer.errors);
    let keep = json!([memberships]);
    let answer = run(&scene, &config(keep), &arguments, &url).await;
    assert_eq!(answer.code, Some(0), "{}{}", answer.text, answer.errors);
    assert_eq!(answer.json()["organization"]["referencesChecked"], true, "{}", answer.text);
    let answer = run(&scene, &with_people, &arguments, &scene.url()).await;
    assert_eq!((answer.code, answer.of("Standby").len()), (Some(0), 0), "{}{}", answer.text, answer.errors);
    assert_eq!(answer.json()["organization"]["referencesChecked"], true, "{}", answer.text);
}
