//! The operator itself deletes what has expired, and no policy of `deploy/` may stand in its way.

use super::*;

tests![the_operator_deletes_what_expired_under_every_policy];

/// Kind and name of every admission policy and binding below `deploy/components`.
fn shipped() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![path("deploy/components").into()];
    while let Some(directory) = directories.pop() {
        let directory: std::path::PathBuf = directory;
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let file = entry.expect("an entry").path();
            if file.is_dir() {
                directories.push(file);
            } else if file.extension().is_some_and(|end| end == "yaml") {
                let text = std::fs::read_to_string(&file).expect("a file");
                for document in serde_yaml::Deserializer::from_str(&text) {
                    let value = Value::deserialize(document).expect("YAML");
                    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let kind = word(&value["kind"]);
                    if kind.contains("AdmissionPolicy") {
                        found.push((kind, word(&value["metadata"]["name"])));
                    }
                }
            }
        }
    }
    found
}

async fn the_operator_deletes_what_expired_under_every_policy(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let at_creation = finalizer_at_creation(&scene).await;
    let policies = shipped();
    assert!(policies.iter().filter(|(kind, _)| kind == "ValidatingAdmissionPolicy").count() >= 6, "{policies:?}");
    for (kind, name) in policies {
        // Those that this test installs for its own objects have its name.
        let name = if kind.starts_with("Mutating") { format!("{}.{name}", scene.class) } else { name };
        scene.ok(&["get", &kind, &name]).await;
    }
    let operator = scene.start().await;
    let cases = [("erase", 1, "Delete"), ("switch", 2, "Deactivate"), ("keep", 3, "Retain")];
    for (name, number, policy) in cases {
        scene.seed(&scene.key(number)).await;
        scene.apply(&scene.org(name, &scene.key(number)).policy(policy)).await;
    }
    scene.admission("keep").await;
    for (name, ..) in cases {
        scene.expire_soon(name).await;
    }
    for (name, number, policy) in cases {
        scene.gone(name).await;
        assert_eq!(scene.total(&scene.key(number)).await == 0, policy == "Delete", "{name}");
        assert!(scene.operator_writes(name).iter().any(|write| write.starts_with("delete organizations/")), "{name}");
    }
    let refusals = "organization_operator_failures_total{reason=\"AdmissionDenied\"} 0\n";
    assert!(operator.metrics().await.contains(refusals), "a policy refused something");
    operator.stop().await;
    scene.ok(&["delete", "-f", &at_creation]).await;
}
