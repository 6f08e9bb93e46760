//! "What may the operator do in my cluster?" Exactly what `deploy/base/rbac.yaml` says, and it uses all of that.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::support::{OPERATOR, Scene, Variant, World, eventually, path};
use crate::tests;

tests![
    the_operator_may_do_nothing_else,
    requests_beyond_its_rights_are_refused,
    the_operator_uses_all_its_rights_and_no_other,
];

/// What it must not be able to do, as `kubectl auth can-i` takes it.
const FORBIDDEN: [&str; 43] = [
    "get secrets -n organization-operator-system",
    "list secrets -A",
    "get secrets -n kube-system",
    "create secrets -n organization-operator-system",
    "get configmaps -n organization-operator-system",
    "create organizations",
    "update organizations",
    "deletecollection organizations",
    "update organizations --subresource=status",
    "get organizations --subresource=status",
    "delete customresourcedefinitions/organizations.organization-operator.io",
    "patch customresourcedefinitions/organizations.organization-operator.io",
    "update customresourcedefinitions/organizations.organization-operator.io",
    "list customresourcedefinitions",
    "get customresourcedefinitions/widgets.example.org",
    "list namespaces",
    "get namespaces/default",
    "delete namespaces/kube-system",
    "create namespaces",
    "create pods -n organization-operator-system",
    "get pods -n organization-operator-system --subresource=exec",
    "create pods -n organization-operator-system --subresource=exec",
    "create serviceaccounts -n organization-operator-system --subresource=token",
    "get leases.coordination.k8s.io/another -n organization-operator-system",
    "update leases.coordination.k8s.io/another -n organization-operator-system",
    "delete leases.coordination.k8s.io/organization-operator -n organization-operator-system",
    "list leases.coordination.k8s.io -n organization-operator-system",
    "create leases.coordination.k8s.io -n kube-system",
    "update leases.coordination.k8s.io/organization-operator -n kube-node-lease",
    "patch deployments.apps -n organization-operator-system",
    "patch events.events.k8s.io -n default",
    "update events.events.k8s.io -n default",
    "delete events.events.k8s.io -n default",
    "list events.events.k8s.io -n default",
    "create events.events.k8s.io -n kube-system",
    "create clusterroles.rbac.authorization.k8s.io",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "escalate clusterroles.rbac.authorization.k8s.io",
    "bind clusterroles.rbac.authorization.k8s.io",
    "impersonate users",
    "impersonate serviceaccounts",
    "delete validatingadmissionpolicies.admissionregistration.k8s.io",
    "patch validatingadmissionpolicybindings.admissionregistration.k8s.io",
];

const ALLOWED: [&str; 13] = [
    "get organizations",
    "list organizations",
    "watch organizations",
    "patch organizations",
    "delete organizations",
    "patch organizations --subresource=status",
    "force-finalize organizations",
    "get customresourcedefinitions/organizations.organization-operator.io",
    "get namespaces/kube-system",
    "create events.events.k8s.io -n default",
    "create leases.coordination.k8s.io -n organization-operator-system",
    "get leases.coordination.k8s.io/organization-operator -n organization-operator-system",
    "update leases.coordination.k8s.io/organization-operator -n organization-operator-system",
];

