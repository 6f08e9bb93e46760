//! "I can guess where code is, nothing depends to the left, and no files depend on each other in a circle":
//! `api <- domain <- {db, cluster} <- controller, commands`.

mod graph;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graph::Graph;

use crate::support::World;
use crate::tests;

tests![nothing_depends_to_the_left, no_files_depend_on_each_other_in_a_circle];

/// The layers below `src/`: a directory or a file, and the layers to which it may refer.
const LAYERS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("pace", &[]),
    ("domain", &["api", "pace"]),
    ("tenure", &[]),
    ("db", &["api", "domain", "tenure"]),
    ("catalog", &["api", "domain", "db"]),
    ("store", &["api", "domain", "db", "pace"]),
    ("cascade", &["api", "domain", "db", "catalog", "store", "pace"]),
    ("cluster", &["api", "domain", "tenure"]),
    ("config", &["api", "domain", "db", "pace"]),
    ("metrics", &["api", "pace", "domain"]),
    ("leadership", &["api", "domain", "cluster", "config", "metrics", "tenure"]),
    ("server", &["metrics"]),
    ("background", &[]),
    ("telemetry", &[]),
    (
        "controller",
        &["api", "pace", "domain", "db", "catalog", "store", "cascade", "cluster", "config", "metrics", "background"],
    ),
    (
        "commands",
        &[
            "api",
            "pace",
            "domain",
            "db",
            "catalog",
            "store",
            "cascade",
            "cluster",
            "controller",
            "config",
            "metrics",
            "server",
            "background",
            "telemetry",
            "leadership",
            "tenure",
        ],
    ),
];

