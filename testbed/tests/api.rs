//! The control plane and the proxy in front of it. One control plane serves all of it: its start is
//! the longest part, and the first one ever builds the programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::NamedTempFile;
use testbed::proxy::{ApiProxy, Fault, Moment};
use testbed::{ControlPlane, ControlPlaneOptions};

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn kubectl(mut command: Command, arguments: &str) -> Output {
    let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    tokio::task::spawn_blocking(move || command.args(arguments).output().unwrap()).await.unwrap()
}

async fn succeeds(command: Command, arguments: &str) -> String {
    let output = kubectl(command, arguments).await;
    assert!(output.status.success(), "kubectl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_is_usable_and_its_writes_can_be_struck() {
    let started = ControlPlane::start(ControlPlaneOptions::default()).await;
    let control_plane = Arc::new(started.unwrap());

    let version = succeeds(control_plane.kubectl(), "version").await;
    assert!(version.lines().any(|line| line.starts_with("Client Version: v1.")), "{version}");
    assert!(version.lines().any(|line| line.starts_with("Server Version: v1.")), "{version}");
    assert!(control_plane.ca_pem().unwrap().contains("BEGIN CERTIFICATE"));

    let proxy = ApiProxy::start(&control_plane).await.unwrap();
    let admin = Client::new(&control_plane, control_plane.admin_token(), Some(&proxy.url()));
    proxy.count_only(|what| what.contains("/configmaps"));
    writes_are_numbered_and_watches_pass(&proxy, &admin).await;
    writes_are_struck_before_and_after(&proxy, &admin, &control_plane).await;
    a_severed_proxy_comes_back(&proxy, &admin).await;
    others_are_subject_to_rbac(&control_plane).await;
    events_are_in_the_audit_log(&control_plane).await;
    the_api_server_comes_back_with_its_data(&control_plane).await;
}

/// `kubectl` of somebody, through some URL.
struct Client<'a> {
    control_plane: &'a ControlPlane,
    kubeconfig: NamedTempFile,
}

impl<'a> Client<'a> {
    fn new(control_plane: &'a ControlPlane, token: &str, server: Option<&str>) -> Self {
        let kubeconfig = NamedTempFile::new().unwrap();
        std::fs::write(kubeconfig.path(), control_plane.kubeconfig(token, server)).unwrap();
        Self { control_plane, kubeconfig }
    }

    fn kubectl(&self) -> Command {
        let mut kubectl = self.control_plane.kubectl();
        kubectl.env("KUBECONFIG", self.kubeconfig.path());
        kubectl
    }
}

async fn writes_are_numbered_and_watches_pass(proxy: &ApiProxy, admin: &Client<'_>) {
    let mut watch = admin.kubectl();
    watch.args(["get", "configmaps", "--watch", "--output=name"]).stdout(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut watched = BufReader::new(watch.stdout.take().unwrap()).lines();

    proxy.record();
    succeeds(admin.kubectl(), "create configmap one").await;
    succeeds(admin.kubectl(), "get configmaps").await;
    succeeds(admin.kubectl(), "delete configmap one --wait=false").await;
    let log: Vec<String> = proxy.log().iter().map(ToString::to_string).collect();
    assert_eq!(log, [format!("#1 POST {CONFIGMAPS}"), format!("#2 DELETE {CONFIGMAPS}/one")]);

    // While the watch goes on, not when it ends.
    let seen = tokio::task::spawn_blocking(move || watched.next().unwrap().unwrap());
    let seen = tokio::time::timeout(Duration::from_secs(10), seen).await;
    assert_eq!(seen.unwrap().unwrap(), "configmap/one");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

async fn writes_are_struck_before_and_after(proxy: &ApiProxy, admin: &Client<'_>, control_plane: &Arc<ControlPlane>) {
    // The hook asks the API server itself, past the proxy, whether it has done it.
    let found = Arc::new(Mutex::new(None));
    let look_for = |name: &'static str| {
        let (found, control_plane) = (Arc::clone(&found), Arc::clone(control_plane));
        move || {
            let get = control_plane.kubectl().args(["get", "configmap", name]).output();
            *found.lock().unwrap() = Some(get.unwrap().status.success());
        }
    };
    for (moment, name, done) in [(Moment::Before, "two", false), (Moment::After, "three", true)] {
        proxy.arm(Fault { ordinal: 1, moment }, look_for(name));
        let create = kubectl(admin.kubectl(), &format!("create configmap {name}")).await;
        assert!(!create.status.success(), "the client sees a broken connection");
        let fired = proxy.wait_fired(Duration::from_secs(5)).await;
        assert_eq!(fired.unwrap().to_string(), format!("#1 POST {CONFIGMAPS}"));
        assert_eq!(found.lock().unwrap().take(), Some(done));
        let get = kubectl(admin.kubectl(), &format!("get configmap {name}")).await;
        assert_eq!(get.status.success(), done);
    }
}

async fn a_severed_proxy_comes_back(proxy: &ApiProxy, admin: &Client<'_>) {
    proxy.sever().await;
    let refused = kubectl(admin.kubectl(), "get configmaps").await;
    assert!(!refused.status.success());
    proxy.restore().await.unwrap();
    succeeds(admin.kubectl(), "get configmap three").await;
}

async fn others_are_subject_to_rbac(control_plane: &ControlPlane) {
    succeeds(control_plane.kubectl(), "create serviceaccount nobody").await;
    let token = succeeds(control_plane.kubectl(), "create token nobody").await;
    let nobody = Client::new(control_plane, token.trim(), None);
    let refused = kubectl(nobody.kubectl(), "get configmaps").await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Forbidden"));
    let name = succeeds(nobody.kubectl(), "auth whoami --output=jsonpath={.status.userInfo.username}").await;
    assert_eq!(name, "system:serviceaccount:default:nobody");
}

async fn events_are_in_the_audit_log(control_plane: &ControlPlane) {
    let event = r#"{
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "noted"},
        "involvedObject": {"namespace": "default"}
    }"#;
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), event).unwrap();
    let create = format!("create --filename {}", file.path().display());
    succeeds(control_plane.kubectl(), &create).await;
    let events = control_plane.audit_events().unwrap();
    let noted = events.iter().find(|event| event.is_write()).unwrap();
    let what = (noted.verb.as_str(), noted.user.as_str(), noted.resource.as_str(), noted.code);
    assert_eq!(what, ("create", "admin", "events", 201));
    assert!(noted.completed >= noted.received);
    assert!(events.iter().all(|event| event.resource == "events"), "ConfigMaps are not audited");
}

async fn the_api_server_comes_back_with_its_data(control_plane: &ControlPlane) {
    control_plane.kill_api_server().await.unwrap();
    control_plane.kill_api_server().await.unwrap_err();
    let refused = kubectl(control_plane.kubectl(), "get configmap three").await;
    assert!(!refused.status.success());
    control_plane.start_api_server().await.unwrap();
    succeeds(control_plane.kubectl(), "get configmap three").await;
}
