//! "My platform has 500 tenants and no object": `organization-operator import` makes one for each, and again only for new ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::ResourceExt as _;
use organization_operator::api::Organization;
use serde_json::json;

use crate::plan::{Said, run, run_at};
use crate::support::{PASSWORD, Scene, Variant, World, eventually, path};
use crate::tests;

tests![
    a_directory_gets_a_manifest_for_each_tenant_and_again_only_new_ones,
    names_stay_when_other_rows_come_and_go,
    objects_are_created_and_never_changed,
    whatever_a_key_is_its_object_claims_it,
    an_id_in_another_spelling_is_an_object_that_is_there,
    only_active_tenants_if_that_is_wanted,
    whoever_may_only_read_can_import,
    rights_that_are_missing_are_named,
    what_cannot_be_imported_is_said_before_anything_is_written,
];

/// A column of names that no two tenants share.
const SLUGS: &str = "ALTER TABLE organizations ADD COLUMN slug text UNIQUE";

/// So many tenants, without rows elsewhere, with a slug each.
async fn tenants(world: Arc<World>, count: u32) -> Scene {
    let scene = Scene::new(world, Variant::Platform).await;
    scene.sql(SLUGS).await;
    more(&scene, 1, count).await;
    scene
}

async fn more(scene: &Scene, from: u32, to: u32) {
    scene
        .sql(&format!(
            "INSERT INTO organizations (id, name, slug) \
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Tenant ' || n % 3, 'tenant-' || n \
             FROM generate_series({from}, {to}) n"
        ))
        .await;
}

/// Names of objects are those of the whole cluster.
fn prefix(scene: &Scene) -> String {
    format!("{}-", scene.class)
}

async fn import(scene: &Scene, arguments: &[&str]) -> Said {
    let prefix = prefix(scene);
    run(scene, &[&["import", "--name-prefix", &prefix], arguments].concat()).await
}

fn directory(scene: &Scene, name: &str) -> PathBuf {
    scene.world.directory.path().join(&scene.class).join(name)
}

/// The files of a directory, by their names.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("text");
    entries
        .map(|e| e.expect("an entry"))
        .map(|e| (e.file_name().to_string_lossy().into_owned(), read(e.path())))
        .collect()
}

/// The objects of this test.
async fn objects(scene: &Scene) -> Vec<Organization> {
    let selector = format!("spec.database={}", scene.class);
    scene.api().list(&kube::api::ListParams::default().fields(&selector)).await.expect("objects").items
}

async fn a_directory_gets_a_manifest_for_each_tenant_and_again_only_new_ones(world: Arc<World>) {
    let scene = tenants(world, 500).await;
    let place = directory(&scene, "a/tenants");
    let shown = place.display().to_string();
    let into = ["--name-column", "slug", "--output", &shown];
    let said = import(&scene, &[&into[..], &["--dry-run"]].concat()).await.with(0);
    assert_eq!(said.out, format!("Would write 500 manifests in {shown}.\n"));
    assert!(!place.exists(), "a dry run writes nothing");

    let said = import(&scene, &into).await.with(0);
    assert!(
        said.out.starts_with(&format!("Wrote 500 manifests in {shown}.\nTheir deletionPolicy is Retain")),
        "{}",
        said.out
    );
    let written = files(&place);
    assert_eq!(written.len(), 501);
    let name = format!("{}tenant-7", prefix(&scene));
    assert_eq!(
        written[&format!("{name}.yaml")],
        format!(
            "apiVersion: organization-operator.io/v1alpha1\nkind: Organization\nmetadata:\n  name: \"{name}\"\nspec:\n  organizationId: \"00000000-0000-4000-8000-000000000007\"\n  deletionPolicy: Retain\n  database: \"{}\"\n",
            scene.class
        )
    );
    // kustomize reads the directory, and the API server takes every object.
    scene.ok(&["apply", "--server-side", "--dry-run=server", "-k", &shown]).await;

    let said = import(&scene, &into).await.with(0);
    assert_eq!(
        said.out,
        format!("Wrote 0 manifests in {shown}.\nLeft out 500 organizations:\n  500 have a manifest in {shown}\n")
    );
    assert_eq!(files(&place), written, "nothing has changed");

    more(&scene, 501, 503).await;
    scene.sql("DELETE FROM organizations WHERE slug = 'tenant-9'").await;
    let said = import(&scene, &into).await.with(0);
    assert!(said.out.starts_with("Wrote 3 manifests") && said.out.contains("  499 have a manifest in"), "{}", said.out);
    let after = files(&place);
    assert!(written.iter().all(|(file, text)| file == "kustomization.yaml" || after[file] == *text));
    assert_eq!(after["kustomization.yaml"].matches("  - \"").count(), 503, "what a person has to remove stays");
    // A run that was interrupted before it listed what it wrote.
    std::fs::remove_file(place.join("kustomization.yaml")).expect("removed");
    import(&scene, &into).await.with(0);
    assert_eq!(files(&place), after);
}

