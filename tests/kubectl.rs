//! "How is it, what do I have to do, who did it?" `kubectl organization` says so, as a plugin of the real kubectl.

use std::process::Stdio;
use std::sync::Arc;

use kube::ResourceExt as _;
use organization_operator::api::CONFIRM_DELETION;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::plan::Said;
use crate::support::{PATIENCE, Scene, Variant, World, binary, path};
use crate::tests;

tests![
    kubectl_finds_the_plugin,
    a_blocked_deletion_is_explained_and_its_remedy_works,
    the_documentation_shows_what_the_plugin_prints,
    a_suspension_is_explained,
    held_deletions_are_confirmed_one_by_one_or_all_at_once,
    a_person_is_asked_before_anything_is_confirmed,
    only_who_may_erase_can_confirm_or_resume,
    the_history_outlives_the_object,
    kubectl_completes_commands_flags_and_names,
    a_context_and_a_kubeconfig_name_the_api_server,
];

/// The real kubectl with the plugin on its PATH.
fn command(scene: &Scene, arguments: &[&str]) -> Command {
    let directory = scene.world.directory.path().join(&scene.class).join("bin");
    std::fs::create_dir_all(&directory).expect("a directory");
    let plugin = directory.join("kubectl-organization");
    if !plugin.exists() {
        std::os::unix::fs::symlink(binary(), &plugin).expect("a link");
    }
    let mut search = vec![directory];
    search.extend(std::env::split_paths(&std::env::var_os("PATH").expect("PATH")));
    let mut command = Command::from(scene.world.control_plane().kubectl());
    command.args(arguments).env("PATH", std::env::join_paths(search).expect("PATH"));
    command.env_remove("CONFIG").env_remove("DATABASE_URL").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn said(mut command: Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().expect("an exit code"), out: text(&output.stdout), err: text(&output.stderr) }
}

async fn kubectl(scene: &Scene, arguments: &[&str]) -> Said {
    said(command(scene, arguments)).await
}

/// `kubectl organization ..`
async fn organization(scene: &Scene, arguments: &[&str]) -> Said {
    kubectl(scene, &[&["organization"], arguments].concat()).await
}

/// As this user, who has these roles.
async fn kubeconfig_of(scene: &Scene, user: &str, roles: &[&str]) -> String {
    let user = format!("{user}-{}", scene.class);
    for role in roles {
        let binding = format!("{user}-{role}");
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        scene.ok(&["create", "clusterrolebinding", &binding, &role, &user]).await;
    }
    let mut kubeconfig = admin(scene);
    kubeconfig["users"][0]["user"]["as"] = serde_yaml::Value::from(user.as_str());
    scene.file(&format!("kubeconfig-{user}"), &serde_yaml::to_string(&kubeconfig).expect("a kubeconfig"))
}

fn admin(scene: &Scene) -> serde_yaml::Value {
    let text = std::fs::read_to_string(scene.world.control_plane().admin_kubeconfig()).expect("a kubeconfig");
    serde_yaml::from_str(&text).expect("a kubeconfig")
}

async fn kubectl_finds_the_plugin(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let listed = kubectl(&scene, &["plugin", "list", "--name-only"]).await.with(0);
    assert!(listed.out.lines().any(|line| line == "kubectl-organization"), "{}", listed.out);
    let help = organization(&scene, &["--help"]).await.with(0).out;
    assert!(help.contains("Usage: kubectl organization <COMMAND>"), "{help}");
    for command in ["explain", "watch", "plan", "rehearse", "check", "import", "confirm", "history", "completion"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing: {help}");
        let help = organization(&scene, &[command, "--help"]).await.with(0).out;
        assert!(help.contains(&format!("Usage: kubectl organization {command}")), "{help}");
        assert!(!help.contains("\n  organization-operator "), "examples are as they are typed: {help}");
    }
    let version = organization(&scene, &["--version"]).await.with(0).out;
    assert_eq!(version.trim(), format!("kubectl-organization {}", env!("CARGO_PKG_VERSION")));
    let Said { code, err, .. } = organization(&scene, &["explain", "no-such-object"]).await;
    assert!(code == 2 && err.contains("there is no Organization `no-such-object`"), "{code} {err}");
}

