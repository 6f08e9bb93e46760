//! The commands with a configuration that lists several databases.

use super::{Arc, World, json, list};
use crate::plan::{Said, said};
use crate::support::{Scene, Variant, binary};

crate::tests![
    a_command_finds_the_database_of_the_object,
    new_tables_belong_to_the_plan_of_their_database,
    a_url_without_a_name_is_refused,
];

async fn command(scene: &Scene, environment: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = tokio::process::Command::new(binary());
    command.env_remove("DATABASE").env_remove("DATABASE_URL").env_remove("CONFIG");
    command.env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig()).envs(environment.iter().copied());
    command.args(arguments);
    said(command).await
}

async fn a_command_finds_the_database_of_the_object(world: Arc<World>) {
    let eu = Scene::new(world.clone(), Variant::Platform).await;
    let us = Scene::new(world, Variant::Bigint).await;
    let key = us.key(1);
    us.seed(&key).await;
    us.apply(&us.org("acme", &key)).await;
    let configuration = json!({"databases": list([&eu, &us])});
    let file = eu.file("list.yaml", &serde_yaml::to_string(&configuration).expect("YAML"));
    let name = us.name("acme");

    // An id that only the second database can have: it is a number.
    for arguments in [&["rehearse", &name, "--config", &file][..], &["plan", "show", &name, "--config", &file]] {
        let said = command(&us, &[], arguments).await;
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
    }
    let checked = command(&us, &[], &["check", &name, "--config", &file, "-o", "json"]).await;
    assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    assert!(checked.out.contains(&format!("\"{key}\"")), "{}", checked.out);
    let said = command(&us, &[], &["rehearse", "--id", &key, "--database", &us.class, "--config", &file]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);

    // Nothing says which one is meant, or something else does.
    for (arguments, part) in [
        (&["check", "--config", &file][..], "name one with --database"),
        (&["import", "--config", &file, "--dry-run"], "name one with --database"),
        (&["migrate", "--config", &file, "--database", "asia"], "has no database `asia`"),
        (&["check", &name, "--config", &file, "--database", &eu.class], "belongs to the database"),
    ] {
        let said = command(&us, &[], arguments).await;
        assert_ne!(said.code, 0, "{arguments:?}");
        assert!(said.err.contains(part) && said.err.contains(&us.class), "{part}: {}", said.err);
    }
    let imported = ["import", "--config", &file, "--database", &us.class, "--without-cluster"];
    let said = command(&us, &[], &imported).await;
    assert!(said.out.contains(&format!("database: \"{}\"", us.class)), "{}{}", said.out, said.err);
}

/// The command edits the plan of all databases alone. It says where the lines belong, and only if there are any.
async fn new_tables_belong_to_the_plan_of_their_database(world: Arc<World>) {
    let eu = Scene::new(world.clone(), Variant::Platform).await;
    let us = Scene::new(world, Variant::Platform).await;
    us.sql("CREATE TABLE countries (id int PRIMARY KEY)").await;
    let (url, draft) = (us.url(), ["plan", "init", "--organization", "organizations"]);
    let drafted = command(&us, &[("DATABASE_URL", &url)], &draft).await.with(0).out;
    let drafted: serde_json::Value = serde_yaml::from_str(&drafted).expect("a draft");
    let mut databases = list([&eu, &us]);
    databases[1]["cascade"] = drafted["cascade"].clone();
    let written = serde_yaml::to_string(&json!({"databases": databases})).expect("YAML");
    let file = eu.file("list.yaml", &written);
    let update = ["plan", "init", "--update", &file, "--database", &us.class];
    command(&us, &[], &update).await.with(0);
    us.sql("CREATE TABLE currencies (id int PRIMARY KEY)").await;
    let said = command(&us, &[], &update).await.with(2);
    let place = format!("below `cascade` of the database `{}` by hand", us.class);
    assert!(said.err.contains(&place) && said.err.contains("currencies"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), written);
}

async fn a_url_without_a_name_is_refused(world: Arc<World>) {
    let eu = Scene::new(world.clone(), Variant::Platform).await;
    let us = Scene::new(world, Variant::Platform).await;
    let configuration = json!({"databases": list([&eu, &us])});
    let file = eu.file("list.yaml", &serde_yaml::to_string(&configuration).expect("YAML"));
    let said =
        command(&eu, &[("DATABASE_URL", &eu.url())], &["run", "--listen", "127.0.0.1:0", "--config", &file]).await;
    assert_ne!(said.code, 0);
    assert!(said.err.contains("--database NAME") && said.err.contains("DATABASE_URL"), "{}", said.err);
    // With a name it is that one's, whatever its file says.
    let gone = json!({"databases": [{"name": eu.class, "urlFile": "/nowhere"}, super::entry(&us)]});
    let file = eu.file("gone.yaml", &serde_yaml::to_string(&gone).expect("YAML"));
    let arguments = ["migrate", "--config", &file, "--database", &eu.class];
    let said = command(&eu, &[("DATABASE_URL", &eu.url())], &arguments).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = command(&eu, &[], &arguments).await;
    assert!(said.err.contains("/nowhere"), "{}", said.err);
}