async fn names_stay_when_other_rows_come_and_go(world: Arc<World>) {
    let scene = tenants(world, 60).await;
    // Three names for sixty tenants, and no index that makes them unique.
    let names = async |place: &str| {
        let place = directory(&scene, place);
        let shown = place.display().to_string();
        let said = import(&scene, &["--name-column", "name", "--output", &shown]).await.with(0);
        assert!(
            said.out.contains("No index makes the column `name` unique, so each name has a suffix"),
            "{}",
            said.out
        );
        let files = files(&place).into_iter().filter(|(file, _)| file != "kustomization.yaml");
        files.map(|(file, text)| (text.split("organizationId: ").nth(1).expect("an id").to_owned(), file)).collect()
    };
    let first: BTreeMap<String, String> = names("first").await;
    assert_eq!(first.len(), 60);
    scene.sql("DELETE FROM organizations WHERE slug <> 'tenant-40'").await;
    more(&scene, 100, 120).await;
    let second: BTreeMap<String, String> = names("second").await;
    assert_eq!(second.len(), 22);
    let both: Vec<&String> = second.iter().filter(|(id, _)| first.contains_key(*id)).map(|(id, _)| id).collect();
    assert_eq!(both.len(), 1);
    assert_eq!(first[both[0]], second[both[0]]);
}

async fn objects_are_created_and_never_changed(world: Arc<World>) {
    let scene = tenants(world, 60).await;
    // One has an object of another name, and one has a name that another organization's object has.
    scene.apply(&scene.org("mine", "00000000-0000-4000-8000-000000000001").policy("Deactivate")).await;
    let taken = scene.org(&format!("x{}", scene.class), "00000000-0000-4000-8000-00000000ffff");
    let taken = taken.spec("database", json!("elsewhere"));
    let name = format!("{}tenant-2", prefix(&scene));
    let file = scene.file("taken.yaml", &taken.yaml().replace(&taken.name(), &name));
    scene.ok(&["apply", "-f", &file]).await;
    let before = (scene.get("mine").await.expect("it is there").0, scene.api().get(&name).await.expect("it is there"));

    let arguments = ["--name-column", "slug", "--apply", "--policy", "Deactivate"];
    let said = import(&scene, &arguments).await.with(1);
    let left_out = format!(
        "Left out 2 organizations:\n  1 has an object in the cluster\n  1 would get a name that another object has ({name}): use --name-prefix, or another --name-column\n"
    );
    assert!(said.out.starts_with("Created 58 objects.\n") && said.out.contains(&left_out), "{}", said.out);
    let created = objects(&scene).await;
    assert_eq!(created.len(), 59);
    for object in created.iter().filter(|object| object.name_any().contains("tenant")) {
        let managers = object.metadata.managed_fields.iter().flatten();
        let managers: Vec<&str> = managers.filter_map(|m| m.manager.as_deref()).collect();
        assert_eq!(managers, ["organization-operator-import"]);
        assert_eq!(object.spec.deletion_policy.as_str(), "Deactivate");
        assert_eq!(object.spec.state, None);
    }
    let said = import(&scene, &arguments).await.with(1);
    assert!(said.out.starts_with("Created 0 objects.\nLeft out 60 organizations:\n  59 have"), "{}", said.out);
    let after = objects(&scene).await;
    let versions = |objects: &[Organization]| -> Vec<Option<String>> {
        objects.iter().map(kube::ResourceExt::resource_version).collect()
    };
    assert_eq!(versions(&after), versions(&created), "nothing has changed");
    let unchanged =
        (scene.get("mine").await.expect("it is there").0, scene.api().get(&name).await.expect("it is there"));
    assert_eq!(unchanged, before);
}