/// An organization whose deletion its contracts block.
async fn blocked(world: Arc<World>) -> Scene {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let key = scene.key(1);
    scene.seed(&key).await;
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); INSERT INTO contracts VALUES ('{key}'); \
             CREATE INDEX ON contracts (tenant); GRANT SELECT ON contracts TO organization_operator"
        ))
        .await;
    scene
}

async fn a_blocked_deletion_is_explained_and_its_remedy_works(world: Arc<World>) {
    let scene = blocked(world).await;
    let name = scene.name("acme");
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    let operator = scene.start().await;
    scene.ready("acme").await;
    scene.until("acme", "what would block", |s| s.is("DeletionReady", "False")).await;
    let live = organization(&scene, &["explain", &name]).await.with(0).out;
    assert!(live.starts_with(&format!("{name} is as its spec says.\n")), "{live}");
    assert!(live.contains("But today it would be blocked (ForeignKeyViolation)"), "{live}");
    scene.delete("acme").await;
    scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    let said = organization(&scene, &["explain", &name, "-o", "json"]).await.with(1).json();
    assert_eq!(said["needsAPerson"], true);
    let sections = said["sections"].as_array().expect("sections");
    let of = |about: &str| sections.iter().find(|section| section["about"] == about).unwrap_or(&Value::Null);
    assert!(of("What stands in the way")["sentences"][0].as_str().is_some_and(|s| s.contains("contracts")), "{said}");
    // What it says clears it.
    let remedy = of("What clears it")["commands"][0].as_str().expect("SQL");
    let sql = remedy.lines().find(|line| line.starts_with("DELETE ") || line.starts_with("UPDATE ")).expect("SQL");
    scene.sql(sql).await;
    scene.gone("acme").await;
    let gone = organization(&scene, &["explain", &name]).await.with(0).out;
    assert!(
        gone.starts_with(&format!("{name} is gone: its deletion was completed")) && gone.contains("3 users"),
        "{gone}"
    );
    operator.stop().await;
}

/// Without what differs from run to run: times, lengths of time, and the names of this test.
fn steady(scene: &Scene, text: &str) -> Vec<String> {
    let text = text.replace(&format!("-{}", scene.class), "").replace(&format!("`{}`", scene.class), "`default`");
    let word = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let time = digits == 14 && word.contains('T') && word.ends_with(['Z', '.', ',', ';']);
        if time { "TIME".to_owned() } else { word.to_owned() }
    };
    // `(2 s ago)`, `(in 3 min 2 s)`, `counted 1 s ago`
    let length = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(word).collect();
        let units = ["s", "min", "h", "d"];
        let mut place = 0;
        while place + 1 < words.len() {
            let number = words[place].trim_start_matches('(').parse::<u64>().is_ok();
            if number && units.contains(&words[place + 1].trim_end_matches([')', '.'])) {
                words.drain(place..place + 2);
            } else {
                place += 1;
            }
        }
        words.join(" ")
    };
    text.lines().map(length).filter(|line| !line.is_empty()).collect()
}

