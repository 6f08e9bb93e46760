//! The control plane and the proxy in front of it. One control plane serves all of it: its start is
//! the longest part, and the first one ever builds the programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use testbed::proxy::{ApiProxy, Fault, Moment};
use testbed::{ControlPlane, ControlPlaneOptions};

async fn kubectl(mut command: Command, arguments: &str) -> Output {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    tokio::task::spawn_blocking(move || command.args(arguments).output().unwrap())
        .await
        .unwrap()
}

async fn succeeds(command: Command, arguments: &str) -> String {
    let output = kubectl(command, arguments).await;
    assert!(
        output.status.success(),
        "kubectl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_is_usable_and_its_writes_can_be_struck() {
    let control_plane = Arc::new(
        ControlPlane::start(ControlPlaneOptions::default())
            .await
            .unwrap(),
    );
    let direct = || control_plane.kubectl();

    let version = succeeds(direct(), "version").await;
    assert!(
        version
            .lines()
            .any(|line| line.starts_with("Client Version: v1.")),
        "{version}"
    );
    assert!(
        version
            .lines()
            .any(|line| line.starts_with("Server Version: v1.")),
        "{version}"
    );
    assert!(
        control_plane
            .ca_pem()
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );

    let proxy = ApiProxy::start(&control_plane).await.unwrap();
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        kubeconfig.path(),
        control_plane.kubeconfig(control_plane.admin_token(), Some(&proxy.url())),
    )
    .unwrap();
    let through = || {
        let mut kubectl = control_plane.kubectl();
        kubectl.env("KUBECONFIG", kubeconfig.path());
        kubectl
    };

    // A watch is passed on as it happens, not when it ends.
    let mut watch = through()
        .args(["get", "configmaps", "--watch", "--output=name"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut watched = BufReader::new(watch.stdout.take().unwrap()).lines();

    // Writes are numbered; reads are not.
    proxy.count_only(|what| what.contains("/configmaps"));
    proxy.record();
    succeeds(through(), "create configmap one").await;
    succeeds(through(), "get configmaps").await;
    succeeds(through(), "delete configmap one --wait=false").await;
    let log: Vec<String> = proxy.log().iter().map(ToString::to_string).collect();
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(
        log,
        [format!("#1 POST {path}"), format!("#2 DELETE {path}/one")]
    );
    let seen = tokio::task::spawn_blocking(move || watched.next().unwrap().unwrap());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(10), seen)
            .await
            .unwrap()
            .unwrap(),
        "configmap/one"
    );
    watch.kill().unwrap();
    watch.wait().unwrap();

    // Before: the API server has not seen it.
    proxy.arm(
        Fault {
            ordinal: 1,
            moment: Moment::Before,
        },
        || (),
    );
    assert!(
        !kubectl(through(), "create configmap two")
            .await
            .status
            .success()
    );
    assert_eq!(
        proxy.fired().unwrap().to_string(),
        format!("#1 POST {path}")
    );
    assert!(
        !kubectl(direct(), "get configmap two")
            .await
            .status
            .success()
    );

    // After: it is done when the hook runs, but the client does not learn it.
    let found = Arc::new(std::sync::Mutex::new(None));
    let hook = {
        let (found, control_plane) = (Arc::clone(&found), Arc::clone(&control_plane));
        move || {
            let get = control_plane
                .kubectl()
                .args(["get", "configmap", "three"])
                .output()
                .unwrap();
            *found.lock().unwrap() = Some(get.status.success());
        }
    };
    proxy.arm(
        Fault {
            ordinal: 1,
            moment: Moment::After,
        },
        hook,
    );
    assert!(
        !kubectl(through(), "create configmap three")
            .await
            .status
            .success()
    );
    assert!(proxy.wait_fired(Duration::from_secs(5)).await.is_some());
    assert_eq!(*found.lock().unwrap(), Some(true));

    // Severed, then restored.
    proxy.sever().await;
    assert!(!kubectl(through(), "get configmaps").await.status.success());
    proxy.restore().await.unwrap();
    succeeds(through(), "get configmap three").await;

    // RBAC applies to everyone but the administrator.
    succeeds(direct(), "create serviceaccount nobody").await;
    let token = succeeds(direct(), "create token nobody").await;
    std::fs::write(
        kubeconfig.path(),
        control_plane.kubeconfig(token.trim(), None),
    )
    .unwrap();
    let refused = kubectl(through(), "get configmaps").await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"));
    assert_eq!(
        succeeds(
            through(),
            "auth whoami --output=jsonpath={.status.userInfo.username}"
        )
        .await,
        "system:serviceaccount:default:nobody"
    );

    // The audit log has Events, and not ConfigMaps.
    let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"noted"},"involvedObject":{"namespace":"default"}}"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), event).unwrap();
    succeeds(
        direct(),
        &format!("create --filename {}", file.path().display()),
    )
    .await;
    let events = control_plane.audit_events().unwrap();
    let noted = events.iter().find(|event| event.is_write()).unwrap();
    assert_eq!(
        (
            noted.verb.as_str(),
            noted.user.as_str(),
            noted.resource.as_str(),
            noted.code
        ),
        ("create", "admin", "events", 201)
    );
    assert!(noted.completed >= noted.received);
    assert!(events.iter().all(|event| event.resource == "events"));

    // The API server comes back with what it had.
    control_plane.kill_api_server().await.unwrap();
    assert!(
        !kubectl(direct(), "get configmap three")
            .await
            .status
            .success()
    );
    control_plane.start_api_server().await.unwrap();
    succeeds(direct(), "get configmap three").await;
}
