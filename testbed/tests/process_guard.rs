//! Programs end with their guard, in every way in which a guard can end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::{ProcessGuard, Signal};

const LONG: Duration = Duration::from_secs(20);

/// Whether a process with this id exists and is not just a zombie.
fn runs(pid: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(output.stdout).unwrap();
    !state.trim().is_empty() && !state.trim_start().starts_with('Z')
}

fn sleeper(directory: &Path) -> ProcessGuard {
    ProcessGuard::program("sleep", directory.join("log")).arg("300").start().unwrap()
}

#[test]
fn a_program_ends_when_its_guard_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let guard = sleeper(directory.path());
    let pid = guard.pid();
    assert!(runs(pid));
    drop(guard);
    assert!(!runs(pid));
}

#[test]
fn a_program_ends_when_its_test_panics() {
    let directory = tempfile::tempdir().unwrap();
    let guard = sleeper(directory.path());
    let pid = guard.pid();
    let panicked = std::thread::spawn(move || {
        let _held = guard;
        panic!("as a failing test does");
    })
    .join();
    assert!(panicked.is_err());
    assert!(!runs(pid));
}

#[test]
fn a_program_ends_when_its_test_is_killed() {
    const DIRECTORY: &str = "TESTBED_TEST_DIRECTORY";
    // The second time, in a process of its own, this test is the one that is killed.
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let guard = sleeper(Path::new(&directory));
        std::fs::write(Path::new(&directory).join("pid"), guard.pid().to_string()).unwrap();
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_program_ends_when_its_test_is_killed"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid: u32 = eventually(|| std::fs::read_to_string(directory.path().join("pid")).ok()?.parse().ok());
    assert!(runs(pid));
    test.kill().unwrap();
    test.wait().unwrap();
    eventually(|| (!runs(pid)).then_some(()));
}

#[tokio::test]
async fn a_program_that_ignores_the_request_is_killed_after_its_grace() {
    let directory = tempfile::tempdir().unwrap();
    let guard = ProcessGuard::program("/bin/sh", directory.path().join("log"))
        .args(["-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
        .stop_with(Signal::Terminate, Duration::from_millis(500))
        .start()
        .unwrap();
    while !guard.log().contains("ready") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begin = Instant::now();
    let exit = guard.stop().await.unwrap();
    assert_eq!(exit.signal(), Some(9));
    assert!(begin.elapsed() >= Duration::from_millis(450), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_end_of_a_program_is_reported_with_its_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let guard = ProcessGuard::program("/bin/sh", directory.path().join("log"))
        .args(["-c", "echo to the log; echo \"$GREETING\" >&2; exit 7"])
        .env("GREETING", "hello")
        .start()
        .unwrap();
    let exit = guard.wait_exit(LONG).await.unwrap();
    assert_eq!((exit.code(), exit.signal(), exit.success()), (Some(7), None, false));
    assert_eq!(guard.log(), "to the log\nhello\n");
    assert_eq!(guard.log_tail(1), "hello");
    assert!(!guard.signal(Signal::Kill).unwrap(), "there is nobody to signal any more");
}

#[tokio::test]
async fn signals_reach_the_program_itself() {
    let directory = tempfile::tempdir().unwrap();
    let guard = sleeper(directory.path());
    assert!(guard.pause().unwrap());
    let state = Command::new("ps").args(["-o", "stat=", "-p", &guard.pid().to_string()]).output().unwrap();
    assert!(String::from_utf8(state.stdout).unwrap().starts_with('T'));
    assert!(guard.resume().unwrap());
    assert_eq!(guard.wait_exit(Duration::from_millis(50)).await, None);
    assert_eq!(guard.kill().await.unwrap().signal(), Some(9));
}

#[tokio::test]
async fn a_paused_program_is_ended_too() {
    let directory = tempfile::tempdir().unwrap();
    let guard = sleeper(directory.path());
    guard.pause().unwrap();
    assert_eq!(guard.stop().await.unwrap().signal(), Some(15));
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_with_127() {
    let directory = tempfile::tempdir().unwrap();
    let guard = ProcessGuard::program("/nowhere/program", directory.path().join("log")).start().unwrap();
    assert_eq!(guard.wait_exit(LONG).await.unwrap().code(), Some(127));
}

fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within {LONG:?}");
}