async fn the_documentation_shows_what_the_plugin_prints(world: Arc<World>) {
    let scene = blocked(world).await;
    let name = scene.name("acme");
    let documentation = std::fs::read_to_string(path("docs/kubectl.md")).expect("the documentation");
    let shown = |command: &str| {
        let start = format!("$ {command}\n");
        let (_, rest) =
            documentation.split_once(&start).unwrap_or_else(|| panic!("{command} is not in the documentation"));
        let end = rest.find("\n$ ").into_iter().chain(rest.find("```")).min().expect("an end");
        rest[..end].to_owned()
    };
    let check = |command: &str, printed: &str| {
        assert_eq!(steady(&scene, &shown(command)), steady(&scene, printed), "{command}:\n{printed}");
    };
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete")).await;
    let operator = scene.operator().configure("retry.slow", json!({"initialSeconds": 600, "maxSeconds": 600}));
    let operator = operator.start().await;
    scene.until("acme", "what would block", |s| s.is("DeletionReady", "False")).await;
    scene.delete("acme").await;
    scene.until("acme", "DeletionBlocked", |s| s.is("DeletionBlocked", "True")).await;
    check("kubectl organization explain acme", &organization(&scene, &["explain", &name]).await.with(1).out);
    scene.sql("DROP TABLE contracts").await;
    scene.retry("acme", "1").await;
    scene.gone("acme").await;
    let mut history = command(&scene, &["organization", "history", &name]);
    history.env("DATABASE_URL", scene.url());
    check("kubectl organization history acme", &said(history).await.with(0).out);
    let help = organization(&scene, &["--help"]).await.with(0).out;
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let (commands, _) = commands.split_once("\n\n").expect("an end");
    // Their descriptions go on in lines that are indented further.
    let named = commands.lines().filter(|line| !line.starts_with("   ") && !line.contains(" help "));
    for line in named {
        let command = line.split_whitespace().next().expect("a command");
        assert!(documentation.contains(&format!("`{command}")), "{command} is not in the documentation");
    }
    operator.stop().await;
    scene.sql("INSERT INTO organizations (id, name) SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Acme Corp.' FROM generate_series(1, 3) n").await;
    let place = scene.world.directory.path().join(&scene.class).join("tenants").display().to_string();
    let mut import = command(&scene, &["organization", "import", "--name-column", "name", "--output", &place]);
    import.env("DATABASE_URL", scene.url()).env("DATABASE", &scene.class);
    let printed = said(import).await.with(0).out.replace(&place, "tenants");
    check("kubectl organization import --config config.yaml --name-column name --output tenants", &printed);
}

async fn a_suspension_is_explained(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.seed(&scene.key(1)).await;
    let operator = scene.start().await;
    scene.apply(&scene.org("acme", &scene.key(1)).policy("Delete").spec("suspend", json!(false))).await;
    scene.ready("acme").await;
    scene.patch("acme", r#"{"suspend":true}"#).await;
    scene.until("acme", "Suspended", |s| s.reason("Ready") == "Suspended").await;
    let name = scene.name("acme");
    let said = organization(&scene, &["explain", &name]).await.with(0).out;
    assert!(said.starts_with(&format!("{name} is suspended")), "{said}");
    scene.delete("acme").await;
    scene.until("acme", "Suspended", |s| s.reason("Deleting") == "Suspended").await;
    let said = organization(&scene, &["explain", &name]).await.with(0).out;
    assert!(said.starts_with(&format!("The deletion of {name} is suspended")), "{said}");
    // The command that it prints goes on.
    let resume = said.lines().find(|line| line.contains("suspend\":false")).expect("a command").trim();
    let mut shell = Command::new("sh");
    let kubectl = scene.world.control_plane().kubectl_path().display().to_string();
    shell.args(["-c", &resume.replacen("kubectl", &kubectl, 1)]);
    shell.env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig());
    self::said(shell).await.with(0);
    scene.gone("acme").await;
    operator.stop().await;
}

/// So many organizations whose deletion the breaker holds back, and the operator.
async fn held(world: Arc<World>, names: &[&str]) -> (Scene, crate::support::Operator) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let operator = scene.operator().configure("breaker", json!({"deletions": 1, "minutes": 10}));
    let operator = operator.start().await;
    for (name, number) in names.iter().zip(1..) {
        scene.seed(&scene.key(number)).await;
        scene.apply(&scene.org(name, &scene.key(number)).policy("Delete").spec("suspend", json!(true))).await;
        scene.until(name, "observed", |s| s.reason("Ready") == "Suspended").await;
    }
    for name in names {
        scene.delete(name).await;
    }
    // All of them are seen before the first one goes.
    for name in names {
        scene.until(name, "Suspended", |s| s.reason("Deleting") == "Suspended").await;
    }
    for name in names {
        scene.patch(name, r#"{"suspend":false}"#).await;
    }
    for name in names {
        scene.until(name, "BreakerTripped", |s| s.reason("DeletionBlocked") == "BreakerTripped").await;
    }
    (scene, operator)
}