async fn whatever_a_key_is_its_object_claims_it(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Text).await;
    let long = "k".repeat(255);
    let keys = [
        "acme",
        "Acme",
        "ACME!",
        "a b",
        "4711",
        "no",
        "1e5",
        "ä",
        "株式会社",
        "'; DROP TABLE users; --",
        "a\nb",
        "\\",
        "\"",
        "-",
        ".",
        "kustomization",
        &long,
    ];
    let mut connection = scene.connect().await;
    for key in keys.iter().copied().chain(["", &format!("{long}x")]) {
        let insert = sqlx::query("INSERT INTO organizations (id, name) VALUES ($1, 'x')").bind(key);
        insert.execute(&mut connection).await.expect("inserted");
    }
    let operator = scene.start().await;
    let said = import(&scene, &["--apply"]).await.with(1);
    for line in [
        format!("Created {} objects.\n", keys.len()),
        "  1 has an empty key, which cannot be a spec.organizationId\n".to_owned(),
        "  1 has a key of more than 255 characters, which cannot be a spec.organizationId\n".to_owned(),
    ] {
        assert!(said.out.contains(&line), "{line} is missing: {}", said.out);
    }
    let created = objects(&scene).await;
    assert_eq!(created.len(), keys.len());
    for object in created {
        let name = object.name_any();
        let seen = eventually("the claim", || async {
            scene.api().get(&name).await.ok().filter(|object| object.status.as_ref().is_some_and(|s| s.claim.is_some()))
        })
        .await;
        let claim = seen.status.and_then(|status| status.claim).expect("a claim");
        assert_eq!(claim.organization_key, object.spec.organization_id);
        assert!(keys.contains(&claim.organization_key.as_str()));
    }
    // Whoever reads the directory has the same keys, and the same names.
    let place = directory(&scene, "tenants");
    let shown = place.display().to_string();
    import(&scene, &["--without-cluster", "--output", &shown]).await.with(1);
    let said = import(&scene, &["--without-cluster", "--output", &shown]).await.with(1);
    assert!(said.out.contains(&format!("{} have a manifest", keys.len())), "{}", said.out);
    let said = scene.ok(&["apply", "--server-side", "--dry-run=server", "-k", &shown, "--force-conflicts"]).await;
    assert_eq!(said.lines().count(), keys.len(), "{said}");
    assert_eq!(objects(&scene).await.len(), keys.len());
    operator.stop().await;
}

async fn an_id_in_another_spelling_is_an_object_that_is_there(world: Arc<World>) {
    for (variant, key, spelling) in [
        (Variant::Bigint, "42", "0042"),
        (Variant::Platform, "ac3e0000-0000-4000-8000-00000000000a", "AC3E0000-0000-4000-8000-00000000000A"),
    ] {
        let scene = Scene::new(world.clone(), variant).await;
        scene.seed(key).await;
        scene.seed(&scene.key(5)).await;
        // One object that nobody has claimed yet, and one that can never be claimed.
        scene.apply(&scene.org("acme", spelling)).await;
        scene.apply(&scene.org("nonsense", "no key at all")).await;
        let said = import(&scene, &["--apply"]).await.with(0);
        assert!(
            said.out.contains("Created 1 object.\n") && said.out.contains("  1 has an object in the cluster\n"),
            "{}",
            said.out
        );
        // The same in a directory.
        let place = directory(&scene, "tenants");
        std::fs::create_dir_all(&place).expect("a directory");
        let manifest = scene.org("acme", spelling).yaml();
        std::fs::write(place.join("by-hand.yml"), format!("# by hand\n---\n{manifest}")).expect("written");
        let shown = place.display().to_string();
        let said = import(&scene, &["--without-cluster", "--output", &shown]).await.with(0);
        assert!(
            said.out.contains("Wrote 1 manifest in ") && said.out.contains("  1 has a manifest in "),
            "{}",
            said.out
        );
        let list = &files(&place)["kustomization.yaml"];
        assert!(list.contains("  - \"by-hand.yml\"\n"), "{list}");
        // What is claimed counts by its claim, and is of this database.
        let operator = scene.start().await;
        scene.ready("acme").await;
        let said = import(&scene, &["--apply"]).await.with(0);
        assert!(
            said.out.contains("Created 0 objects.\nLeft out 2 organizations:\n  2 have an object in the cluster\n"),
            "{}",
            said.out
        );
        operator.stop().await;
        let other = Scene::new(world.clone(), variant).await;
        let said = run_at(&scene, &other.url(), &["import", "--apply"]).await.with(2);
        assert!(
            said.err.contains("were claimed in another database") && said.err.contains("--database"),
            "{}",
            said.err
        );
    }
}

async fn only_active_tenants_if_that_is_wanted(world: Arc<World>) {
    let scene = tenants(world, 5).await;
    scene.sql("UPDATE organizations SET is_active = false WHERE slug IN ('tenant-1', 'tenant-2')").await;
    let said = import(&scene, &["--active-only", "--without-cluster", "--name-column", "slug"]).await.with(0);
    assert_eq!(said.out.matches("kind: Organization").count(), 3, "{}", said.out);
    assert!(!said.out.contains("tenant-1\"") && said.out.contains("tenant-3\""), "{}", said.out);
    assert!(
        said.err.starts_with("Printed 3 manifests.\nLeft out 2 organizations:\n  2 are deactivated\n"),
        "{}",
        said.err
    );
    // What is printed can be applied.
    let file = scene.file("all.yaml", &said.out);
    scene.ok(&["apply", "--server-side", "--dry-run=server", "-f", &file]).await;
    let plan = "cascade: {organization: {table: organizations, key: id}, steps: [{entity: users, table: users, organization: organization_id}]}";
    let config = scene.file("config.yaml", plan);
    let said = import(&scene, &["--active-only", "--config", &config]).await.with(2);
    assert!(said.err.contains("cascade.organization.active"), "{}", said.err);
}