async fn the_operator_may_do_nothing_else(world: Arc<World>) {
    let token = format!("--token={}", world.token);
    for (questions, expected) in [(&ALLOWED[..], "yes"), (&FORBIDDEN[..], "no")] {
        for question in questions {
            let mut arguments = vec!["auth", "can-i", &token];
            arguments.extend(question.split_whitespace());
            let output = world.kubectl(&arguments).await;
            let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            assert_eq!(answer, expected, "{question}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// The same asked for real, with the token that the operator has.
async fn requests_beyond_its_rights_are_refused(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Platform).await;
    let file = scene.file("create.yaml", &scene.org("acme", "1").yaml());
    scene.ok(&["create", "-f", &file]).await;
    let token = format!("--token={}", scene.world.token);
    let name = scene.name("acme");
    let other = scene.file("other.yaml", &scene.org("other", "2").yaml());
    let crd = "organizations.organization-operator.io";
    for arguments in [
        &["get", "secrets", "-n", "organization-operator-system"][..],
        &["create", "-f", &other],
        &["replace", "-f", &file],
        &[
            "delete",
            "--raw",
            "/apis/organization-operator.io/v1alpha1/organizations?fieldSelector=spec.database%3Dnone",
        ],
        &["annotate", "crd", crd, "organization-operator.io/allow-crd-deletion=true"],
        &["delete", "crd", crd, "--dry-run=server"],
        &["get", "namespaces"],
        &["create", "serviceaccount", "more", "-n", "organization-operator-system"],
        &["create", "token", "organization-operator", "-n", "organization-operator-system"],
        &["create", "clusterrolebinding", "more", "--clusterrole=cluster-admin", "--user=me"],
        &["patch", "organization", &name, "--as=system:admin", "--type=merge", "-p", "{}"],
    ] {
        let output = scene.kubectl(&[arguments, &[token.as_str()]].concat()).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was not refused");
        assert!(text.contains("orbidden"), "{arguments:?}: {text}");
    }
    assert!(scene.get("other").await.is_none());
}

/// Where `deploy/` installs the operator.
const NAMESPACE: &str = "organization-operator-system";

/// A right or a request: verb, group, resource with subresource, namespace, name; `*` where it does not matter.
type Right = [String; 5];

/// Every single right that `deploy/base/rbac.yaml` gives.
fn granted() -> BTreeSet<Right> {
    let text = std::fs::read_to_string(path("deploy/base/rbac.yaml")).expect("the roles");
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let mut rights = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let role = Value::deserialize(document).expect("YAML");
        let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        for rule in role["rules"].as_array().into_iter().flatten() {
            let mut names = strings(&rule["resourceNames"]);
            if names.is_empty() {
                names.push("*".to_owned());
            }
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    for verb in strings(&rule["verbs"]) {
                        for name in &names {
                            rights.insert([
                                verb.clone(),
                                group.clone(),
                                resource.clone(),
                                namespace.clone(),
                                name.clone(),
                            ]);
                        }
                    }
                }
            }
        }
    }
    assert!(rights.len() >= 9, "the file was not understood: {rights:?}");
    rights
}

/// The right that each request of the operator needed. (Other tests use its token with kubectl.)
fn used(world: &World, granted: &BTreeSet<Right>) -> BTreeSet<Right> {
    let events = world.control_plane().audit_events().expect("the audit log");
    events
        .into_iter()
        .filter(|e| e.user == OPERATOR && !e.resource.is_empty() && !e.user_agent.starts_with("kubectl"))
        .map(|e| {
            let slash = if e.subresource.is_empty() { "" } else { "/" };
            let resource = format!("{}{slash}{}", e.resource, e.subresource);
            // The API server counts a namespace as being in itself.
            let namespace = if resource == "namespaces" { String::new() } else { e.namespace };
            let any = [e.verb, e.group, resource, namespace, "*".to_owned()];
            if granted.contains(&any) {
                return any;
            }
            let [verb, group, resource, namespace, _] = any;
            [verb, group, resource, namespace, e.name]
        })
        .collect()
}

async fn the_operator_uses_all_its_rights_and_no_other(world: Arc<World>) {
    let granted = granted();
    let beyond = |world: &World| {
        let mut beyond = used(world, &granted);
        beyond.retain(|right| !granted.contains(right));
        // The tests of the election have Leases of their own elsewhere, and roles for them.
        beyond.retain(|[_, _, resource, namespace, _]| resource != "leases" || namespace == NAMESPACE);
        beyond
    };
    // On a control plane of its own it is the instance that `deploy/` installs, with the Lease that the roles name.
    let mut scene = Scene::new(Arc::new(world.apart().await), Variant::Platform).await;
    "default".clone_into(&mut scene.class);
    let acme = scene.key(1);
    scene.seed(&acme).await;
    // A whole life: Lease, finalizer, status, an expiration on which the operator deletes the object, erasure, Event.
    let operator = scene.operator().replica("pod", NAMESPACE, &json!({})).start().await;
    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    scene.expire_soon("acme").await;
    scene.gone("acme").await;
    operator.stop().await;

    eventually("the audit log is complete", || async {
        for world in [&*world, &*scene.world] {
            let beyond = beyond(world);
            assert!(beyond.is_empty(), "requests beyond deploy/base/rbac.yaml: {beyond:#?}");
        }
        // A watch is written down when it ends.
        granted.is_subset(&used(&scene.world, &granted)).then_some(())
    })
    .await;
}