async fn held_deletions_are_confirmed_one_by_one_or_all_at_once(world: Arc<World>) {
    let (scene, operator) = held(world, &["a", "b", "c"]).await;
    let name = |name: &str| scene.name(name);
    let said = organization(&scene, &["explain", &name("a")]).await.with(1).out;
    assert!(
        said.contains("A guard rail holds the deletion") && said.contains("kubectl organization confirm"),
        "{said}"
    );
    // One that is not held back, and one that is not there: then none is confirmed.
    scene.apply(&scene.org("live", &scene.key(9)).policy("Delete")).await;
    let refused = organization(&scene, &["confirm", &name("a"), &name("live"), "nobody", "--yes"]).await.with(2);
    for part in ["it is not being deleted", "there is no Organization `nobody`", "Nothing was confirmed."] {
        assert!(refused.err.contains(part), "{part} is missing: {}", refused.err);
    }
    let unasked = organization(&scene, &["confirm", &name("a")]).await.with(2);
    assert!(unasked.out.contains("ERASES this organization") && unasked.err.contains("--yes"), "{}", unasked.err);
    for held in ["a", "b", "c"] {
        let object = scene.get(held).await.expect("it is there").0;
        assert!(!object.annotations().contains_key(CONFIRM_DELETION), "nothing was confirmed");
    }
    let confirmed = organization(&scene, &["confirm", &name("a"), &name("a"), "--yes"]).await.with(0).out;
    assert!(confirmed.contains(&format!("{} confirmed\n", name("a"))), "{confirmed}");
    scene.gone("a").await;
    assert_eq!(scene.total(&scene.key(1)).await, 0);
    assert!(scene.get("b").await.is_some() && scene.get("c").await.is_some());
    let both = organization(&scene, &["confirm", &name("a"), "--database", "elsewhere", "--yes"]).await.with(2);
    assert!(both.err.contains("cannot be used with"), "{}", both.err);
    let all = ["confirm", "--all-held", "--database", &scene.class, "--yes"];
    let confirmed = organization(&scene, &all).await.with(0).out;
    for part in
        [format!("{} confirmed", name("b")), format!("{} confirmed", name("c")), "ERASES these organizations".into()]
    {
        assert!(confirmed.contains(&part), "{part} is missing: {confirmed}");
    }
    scene.gone("b").await;
    scene.gone("c").await;
    let none = organization(&scene, &all).await.with(1).out;
    assert_eq!(none, "No guard rail holds a deletion back.\n");
    assert!(scene.get("live").await.is_some_and(|live| live.0.metadata.deletion_timestamp.is_none()));
    operator.stop().await;
}