async fn whoever_may_only_read_can_import(world: Arc<World>) {
    let scene = tenants(world, 3).await;
    let role = format!("reader_{}", scene.class);
    scene
        .sql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT SELECT ON organizations TO {role}; \
             ALTER ROLE {role} SET default_transaction_read_only = on"
        ))
        .await;
    let url = scene.world.postgres().url(&role, PASSWORD, &scene.database);
    let said = run_at(&scene, &url, &["import", "--without-cluster", "--name-column", "slug"]).await.with(0);
    assert_eq!(said.out.matches("kind: Organization").count(), 3, "{}", said.out);
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

async fn rights_that_are_missing_are_named(world: Arc<World>) {
    let scene = tenants(world, 3).await;
    let user = format!("vera-{}", scene.class);
    let binding = ["create", "clusterrolebinding", &user, "--clusterrole=organization-viewer"];
    scene.ok(&[&binding[..], &["--user", &user]].concat()).await;
    let kubeconfig = std::fs::read_to_string(scene.world.control_plane().admin_kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: serde_yaml::Value = serde_yaml::from_str(&kubeconfig).expect("a kubeconfig");
    kubeconfig["users"][0]["user"]["as"] = serde_yaml::Value::from(user.as_str());
    let file = scene.file("vera", &serde_yaml::to_string(&kubeconfig).expect("a kubeconfig"));
    let said = import(&scene, &["--kubeconfig", &file, "--name-column", "slug"]).await.with(0);
    assert_eq!(said.out.matches("kind: Organization").count(), 3, "{}", said.out);
    let said = import(&scene, &["--kubeconfig", &file, "--name-column", "slug", "--apply"]).await.with(2);
    for part in ["could not be created", "cannot create resource", "organization-editor", "Created 0 objects."] {
        assert!(said.err.contains(part), "{part} is missing: {}", said.err);
    }
    assert!(objects(&scene).await.is_empty());
}

async fn what_cannot_be_imported_is_said_before_anything_is_written(world: Arc<World>) {
    let scene = tenants(world, 4).await;
    let place = directory(&scene, "tenants");
    std::fs::create_dir_all(&place).expect("a directory");
    let shown = place.display().to_string();
    let into = ["--name-column", "slug", "--output", &shown];
    let refused = async |arguments: &[&str], words: &[&str]| {
        let said = import(&scene, arguments).await.with(2);
        for part in words {
            assert!(said.err.contains(part), "{part} is missing: {}", said.err);
        }
        assert!(said.out.is_empty(), "{}", said.out);
    };
    refused(
        &["--name-column", "slag"],
        &["`public.organizations` has no column `slag`", "id, name, is_active", "slug"],
    )
    .await;
    refused(&["--name-prefix", "A_"], &["--name-prefix"]).await;
    refused(&["--policy", "delete"], &["Retain, Deactivate or Delete"]).await;
    refused(&["--apply", "--output", &shown], &["cannot be used with"]).await;
    refused(&["--context", "no-such-context"], &["no-such-context", "--without-cluster"]).await;
    let foreign = format!("{}tenant-3.yaml", prefix(&scene));
    std::fs::write(place.join(&foreign), "kind: ConfigMap\n").expect("written");
    refused(&into, &["in the way", &foreign, "nothing was written"]).await;
    assert_eq!(files(&place).len(), 1, "nothing was written");
    std::fs::write(place.join(&foreign), "{{ a template").expect("written");
    refused(&into, &["cannot be read as YAML", &foreign]).await;
    std::fs::remove_file(place.join(&foreign)).expect("removed");
    std::fs::write(place.join("kustomization.yaml"), "resources: []\n").expect("written");
    refused(&into, &["was not written by this command"]).await;
    assert_eq!(files(&place)["kustomization.yaml"], "resources: []\n");
    let said = run(&scene, &["import", "--help"]).await.with(0);
    for part in ["Exit codes:", "--name-column", "suffix from the key", "Examples:"] {
        assert!(said.out.contains(part), "{part} is missing: {}", said.out);
    }
    assert!(std::fs::read_to_string(path("docs/security.md")).expect("text").contains("kubectl.md#import"));
}
