//! "What I deploy is what was tested": the image, built from the Dockerfile, runs as the Deployment says.

mod kubelet;
mod probes;
mod volumes;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use testbed::{Container, Image, ImageOptions, Progress};

use self::kubelet::{NAMESPACE, Pod};
use self::probes::{Probes, get};
use crate::support::{Need, PASSWORD, ROLE, Scene, Variant, World, path};

crate::tests![needs Need::Image; the_image_erases_a_tenant_as_the_deployment_runs_it];

/// What the Dockerfile adds to its base, in MiB as it is transferred. `docs/install.md` says so.
const TRANSFERRED: u64 = 15;
/// The port of the database in the pod.
const DATABASE_PORT: u16 = 15432;
const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// Builds the image, before any test begins.
pub async fn build() -> testbed::Result<Image> {
    let options = ImageOptions {
        context: path(".").into(),
        name: "localhost/organization-operator:test".to_owned(),
        revision: REVISION.to_owned(),
        archive: None,
        progress: Progress::default(),
    };
    Image::build(options).await
}

async fn the_image_erases_a_tenant_as_the_deployment_runs_it(world: Arc<World>) {
    let image = world.image.as_ref().expect("it is built for the tests that need it");
    let image = image.as_ref().unwrap_or_else(|e| panic!("{e}"));
    has_what_it_needs_and_no_more(image);
    erases_a_tenant(image, &world).await;
}

fn has_what_it_needs_and_no_more(image: &Image) {
    let config = image.config();
    assert_eq!(config["User"], "65532:65532", "{config}");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/local/bin/organization-operator"]));
    assert_eq!(config["Labels"]["org.opencontainers.image.revision"], REVISION);
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));

    let [_, own @ ..] = image.layers() else { panic!("no layers") };
    assert_eq!(own.len(), 2, "the license and the program: {own:?}");
    let transferred = own.iter().sum::<u64>();
    assert!(transferred <= TRANSFERRED << 20, "{own:?}");
    let docs = std::fs::read_to_string(path("docs/install.md")).expect("the documentation");
    let promise = format!("two layers of its own, together at most {TRANSFERRED} MiB");
    assert!(docs.split_whitespace().collect::<Vec<_>>().join(" ").contains(&promise), "docs/install.md: {promise}");

    let mut programs = Vec::new();
    executables(&image.root(), &mut programs);
    let root = image.root();
    let mut programs: Vec<_> = programs.iter().filter_map(|file| file.strip_prefix(&root).ok()).collect();
    // The loader and the C library, which are executable everywhere.
    programs.retain(|file| file.parent().is_none_or(|d| !d.to_string_lossy().contains("-linux-gnu")));
    assert_eq!(programs, [Path::new("usr/local/bin/organization-operator")]);
}

/// Files that could be run.
fn executables(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.metadata().expect("metadata");
        if kind.is_dir() {
            executables(&entry.path(), found);
        } else if kind.is_file() && kind.permissions().mode() & 0o111 != 0 {
            found.push(entry.path());
        }
    }
}

