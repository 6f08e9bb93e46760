//! A test that needs what this machine cannot have is skipped by name, or fails where somebody insists. The suite runs itself,
//! with a `PATH` that lacks everything, an empty cache and no downloads: it could not start a single server.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use crate::support::{Need, World};

crate::tests![
    skipped_by_name,
    engines_are_skipped_by_name_without_go,
    the_image_is_skipped_by_name,
    failed_where_ci_insists,
    failed_where_asked_for,
    every_server_is_stated,
    nothing_is_fetched_for_what_is_not_run
];

const TEST: &str = "suite::database_errors::pooler::activation::pgbouncer";
const WHY: &str = "needs PgBouncer (TESTBED_DOWNLOAD=0 forbids it); to run it: apt-get install pgbouncer";

async fn suite(cache: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> (Output, String) {
    let mut suite = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    suite.args(arguments).env("PATH", "/nowhere").env("XDG_CACHE_HOME", cache).env("TESTBED_DOWNLOAD", "0");
    for name in ["CI", "KUBEBUILDER_ASSETS", "CASES"] {
        suite.env_remove(name);
    }
    let output = suite.envs(environment.iter().copied()).kill_on_drop(true).output().await.expect("it runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn cache() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

async fn skipped_by_name(_: Arc<World>) {
    let cache = cache();
    let (output, text) = suite(cache.path(), &[], &["--exact", TEST]).await;
    assert!(output.status.success(), "{text}");
    assert!(text.contains("0 passed; 0 failed; 1 ignored"), "{text}");
    let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned);
    assert_eq!(last, Some(format!("skipped: {TEST}: {WHY}")), "{text}");

    // All that need it, and no others.
    let (output, text) = suite(cache.path(), &[], &["pgbouncer"]).await;
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("skipped: ") && line.ends_with(WHY)).count(), 3, "{text}");
}

async fn engines_are_skipped_by_name_without_go(_: Arc<World>) {
    use crate::gitops::{argocd, flux, health, shipped};
    const REMEDY: &str = "(`go` is not in PATH); to run it: install Go 1.26 or newer";
    let cache = cache();
    for (module, need, tests) in [
        ("flux", "Flux's kustomize-controller", flux::tests()),
        ("shipped", "Flux's kustomize-controller", shipped::tests()),
        ("argocd", "Argo CD's engine", argocd::tests()),
        ("health", "Argo CD's engine", health::tests()),
    ] {
        let module = format!("suite::gitops::{module}::");
        let (output, text) = suite(cache.path(), &[], &[&module]).await;
        assert!(output.status.success(), "{text}");
        for test in &tests {
            let line = format!("skipped: {}: needs {need} {REMEDY}", test.name);
            assert!(text.lines().any(|l| l.starts_with(&line)), "{line}: {text}");
        }
    }
    let name = "suite::gitops::flux::a_manifest_that_is_removed_erases";
    let (output, text) = suite(cache.path(), &[("CI", "true")], &["--exact", name]).await;
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("0 passed; 1 failed; 0 ignored") && text.contains(REMEDY), "{text}");
}

async fn the_image_is_skipped_by_name(_: Arc<World>) {
    let name = crate::image::tests()[0].name;
    let cache = cache();
    let (output, text) = suite(cache.path(), &[], &["--exact", name]).await;
    assert!(output.status.success(), "{text}");
    let start = format!("skipped: {name}: needs what builds and runs the image (");
    let why = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{text}"));
    assert!(
        why.ends_with("to run it: run `make test` as root on Debian, with the Rust version that the Dockerfile names")
    );
    let (output, text) = suite(cache.path(), &[("CI", "true")], &["--exact", name]).await;
    assert_eq!(output.status.code(), Some(101), "{text}");
}

async fn failed_where_ci_insists(_: Arc<World>) {
    let (output, text) = suite(cache().path(), &[("CI", "true")], &["--exact", TEST]).await;
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("0 passed; 1 failed; 0 ignored") && text.contains(WHY), "{text}");
    assert!(!text.contains("skipped: "), "{text}");
}

async fn failed_where_asked_for(_: Arc<World>) {
    for flag in ["--ignored", "--include-ignored"] {
        let (output, text) = suite(cache().path(), &[], &[flag, "--exact", TEST]).await;
        assert_eq!(output.status.code(), Some(101), "{text}");
        assert!(text.contains("0 passed; 1 failed; 0 ignored") && text.contains(WHY), "{text}");
        assert!(!text.contains("skipped: "), "{text}");
    }
}

async fn nothing_is_fetched_for_what_is_not_run(_: Arc<World>) {
    // Were anything to be fetched, a directory of the cache would be locked first.
    let download = [("TESTBED_DOWNLOAD", "1")];
    for arguments in [&["--list"][..], &["no_such_test"], &["activation::pgbouncer", "--skip", "pooler"]] {
        let cache = cache();
        let (output, text) = suite(cache.path(), &download, arguments).await;
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains(TEST), arguments == ["--list"], "{text}");
        assert_eq!(std::fs::read_dir(cache.path()).expect("a directory").count(), 0, "{arguments:?}");
    }
    let cache = cache();
    suite(cache.path(), &download, &["--exact", TEST]).await;
    assert!(cache.path().join("organization-operator/packages").is_dir());
}

/// Whoever takes a server that not every machine has says so.
async fn every_server_is_stated(_: Arc<World>) {
    let tests = crate::database_errors::tests();
    for (server, need) in [("::postgresql_18", Need::Newest), ("::pgbouncer", Need::PgBouncer)] {
        let mut named = tests.iter().filter(|test| test.name.ends_with(server)).peekable();
        assert!(named.peek().is_some(), "{server}");
        assert!(named.all(|test| test.needs.contains(&need)), "{server}");
    }
    let tests = [tests, crate::monitoring::tests(), crate::image::tests()].concat();
    let stated = |name: &str, need| tests.iter().any(|test| test.name.contains(name) && test.needs.contains(&need));
    assert!(stated("a_certificate_that_is_not_trusted", Need::PgBouncer));
    assert!(stated("a_standby_that_is_promoted", Need::PgBaseBackup));
    assert!(stated("a_real_prometheus", Need::Prometheus));
    assert!(stated("each_alert_fires", Need::Promtool));
    assert!(stated("the_image_erases_a_tenant", Need::Image));
}
