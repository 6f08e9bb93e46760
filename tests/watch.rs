//! "I deleted it: how far is it?" `organization-operator watch NAME` tells until the object is gone, and its exit code says how
//! it ended.

use std::process::Stdio;
use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::plan::{Said, run};
use crate::support::{Operator, PATIENCE, Scene, Variant, World, binary, eventually};
use crate::tests;

tests![
    a_small_deletion_is_followed_from_before_it_begins,
    a_deletion_that_is_over_is_told_by_its_event,
    what_a_person_has_to_clear_ends_it_unless_it_should_go_on,
    a_recovery_window_and_its_end_by_retain,
    a_successor_takes_over,
    a_large_deletion_shows_how_far_it_is,
    a_terminal_shows_a_bar,
    an_object_without_its_finalizer_is_no_deletion,
    what_cannot_be_watched_is_said,
];

/// A watch under way.
struct Watching {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    lines: Vec<String>,
}

impl Watching {
    fn start(scene: &Scene, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.arg("watch").args(arguments);
        Self::of(scene, command)
    }

    fn of(scene: &Scene, mut command: Command) -> Self {
        command.env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("it runs");
        let out = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, out, lines: Vec::new() }
    }

    /// Reads until a line has this text.
    async fn until(&mut self, text: &str) -> String {
        let read = async {
            while let Some(line) = self.out.next_line().await.expect("text") {
                self.lines.push(line);
                let line = self.lines.last().expect("a line");
                if line.contains(text) {
                    return line.clone();
                }
            }
            panic!("it ended without {text}: {:#?}", self.lines)
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("waited in vain for {text}"))
    }

    /// Waits for the end. Returns the exit code, all lines, and what it said on standard error.
    async fn ended(mut self) -> (i32, Vec<String>, String) {
        let end = async {
            while let Some(line) = self.out.next_line().await.expect("text") {
                self.lines.push(line);
            }
            self.child.wait().await.expect("it ends").code().expect("an exit code")
        };
        let code = tokio::time::timeout(PATIENCE, end).await.expect("it ends");
        let mut said = String::new();
        self.child.stderr.take().expect("stderr").read_to_string(&mut said).await.expect("text");
        (code, self.lines, said)
    }
}

/// An organization with its object and operator.
async fn ready(world: Arc<World>, window: i64) -> (Scene, String, Operator) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete").window(window)).await;
    scene.ready("acme").await;
    let name = scene.name("acme");
    (scene, name, operator)
}

async fn a_small_deletion_is_followed_from_before_it_begins(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 0).await;
    let mut watching = Watching::start(&scene, &[&name]);
    let line = watching.until("Live: ").await;
    for part in ["not being deleted", "deletionPolicy is Delete", &format!("kubectl delete organization {name}")] {
        assert!(line.contains(part), "{part} is missing: {line}");
    }
    scene.delete("acme").await;
    let (code, lines, _) = watching.ended().await;
    let last = lines.last().expect("a line");
    assert!(code == 0 && last.contains(" Erased: ") && last.contains("3 users"), "{code} {lines:#?}");
    assert!(last.starts_with("20") && last.contains(&format!("Z {name}: ")), "it says when and which: {last}");
    operator.stop().await;
}

async fn a_deletion_that_is_over_is_told_by_its_event(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 0).await;
    scene.delete("acme").await;
    scene.gone("acme").await;
    let Said { code, out, err } = run(&scene, &["watch", &name]).await;
    assert!(code == 0 && out.contains("Erased: ") && out.contains("3 users"), "{code} {out}{err}");
    operator.stop().await;
}

async fn what_a_person_has_to_clear_ends_it_unless_it_should_go_on(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 0).await;
    let key = scene.key(1);
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{key}'); \
             GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
    let mut goes_on = Watching::start(&scene, &[&name, "--keep-watching"]);
    scene.delete("acme").await;
    let Said { code, out, err } = run(&scene, &["watch", &name]).await;
    assert_eq!(code, 1, "{out}{err}");
    for part in ["ForeignKeyViolation: ", "contracts", "To clear it: "] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
    goes_on.until("ForeignKeyViolation: ").await;
    scene.sql("DROP TABLE contracts").await;
    let (code, lines, _) = goes_on.ended().await;
    assert!(code == 0 && lines.last().is_some_and(|l| l.contains(" Erased: ")), "{code} {lines:#?}");
    operator.stop().await;
}

async fn a_recovery_window_and_its_end_by_retain(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 3600).await;
    let mut watching = Watching::start(&scene, &[&name]);
    scene.delete("acme").await;
    let line = watching.until("RecoveryWindow: ").await;
    assert!(line.contains("will be erased at") && line.contains("To undo: "), "{line}");
    scene.patch("acme", r#"{"deletionPolicy":"Retain"}"#).await;
    let (code, lines, _) = watching.ended().await;
    assert!(code == 0 && lines.last().is_some_and(|l| l.contains(" Retained: ")), "{code} {lines:#?}");
    operator.stop().await;
}