async fn erases_a_tenant(image: &Image, world: &World) {
    // On a control plane of its own it is the instance that `deploy/` installs.
    let mut scene = Scene::new(Arc::new(world.apart().await), Variant::Platform).await;
    "default".clone_into(&mut scene.class);
    let (acme, globex) = (scene.key(1), scene.key(2));
    scene.seed(&acme).await;
    scene.seed(&globex).await;
    let others = scene.others(&[&acme]).await;
    install(&scene).await;

    let pod = Pod::create(&scene).await;
    let mut options = pod.container(image);
    let postgres = scene.world.postgres();
    let mut servers = tokio::net::lookup_host((postgres.host(), postgres.port())).await.expect("the database's host");
    let api_server = pod.api_server();
    options.servers =
        vec![(api_server.port(), api_server), (DATABASE_PORT, servers.next().expect("an address of the database"))];
    let command = options.command.clone();
    let container = Arc::new(Container::start(image, options).await.unwrap_or_else(|e| panic!("{e}")));
    let probes = Probes::start(&pod, container.clone());
    let ready = probes::until_ready(&pod, &container).await;
    confined(&pod, &container, &command);

    scene.apply(&scene.org("acme", &acme).policy("Delete")).await;
    let seen = scene.ready("acme").await;
    assert!(seen.is("DeletionReady", "True"), "{}", seen.yaml());
    let lease = ["get", "lease", "organization-operator", "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"];
    let holder = scene.ok(&lease).await;
    assert!(holder.starts_with(&pod.name()), "{holder}");
    scene.ok(&["delete", "organization", &scene.name("acme")]).await;
    assert_eq!(scene.total(&acme).await, 0);
    assert_eq!(scene.others(&[&acme]).await, others);
    let ledger = scene.ledger().await;
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert!(ledger[0].outcome == "Erased" && ledger[0].verified, "{ledger:?}");
    scene.event("acme", "Erased").await;

    let (status, metrics) = get(&container, pod.port("http"), "/metrics").await.expect("the operator answers");
    assert_eq!(status, 200);
    assert!(metrics.contains(REVISION), "{metrics}");
    let peak = status_field(&container, "VmHWM").trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024;
    assert!(peak < pod.memory_limit(), "{peak} bytes of {}", pod.memory_limit());
    probes.all_well(&container);

    // What the kubelet does at the end of a pod.
    let begin = Instant::now();
    let exit = container.terminate(pod.grace()).await.expect("a signal");
    assert!(exit.is_some_and(testbed::Exit::success), "{exit:?} after {:?}: {}", begin.elapsed(), container.log());
    assert_eq!(scene.ok(&lease).await, "", "the Lease is given away");
    for line in container.log().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    eprintln!(
        "image: ready after {} ms, stopped after {} ms, {} MiB of memory, base and own layers of {:?} bytes, {} MiB unpacked",
        ready.as_millis(),
        begin.elapsed().as_millis(),
        peak >> 20,
        image.layers(),
        size(&image.root()) >> 20,
    );
}

/// What a person does beside `kubectl apply -k deploy/default`, and what the controllers of a cluster do.
async fn install(scene: &Scene) {
    let url = scene.world.postgres().url_through(DATABASE_PORT, ROLE, PASSWORD, &scene.database);
    let url = format!("--from-file=url={}", scene.file("url", &url));
    scene.ok(&["create", "secret", "generic", "organization-operator-database", "-n", NAMESPACE, &url]).await;
    let ca = format!("--from-file=ca.crt={}", scene.world.control_plane().ca_file().display());
    scene.ok(&["create", "configmap", "kube-root-ca.crt", "-n", NAMESPACE, &ca]).await;
}

/// A field of /proc/PID/status.
fn status_field(container: &Container, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}: {status}")).trim().to_owned()
}

/// The kernel confirms what the manifest demands.
fn confined(pod: &Pod, container: &Container, command: &[String]) {
    let security = pod.security_context();
    let (user, group) = (&security["runAsUser"], &security["runAsGroup"]);
    let ids = |id: &Value| vec![id.to_string(); 4].join("\t");
    assert_eq!(status_field(container, "Uid"), ids(user));
    assert_eq!(status_field(container, "Gid"), ids(group));
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status_field(container, set), "0000000000000000", "{set}");
    }
    assert_eq!(status_field(container, "NoNewPrivs"), "1");
    assert_eq!(status_field(container, "Seccomp"), "2", "RuntimeDefault is a filter");
    // As the first process of its namespace it gets only the signals that it handles.
    assert_eq!(status_field(container, "NSpid").split_whitespace().last(), Some("1"));

    let process = format!("/proc/{}", container.pid());
    let read = |name: &str| std::fs::read_to_string(format!("{process}/{name}")).expect("a process");
    assert_eq!(read("cmdline").trim_end_matches('\0').split('\0').collect::<Vec<_>>(), command);
    let mounts = read("mountinfo");
    let options = |target: &str| {
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = fields.find(|fields| fields[4] == target).unwrap_or_else(|| panic!("no {target}: {mounts}"));
        mount[5].split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    for target in pod.mount_paths().iter().map(String::as_str).chain(["/"]) {
        assert!(options(target).contains(&"ro".to_owned()), "{target}: {mounts}");
    }
    let root = Path::new(&process).join("root");
    for shell in ["bin/sh", "bin/bash", "usr/bin/sh", "busybox/sh"] {
        assert!(!root.join(shell).exists(), "{shell}");
    }
}

/// Bytes of all files below a directory.
fn size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let sizes = entries.map(|entry| {
        let kind = entry.metadata().expect("metadata");
        if kind.is_dir() { size(&entry.path()) } else { kind.len() }
    });
    sizes.sum()
}

/// Where the API server listens.
fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("https://").parse().unwrap_or_else(|e| panic!("{url}: {e}"))
}
