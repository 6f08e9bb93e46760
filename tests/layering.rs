//! "I can guess where code is, and nothing depends to the left": `api <- domain <- {db <- cascade, cluster} <- controller, commands`.

use std::path::Path;
use std::sync::Arc;

use crate::support::World;
use crate::tests;

tests![nothing_depends_to_the_left];

/// Files, by the beginning of their path below `src/`, and what must not stand in them.
const RULES: &[(&[&str], &[&str])] = &[
    (&["api/"], &["crate::domain"]),
    (
        &["api/", "domain/"],
        &["crate::cascade", "crate::db", "crate::cluster", "crate::config", "crate::metrics", "sqlx", "kube::Client"],
    ),
    (&["api/", "domain/"], &["tokio", "SystemTime", "Instant", "Timestamp::now", "fastrand", "std::env", "std::fs"]),
    (&["db/", "cascade/"], &["crate::cluster", "crate::config", "crate::metrics", "kube::"]),
    (&["db/"], &["crate::cascade"]),
    (&["cluster/"], &["crate::cascade", "crate::db", "crate::config", "crate::metrics"]),
    (
        &["api/", "domain/", "db/", "cascade/", "cluster/", "config.rs", "metrics.rs"],
        &["crate::controller", "crate::commands"],
    ),
    (&["controller/"], &["crate::commands"]),
    // Only src/db and src/cascade speak SQL, and only src/cluster writes to the API server.
    (&["cluster/", "controller/", "commands/", "config.rs", "metrics.rs", "server.rs", "main.rs"], &["sqlx"]),
    (
        &[
            "api/",
            "domain/",
            "db/",
            "cascade/",
            "controller/",
            "commands/",
            "config.rs",
            "metrics.rs",
            "server.rs",
            "main.rs",
        ],
        &[".patch(", ".patch_status(", ".create(", ".delete(", ".delete_collection(", ".replace(&", ".replace_status("],
    ),
    (&[""], &[".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "allow(clippy::unwrap"]),
];

async fn nothing_depends_to_the_left(_: Arc<World>) {
    assert_eq!(violations("domain/decide.rs", "use crate::db::Database;").len(), 1, "the check finds a violation");
    assert_eq!(violations("db/erase.rs", "x.unwrap();").len(), 1, "the check finds a violation");
    assert_eq!(violations("db/erase.rs", "#[cfg(test)]\nmod tests { x.unwrap() }").len(), 0, "tests may unwrap");
    assert_eq!(violations("domain/plan.rs", "/// Not like sqlx.").len(), 0, "comments may name anything");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut files) = (Vec::new(), 0);
    let mut directories = vec![source.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|n| n == "tests" || n == "tests.rs") {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files += 1;
                let name = path.strip_prefix(&source).expect("below src").to_string_lossy().into_owned();
                found.extend(violations(&name, &std::fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(files > 30, "only {files} files");
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