/// Files, by the beginning of their path below `src/`, and what must not stand in them.
const RULES: &[(&[&str], &[&str])] = &[
    (&["api/", "pace/", "domain/"], &["kube::Client", "tokio", "SystemTime", "Instant", "Timestamp::now", "fastrand"]),
    (&["api/", "pace/", "domain/"], &["std::env", "std::fs"]),
    (&["db/", "catalog/", "store/", "cascade/"], &["kube::"]),
    // Only the layers of the database speak SQL, and only src/cluster writes to the API server.
    (
        &[
            "api/",
            "domain/",
            "cluster/",
            "controller/",
            "commands/",
            "leadership/",
            "config",
            "metrics",
            "server.rs",
            "main.rs",
        ],
        &["sqlx"],
    ),
    (
        // The layers of the database cannot: they name nothing of kube.
        &["api/", "domain/", "controller/", "commands/", "leadership/", "config", "metrics", "server.rs", "main.rs"],
        &[".patch(", ".patch_status(", ".create(", ".delete(", ".delete_collection(", ".replace(&", ".replace_status("],
    ),
    (&[""], &[".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "allow(clippy::unwrap"]),
];

async fn nothing_depends_to_the_left(_: Arc<World>) {
    assert_eq!(violations("domain/decide.rs", "use tokio::time;").len(), 1, "the check finds a violation");
    assert_eq!(violations("db/erase.rs", "x.unwrap();").len(), 1, "the check finds a violation");
    assert_eq!(violations("db/erase.rs", "#[cfg(test)]\nmod tests { x.unwrap() }").len(), 0, "tests may unwrap");
    assert_eq!(violations("domain/plan.rs", "/// Not like sqlx.").len(), 0, "comments may name anything");
    let planted = planted(&[("db/mod.rs", ""), ("domain/decide.rs", "use crate::db::Database;")]);
    assert_eq!(to_the_left(&planted).len(), 1, "the check finds a violation");
    let planted = self::planted(&[("db/mod.rs", ""), ("new/mod.rs", "fn f() { crate::db::g() }")]);
    assert_eq!(to_the_left(&planted).len(), 1, "a layer without a place in the order");

    let files = files("src");
    assert!(files.len() > 30, "only {} files", files.len());
    let mut found: Vec<String> = files.iter().flat_map(|(file, text)| violations(file, text)).collect();
    found.extend(to_the_left(&Graph::new(&files)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What stands in a file and must not. Tests stand at the end of a file, and comments may name anything.
fn violations(file: &str, text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = || code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    RULES
        .iter()
        .filter(|(files, _)| files.iter().any(|prefix| file.starts_with(prefix)))
        .flat_map(|(_, words)| words.iter())
        .flat_map(|word| lines().filter(move |(_, line)| line.contains(word)).map(move |(n, _)| (n, word)))
        .map(|(n, word)| format!("src/{file}:{}: `{word}` must not stand here", n + 1))
        .collect()
}

/// References from a layer to one that it must not know.
fn to_the_left(graph: &Graph) -> Vec<String> {
    let layer = |file: &str| file.split(['/', '.']).next().unwrap_or_default().to_owned();
    let allowed = |from: &str, to: &str| LAYERS.iter().any(|(l, known)| *l == from && known.contains(&to));
    graph
        .references()
        .map(|reference| (layer(reference.0), layer(reference.1), reference))
        .filter(|(from, to, _)| from != to && from != "lib" && !allowed(from, to))
        .map(|(from, to, (file, _, path))| format!("src/{file}: {path}: `{from}` must not know `{to}`"))
        .collect()
}

async fn no_files_depend_on_each_other_in_a_circle(_: Arc<World>) {
    // Through a name that the root passes on, and through the arguments of a macro.
    let root = ("lib.rs", "mod a; mod b; mod c; pub use a::Thing;");
    let user = ("b.rs", "pub fn f() -> Vec<()> { vec![crate::Thing::new()] }");
    let found = planted(&[root, ("a.rs", "use crate::b::f; pub struct Thing;"), user, ("c.rs", "use super::{a, b};")]);
    assert_eq!(
        found.circles().iter().map(|c| c.iter().copied().collect::<Vec<_>>()).collect::<Vec<_>>(),
        [["a.rs", "b.rs"]]
    );
    assert_eq!(
        found.described(&found.circles()[0]),
        "  a.rs -> b.rs: crate::b::f\n  b.rs -> a.rs: crate::Thing::new\n"
    );
    // A chain of three, by relative paths, from an inline module.
    let chain = [
        ("a/mod.rs", "mod x { use super::super::b::B; }"),
        ("b.rs", "use super::c::C;"),
        ("c.rs", "type C = crate::a::A;"),
    ];
    assert_eq!(planted(&chain).circles()[0].len(), 3);
    // A parent that uses its child, which uses the parent. One that only declares it is no part of a circle.
    let child = ("a/c.rs", "use super::X;");
    assert_eq!(planted(&[("a/mod.rs", "mod c; pub struct X;"), child]).circles().len(), 0);
    assert_eq!(planted(&[("a/mod.rs", "mod c; pub struct X; fn f() { c::g() }"), child]).circles().len(), 1);
    // Tests, visibility and comments do not count.
    let tests = "/// See crate::b.\npub(super) struct A; #[cfg(test)] mod tests { use crate::b::B; }";
    assert_eq!(planted(&[("lib.rs", "use a::A;"), ("a.rs", tests), ("b.rs", "use crate::a::A;")]).circles().len(), 0);

    let mut found = Vec::new();
    for source in ["src", "crates/planner/src"] {
        let graph = Graph::new(&files(source));
        for circle in graph.circles() {
            found.push(format!("a circle in {source}:\n{}", graph.described(&circle)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn planted(files: &[(&str, &str)]) -> Graph {
    Graph::new(&files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
}

/// The files of a library below its source directory, but for those of tests: their names there, and their text.
fn files(source: &str) -> Vec<(String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let (mut files, mut directories) = (Vec::new(), vec![source.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.file_name().is_some_and(|n| n == "tests" || n == "tests.rs") {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&source).expect("below the source").to_string_lossy().into_owned();
                files.push((name, std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    files
}