async fn a_successor_takes_over(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let key = scene.key(1);
    scene.seed(&key).await;
    let operator = scene.operator().configure("handoverSeconds", json!(3600)).start().await;
    scene.apply(&scene.org("old", &key).policy("Delete")).await;
    scene.ready("old").await;
    let mut watching = Watching::start(&scene, &[&scene.name("old")]);
    scene.delete("old").await;
    let line = watching.until("AwaitingSuccessor: ").await;
    assert!(line.contains("Nothing has been changed yet"), "{line}");
    scene.apply(&scene.org("new", &key).policy("Delete")).await;
    let (code, lines, _) = watching.ended().await;
    let last = lines.last().expect("a line");
    assert!(code == 0 && last.contains(" Transferred: ") && last.contains(&scene.name("new")), "{code} {lines:#?}");
    operator.stop().await;
}

/// A large organization that takes about twelve seconds.
async fn large(world: Arc<World>) -> (Scene, String, Operator) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    // Pages lock the rows to which their rows belong.
    scene.sql("GRANT UPDATE (id) ON users, flows, flow_executions TO organization_operator").await;
    scene.seed_sized(&scene.key(1), 10, 10, 60, 10).await;
    let batch = json!({"batch": {"rows": 500, "maxRowsPerSecond": 1000}});
    let operator = scene.operator().configure("cascade", batch).configure("database.maxConnections", json!(8));
    let operator = operator.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    scene.ready("acme").await;
    let name = scene.name("acme");
    (scene, name, operator)
}

async fn a_large_deletion_shows_how_far_it_is(world: Arc<World>) {
    let (scene, name, operator) = large(world).await;
    let mut watching = Watching::start(&scene, &[&name]);
    scene.delete("acme").await;
    watching.until("Shrinking 0%: 0 of about ").await;
    let line = watching.until("rows a second, ends at about ").await;
    assert!(line.contains("Shrinking ") && line.contains("%: ") && line.contains("maxRowsPerSecond"), "{line}");
    let (code, lines, _) = watching.ended().await;
    let last = lines.last().expect("a line");
    assert!(code == 0 && last.contains(" Erased: ") && last.contains("12620 rows"), "{code} {lines:#?}");
    operator.stop().await;
}

/// A pseudo terminal by util-linux, which every machine with a shell for scripts has.
fn on_a_terminal(scene: &Scene, arguments: &str) -> Watching {
    let mut command = Command::new("script");
    let line = format!("stty cols 150; {} {arguments}", binary().display());
    command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]).env("TERM", "xterm");
    Watching::of(scene, command)
}

async fn a_terminal_shows_a_bar(world: Arc<World>) {
    let (scene, name, operator) = large(world).await;
    let watching = on_a_terminal(&scene, &format!("watch {name}"));
    scene.delete("acme").await;
    let (code, lines, _) = watching.ended().await;
    let shown = lines.join("\n");
    assert_eq!(code, 0, "{shown}");
    for part in ["% [", "=>", "of about 12,620 rows", "rows/s", " left", "The deletion is limited", " Erased: "] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    // Only the stages stay above the bar.
    assert!(!shown.contains("rows a second, ends at about"), "{shown}");
    operator.stop().await;
}

async fn an_object_without_its_finalizer_is_no_deletion(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 3600).await;
    operator.stop().await;
    let mut watching = Watching::start(&scene, &[&name]);
    watching.until("Live: ").await;
    scene.delete("acme").await;
    watching.until("Requested: ").await;
    let strip = r#"{"metadata":{"finalizers":null}}"#;
    eventually("the finalizer to be gone", || async {
        let patched = scene.kubectl(&["patch", "organization", &name, "--type=merge", "-p", strip]).await;
        (patched.status.success() || scene.get("acme").await.is_none()).then_some(())
    })
    .await;
    let (code, lines, said) = watching.ended().await;
    assert!(
        code == 2 && said.contains("nothing says how its deletion ended") && said.contains("ledger"),
        "{said} {lines:#?}"
    );
}

async fn what_cannot_be_watched_is_said(world: Arc<World>) {
    let (scene, name, operator) = ready(world, 0).await;
    let Said { code, err, .. } = run(&scene, &["watch", "no-such-object"]).await;
    assert!(code == 2 && err.contains("there is no Organization `no-such-object`"), "{code} {err}");
    let Said { code, out, err } = run(&scene, &["watch", &name, "--timeout", "1"]).await;
    assert!(code == 2 && out.contains("Live: ") && err.contains("not completed within 1 s"), "{code} {out}{err}");
    let nowhere = scene.file("nowhere", &scene.world.control_plane().kubeconfig("x", Some("https://127.0.0.1:1")));
    let mut command = Command::new(binary());
    let output = command.args(["watch", &name]).env("KUBECONFIG", nowhere).kill_on_drop(true).output().await;
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("API server"), "{said}");
    let Said { code, out, .. } = run(&scene, &["watch", "--help"]).await;
    assert_eq!(code, 0);
    for part in ["Exit codes:", "--keep-watching", "--timeout", "Examples:", "watch acme"] {
        assert!(out.contains(part), "{part} is missing: {out}");
    }
    operator.stop().await;
}