async fn a_person_is_asked_before_anything_is_confirmed(world: Arc<World>) {
    let (scene, operator) = held(world, &["a", "b"]).await;
    // A pseudo terminal by util-linux.
    let asked = async |answer: &str| {
        let plugin = scene.world.directory.path().join(&scene.class).join("bin/kubectl-organization");
        let line = format!("{} confirm {} {}", plugin.display(), scene.name("a"), scene.name("b"));
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").kill_on_drop(true);
        command.env("KUBECONFIG", scene.world.control_plane().admin_kubeconfig());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut input = child.stdin.take().expect("its input");
        input.write_all(answer.as_bytes()).await.expect("typed");
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ends");
        drop(input);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    organization(&scene, &["--version"]).await.with(0);
    for no in ["y\n", "1\n", "\n"] {
        let (code, out) = asked(no).await;
        assert!(code == Some(1) && out.contains("Nothing was confirmed."), "{no:?}: {code:?} {out}");
    }
    let (code, out) = asked("2\n").await;
    assert!(code == Some(0) && out.contains("Type the number of organizations to erase (2)"), "{code:?} {out}");
    scene.gone("a").await;
    scene.gone("b").await;
    operator.stop().await;
}

async fn only_who_may_erase_can_confirm_or_resume(world: Arc<World>) {
    let (scene, operator) = held(world, &["a", "b"]).await;
    let name = scene.name("a");
    let viewer = kubeconfig_of(&scene, "vera", &["organization-viewer"]).await;
    let editor = kubeconfig_of(&scene, "edith", &["organization-editor"]).await;
    let eraser = kubeconfig_of(&scene, "erin", &["organization-eraser"]).await;
    organization(&scene, &["explain", &name, "--kubeconfig", &viewer]).await.with(1);
    for (who, kubeconfig, words) in [("viewer", &viewer, "cannot patch"), ("editor", &editor, "verb \"delete\"")] {
        let refused = organization(&scene, &["confirm", &name, "--yes", "--kubeconfig", kubeconfig]).await.with(2);
        assert!(refused.err.contains("was not confirmed") && refused.err.contains(words), "{who}: {}", refused.err);
    }
    // A suspension that is lifted brings an erasure nearer, too.
    scene.patch("b", r#"{"suspend":true}"#).await;
    let lift = ["patch", "organization", &scene.name("b"), "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#];
    let refused = scene.refused(&[&lift[..], &["--kubeconfig", &editor]].concat()).await;
    assert!(refused.contains("verb \"delete\""), "{refused}");
    organization(&scene, &["confirm", &name, "--yes", "--kubeconfig", &eraser]).await.with(0);
    scene.gone("a").await;
    scene.ok(&[&lift[..], &["--kubeconfig", &eraser]].concat()).await;
    organization(&scene, &["confirm", "--all-held", "--database", &scene.class, "--yes"]).await.with(0);
    scene.gone("b").await;
    operator.stop().await;
}

async fn the_history_outlives_the_object(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Bigint).await;
    let ask = async |arguments: &[&str]| {
        let mut command = command(&scene, &[&["organization", "history"], arguments].concat());
        command.env("DATABASE_URL", scene.url()).env("KUBECONFIG", "/nonexistent");
        // kubectl itself needs no API server to run a plugin.
        said(command).await
    };
    let name = scene.name("acme");
    let none = ask(&[&name]).await.with(2);
    assert!(none.err.contains("this database has no ledger"), "{}", none.err);
    scene.seed("42").await;
    let operator = scene.start().await;
    let empty = ask(&[&name]).await.with(1);
    assert!(empty.out.contains(&format!("no entry for {name}")), "{}", empty.out);
    // Kept, renamed and erased: the organization has one history, under whatever name.
    for (object, policy) in [("acme", "Retain"), ("acme-inc", "Deactivate"), ("acme-ltd", "Delete")] {
        scene.apply(&scene.org(object, "42").policy(policy)).await;
        scene.until(object, "a claim", |s| s.status().claim.is_some()).await;
        scene.delete(object).await;
        scene.gone(object).await;
    }
    let told = ask(&[&name]).await.with(0).out;
    let outcomes: Vec<&str> = told.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(outcomes, ["OUTCOME", "Retained", "Deactivated", "Erased"], "{told}");
    assert!(told.contains("3 users") && told.contains("kubectl-client-side-apply"), "{told}");
    for other in [vec!["--id", "42"], vec!["--id", "0042"], vec![&scene.name("acme-ltd")[..]]] {
        assert_eq!(ask(&other).await.with(0).out, told, "{other:?}");
    }
    let entries = ask(&["--id", "42", "-o", "json"]).await.with(0).json();
    assert_eq!(entries[2]["outcome"], "Erased");
    assert_eq!(entries[2]["organizationsDeleted"], 1);
    assert!(entries[2]["rowsDeleted"].as_i64().is_some_and(|rows| rows > 3), "{entries}");
    let wrong = ask(&["--id", "no number"]).await.with(2);
    assert!(wrong.err.contains("InvalidOrganizationId"), "{}", wrong.err);
    operator.stop().await;
}

async fn kubectl_completes_commands_flags_and_names(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    let script = organization(&scene, &["completion", "kubectl"]).await.with(0).out;
    let place = scene.world.directory.path().join(&scene.class).join("bin/kubectl_complete-organization");
    std::fs::write(&place, script).expect("written");
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(&place, executable).expect("executable");
    let complete = async |words: &[&str]| {
        let out = kubectl(&scene, &[&["__complete", "organization"], words].concat()).await.with(0).out;
        out.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect::<Vec<String>>()
    };
    assert_eq!(complete(&["exp"]).await, ["explain", ":4"]);
    assert_eq!(complete(&["explain", "--kub"]).await, ["--kubeconfig", ":4"]);
    let name = scene.name("acme");
    assert_eq!(complete(&["explain", &name]).await, [name.as_str(), ":4"]);
    assert_eq!(complete(&["check", "--config", ""]).await, [":0"]);
    assert_eq!(complete(&["explain", "--kubeconfig", "/nonexistent", ""]).await, [":4"], "no API server, no names");
    for (shell, checks) in [("bash", Some("bash")), ("zsh", None), ("fish", None)] {
        let script = organization(&scene, &["completion", shell]).await.with(0).out;
        assert!(script.contains("kubectl-organization") && script.contains("explain"), "{shell}: {script}");
        if let Some(program) = checks {
            let file = scene.file(shell, &script);
            let mut parse = Command::new(program);
            parse.args(["-n", &file]);
            said(parse).await.with(0);
        }
    }
}

async fn a_context_and_a_kubeconfig_name_the_api_server(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    scene.apply(&scene.org("acme", &scene.key(1))).await;
    let name = scene.name("acme");
    let mut kubeconfig = admin(&scene);
    let good = kubeconfig["current-context"].as_str().expect("a context").to_owned();
    let mut nowhere = kubeconfig["clusters"][0].clone();
    nowhere["name"] = serde_yaml::Value::from("nowhere");
    nowhere["cluster"]["server"] = serde_yaml::Value::from("https://127.0.0.1:1");
    kubeconfig["clusters"].as_sequence_mut().expect("clusters").push(nowhere);
    let mut context = kubeconfig["contexts"][0].clone();
    context["name"] = serde_yaml::Value::from("away");
    context["context"]["cluster"] = serde_yaml::Value::from("nowhere");
    kubeconfig["contexts"].as_sequence_mut().expect("contexts").push(context);
    kubeconfig["current-context"] = serde_yaml::Value::from("away");
    let file = scene.file("two-contexts", &serde_yaml::to_string(&kubeconfig).expect("a kubeconfig"));
    for command in ["explain", "watch", "confirm"] {
        let away = organization(&scene, &[command, &name, "--kubeconfig", &file]).await.with(2);
        assert!(away.err.contains("API server"), "{command}: {}", away.err);
    }
    organization(&scene, &["explain", &name, "--kubeconfig", &file, "--context", &good]).await;
    let mut from_environment = command(&scene, &["organization", "explain", &name, "--context", &good]);
    from_environment.env("KUBECONFIG", &file);
    let told = said(from_environment).await;
    assert!(told.out.contains(&name), "{}{}", told.out, told.err);
    let unknown = organization(&scene, &["explain", &name, "--context", "no-such-context"]).await.with(2);
    assert!(unknown.err.contains("no-such-context"), "{}", unknown.err);
    let missing = organization(&scene, &["explain", &name, "--kubeconfig", "/nonexistent"]).await.with(2);
    assert!(missing.err.contains("/nonexistent"), "{}", missing.err);
}
