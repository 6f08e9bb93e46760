//! Where the programs come from, and what the message says when they are nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::Command;

/// `testbed up` with an empty cache, without Go and without a download.
fn bare(cache: &Path) -> Command {
    let mut testbed = Command::new(env!("CARGO_BIN_EXE_testbed"));
    testbed
        .arg("up")
        .env("XDG_CACHE_HOME", cache)
        .env("TESTBED_DOWNLOAD", "0")
        .env("PATH", "/nowhere")
        .env_remove("KUBEBUILDER_ASSETS")
        // Nothing listens there, but nothing is started either.
        .env("DATABASE_URL", "postgres://postgres@127.0.0.1:1/postgres");
    testbed
}

fn refusal(mut testbed: Command) -> String {
    let output = testbed.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_go_the_reader_is_told_what_to_install() {
    let cache = tempfile::tempdir().unwrap();
    let message = refusal(bare(cache.path()));
    assert!(
        message.contains("kubectl is not on this machine and cannot be built, because `go` is not in PATH: install Go"),
        "{message}"
    );
    assert!(message.contains("KUBEBUILDER_ASSETS"), "{message}");
}

#[test]
fn an_incomplete_set_of_programs_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let mut testbed = bare(cache.path());
    testbed.env("KUBEBUILDER_ASSETS", cache.path());
    let message = refusal(testbed);
    assert!(message.contains(&format!("kubectl is not in {}", cache.path().display())), "{message}");
}

#[test]
fn a_url_that_is_none_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let mut testbed = bare(cache.path());
    // Everything is there, so that only the URL is wrong: the programs are not started before.
    for program in ["kubectl", "etcd", "kube-apiserver"] {
        std::fs::write(cache.path().join(program), "").unwrap();
    }
    testbed.env("KUBEBUILDER_ASSETS", cache.path()).env("DATABASE_URL", "localhost");
    let message = refusal(testbed);
    assert!(message.contains("DATABASE_URL is not a PostgreSQL URL"), "{message}");
}

#[test]
fn a_postgresql_that_is_nowhere_is_named_and_not_downloaded_against_the_will() {
    let cache = tempfile::tempdir().unwrap();
    let mut testbed = bare(cache.path());
    for program in ["kubectl", "etcd", "kube-apiserver"] {
        std::fs::write(cache.path().join(program), "").unwrap();
    }
    testbed.args(["--postgres", "99"]).env("KUBEBUILDER_ASSETS", cache.path());
    let message = refusal(testbed);
    assert!(message.contains("no PostgreSQL 99 on this machine"), "{message}");
    assert!(message.contains("(TESTBED_DOWNLOAD=0 forbids it): install the package `postgresql-99`"), "{message}");
}
