//! What the kubelet makes of the Deployment's pod.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Account, ContainerOptions, Image, Mount};

use super::volumes;
use crate::support::Scene;

/// Where `deploy/` installs the operator.
pub const NAMESPACE: &str = "organization-operator-system";

/// A pod of the Deployment, as the API server has it, with its volumes.
pub struct Pod {
    object: Value,
    /// The files of the pod.
    directory: tempfile::TempDir,
    api_server: SocketAddr,
}

impl Pod {
    /// Creates the pod as the controllers would, so that admission (Pod Security Standards among them) judges it and the API
    /// server fills in its defaults, and lays out its volumes.
    pub async fn create(scene: &Scene) -> Self {
        let deployment = scene.ok(&["get", "deployment", "organization-operator", "-n", NAMESPACE, "-o", "json"]).await;
        let deployment: Value = serde_json::from_str(&deployment).expect("JSON");
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        let name = "organization-operator-6d5c8b7f9c-x2vqk";
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["namespace"] = json!(NAMESPACE);
        let file = scene.file("pod.json", &pod.to_string());
        let object = scene.ok(&["create", "-f", &file, "-o", "json"]).await;
        let object: Value = serde_json::from_str(&object).expect("JSON");
        let pod = Self {
            object,
            directory: tempfile::tempdir().expect("a directory"),
            api_server: super::address(&scene.world.control_plane().url()),
        };
        for volume in list(&pod.object["spec"]["volumes"]) {
            volumes::lay_out(scene, &pod.object, volume, &pod.volume(text(&volume["name"]))).await;
        }
        pod
    }

    pub fn name(&self) -> String {
        text(&self.object["metadata"]["name"]).to_owned()
    }

    pub const fn api_server(&self) -> SocketAddr {
        self.api_server
    }

    pub fn security_context(&self) -> &Value {
        &self.object["spec"]["securityContext"]
    }

    /// The only container.
    pub fn main(&self) -> &Value {
        let [container] = list(&self.object["spec"]["containers"]) else {
            panic!("not one container: {}", self.object)
        };
        container
    }

    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.object["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a grace period"))
    }

    /// Bytes.
    pub fn memory_limit(&self) -> u64 {
        let limit = text(&self.main()["resources"]["limits"]["memory"]);
        limit.strip_suffix("Mi").and_then(|n| n.parse::<u64>().ok()).unwrap_or_else(|| panic!("{limit}")) << 20
    }

    /// The port of that name or number.
    pub fn port(&self, name: &str) -> u16 {
        let named = list(&self.main()["ports"]).iter().find(|port| port["name"] == name);
        let port = named.and_then(|port| port["containerPort"].as_u64()).or_else(|| name.parse().ok());
        port.and_then(|port| port.try_into().ok()).unwrap_or_else(|| panic!("no port {name}"))
    }

    pub fn mount_paths(&self) -> Vec<String> {
        list(&self.main()["volumeMounts"]).iter().map(|mount| text(&mount["mountPath"]).to_owned()).collect()
    }

    fn volume(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("volumes").join(name)
    }

    /// The container, without the servers that it reaches.
    pub fn container(&self, image: &Image) -> ContainerOptions {
        let main = self.main();
        let security = &main["securityContext"];
        let pod_security = self.security_context();
        let id = |name: &str| -> u32 {
            let id = security[name].as_u64().or_else(|| pod_security[name].as_u64()).expect("an id in the manifest");
            id.try_into().expect("an id")
        };
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
        assert_eq!(security["privileged"], false);
        assert!(pod_security["runAsNonRoot"] == true && id("runAsUser") != 0);
        let seccomp = text(&pod_security["seccompProfile"]["type"]);
        assert_eq!(seccomp, "RuntimeDefault");

        let config = image.config();
        // `command` replaces the entry point, `args` what follows it.
        let part = |ours: &Value, theirs: &Value| -> Vec<String> {
            let words = if ours.is_null() { theirs } else { ours };
            list(words).iter().map(|word| text(word).to_owned()).collect()
        };
        let command = [part(&main["command"], &config["Entrypoint"]), part(&main["args"], &config["Cmd"])].concat();
        assert!(!command.concat().contains("$("), "this test replaces no variables in arguments: {command:?}");
        ContainerOptions {
            hostname: self.name(),
            command,
            environment: self.environment(config),
            directory: config["WorkingDir"].as_str().unwrap_or("/").to_owned(),
            account: Account { uid: id("runAsUser"), gid: id("runAsGroup") },
            groups: vec![id("fsGroup")],
            read_only_root: security["readOnlyRootFilesystem"] == true,
            no_new_privileges: security["allowPrivilegeEscalation"] == false,
            capabilities: Vec::new(),
            default_seccomp: true,
            mounts: self.mounts(),
            servers: Vec::new(),
        }
    }

    /// Variables of the image, of the cluster, and of the manifest. A later one replaces an earlier one.
    fn environment(&self, config: &Value) -> Vec<(String, String)> {
        assert_eq!(self.object["spec"]["enableServiceLinks"], false);
        assert_eq!(self.main()["envFrom"], Value::Null);
        let mut variables: Vec<(String, String)> = list(&config["Env"])
            .iter()
            .map(|line| text(line).split_once('=').expect("NAME=VALUE"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (host, port) = (self.api_server.ip().to_string(), self.api_server.port().to_string());
        let url = format!("tcp://{host}:{port}");
        variables.extend(
            [
                ("HOSTNAME", self.name()),
                ("KUBERNETES_SERVICE_HOST", host.clone()),
                ("KUBERNETES_SERVICE_PORT", port.clone()),
                ("KUBERNETES_SERVICE_PORT_HTTPS", port.clone()),
                ("KUBERNETES_PORT", url.clone()),
                ("KUBERNETES_PORT_443_TCP", url),
                ("KUBERNETES_PORT_443_TCP_PROTO", "tcp".to_owned()),
                ("KUBERNETES_PORT_443_TCP_PORT", port),
                ("KUBERNETES_PORT_443_TCP_ADDR", host),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        for variable in list(&self.main()["env"]) {
            let field = &variable["valueFrom"]["fieldRef"]["fieldPath"];
            let value =
                if field.is_null() { text(&variable["value"]).to_owned() } else { field_of(&self.object, text(field)) };
            variables.push((text(&variable["name"]).to_owned(), value));
        }
        variables
    }

    /// The volumes, and the files that every container has.
    fn mounts(&self) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = list(&self.main()["volumeMounts"])
            .iter()
            .map(|mount| {
                assert_eq!(mount["subPath"], Value::Null);
                let source = self.volume(text(&mount["name"]));
                Mount { source, target: text(&mount["mountPath"]).to_owned(), read_only: mount["readOnly"] == true }
            })
            .collect();
        let name = self.name();
        let log = text(&self.main()["terminationMessagePath"]);
        for (target, content) in [
            ("/etc/hosts", format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n10.1.2.3\t{name}\n")),
            ("/etc/hostname", format!("{name}\n")),
            ("/etc/resolv.conf", format!("search {NAMESPACE}.svc.cluster.local\nnameserver 10.96.0.10\n")),
            (log, String::new()),
        ] {
            let source = self.directory.path().join(target.replace('/', "-"));
            std::fs::write(&source, content).expect("a file");
            volumes::set_mode(&source, if target == log { 0o666 } else { 0o644 });
            mounts.push(Mount { source, target: target.to_owned(), read_only: false });
        }
        mounts
    }
}

/// A field of the pod, as `fieldRef` names it.
pub fn field_of(pod: &Value, path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    pod.pointer(&pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("the pod has no {path}")).to_owned()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}"))
}
