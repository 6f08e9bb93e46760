//! "Somebody on call sees what happens, and what to do next": `deploy/components/monitoring`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use organization_operator::api::Reason;
use serde_json::{Value, json};
use testbed::{Progress, Prometheus, PrometheusOptions, Tool};

use crate::support::{Need, Operator, ROLE, Scene, Test, Variant, World, eventually, path};

/// All tests of this module.
pub fn tests() -> Vec<Test> {
    [files::tests(), rules::tests(), scraped::tests()].concat()
}

mod files {
    use super::{
        each_alert_says_what_to_do_and_leads_to_an_entry, the_component_fits_what_it_is_put_beside,
        whatever_alerts_and_dashboard_name_exists,
    };

    crate::tests![
        each_alert_says_what_to_do_and_leads_to_an_entry,
        the_component_fits_what_it_is_put_beside,
        whatever_alerts_and_dashboard_name_exists,
    ];
}

mod rules {
    use super::{Need, each_alert_fires_when_it_should_and_only_then};

    crate::tests![needs Need::Promtool; each_alert_fires_when_it_should_and_only_then];
}

mod scraped {
    use super::{Need, a_real_prometheus_raises_the_alert_while_a_deletion_is_blocked};

    crate::tests![needs Need::Prometheus; a_real_prometheus_raises_the_alert_while_a_deletion_is_blocked];
}

const COMPONENT: &str = "deploy/components/monitoring";
const DOCS: &str = "https://github.com/organization-operator/organization-operator/blob/main/docs/";
const JOB: &str = "organization-operator-metrics";

fn read(file: &str) -> String {
    std::fs::read_to_string(path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

/// The rule file in the `PrometheusRule`.
fn rule_file() -> Value {
    yaml(&read(&format!("{COMPONENT}/prometheus-rule.yaml")))["spec"].take()
}

fn alerts() -> Vec<Value> {
    let groups = rule_file()["groups"].as_array().expect("groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}"))
}

/// The expressions of the dashboard, without the variables of Grafana.
fn panels() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read(&format!("{COMPONENT}/dashboard.json"))).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets.map(|target| text(target, "expr").replace("$__rate_interval", "1m").replace("$job", ".*")).collect()
}

/// The operator's metrics that an expression names, without the suffixes of histograms.
fn named(expression: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = expression.split(word).filter(|word| word.starts_with("organization_operator_"));
    names.map(|name| family(name).to_owned()).collect()
}

/// A histogram by the name that documentation uses.
fn family(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// The metrics with an entry in the documentation. A unit test holds these against what the operator registers.
fn documented() -> BTreeSet<String> {
    let docs = read("docs/monitoring.md");
    let rows = docs.lines().filter(|line| line.starts_with("| `organization_operator_"));
    rows.flat_map(|row| named(row.split('|').nth(1).expect("a cell"))).collect()
}

/// The metrics that an operator shows.
fn shown(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| family(line.split(['{', ' ']).next().expect("a name")).to_owned()).collect()
}

/// Headings of a page, as links name them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")).collect()
}

async fn each_alert_says_what_to_do_and_leads_to_an_entry(_: Arc<World>) {
    let pages: BTreeMap<_, _> =
        ["errors.md", "monitoring.md"].map(|page| (page, anchors(&read(&format!("docs/{page}"))))).into();
    let docs = read("docs/monitoring.md");
    let all = alerts();
    for alert in &all {
        let name = text(alert, "alert");
        let notes = &alert["annotations"];
        assert!(text(notes, "summary").len() < 120, "{name}");
        let description = text(notes, "description");
        let commands = ["kubectl ", "organization-operator check", "SELECT "];
        assert!(commands.iter().any(|command| description.contains(command)), "{name} names no command: {description}");
        assert!(["critical", "warning", "info"].contains(&text(&alert["labels"], "severity")), "{name}");
        let runbook = text(notes, "runbook_url");
        let (page, anchor) = runbook.strip_prefix(DOCS).and_then(|rest| rest.split_once('#')).expect("a link");
        let known = pages.get(page).unwrap_or_else(|| panic!("{name}: {runbook}"));
        if anchor == "{{ $labels.reason | toLower }}" {
            for reason in Reason::ALL {
                let anchor = reason.as_str().to_lowercase();
                assert!(known.contains(&anchor), "{name}: no entry {anchor} in {page}");
            }
        } else {
            assert!(known.contains(anchor), "{name}: no entry {anchor} in {page}");
        }
        let severity = text(&alert["labels"], "severity");
        let row = docs.lines().find(|line| line.starts_with(&format!("| [`{name}`]")));
        assert!(row.is_some_and(|row| row.contains(&format!("| {severity} |"))), "{name}: {row:?}");
    }
    let rows = docs.lines().filter(|line| line.starts_with("| [`Organization")).count();
    assert_eq!(rows, all.len(), "docs/monitoring.md has an alert that does not exist");
}

async fn the_component_fits_what_it_is_put_beside(world: Arc<World>) {
    let directory = tempfile::tempdir().expect("a directory");
    // kustomize takes no absolute paths.
    let up = "../".repeat(directory.path().canonicalize().expect("a path").components().count() - 1);
    let from_here = |file: &str| format!("{up}{}", path(file).trim_start_matches('/'));
    // The overlay of the documentation.
    let docs = read("docs/monitoring.md");
    let shown = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an overlay");
    let mut overlay = yaml(shown);
    overlay["resources"] = json!([from_here("deploy/base")]);
    overlay["components"] = json!([from_here(COMPONENT)]);
    std::fs::write(directory.path().join("kustomization.yaml"), overlay.to_string()).expect("a file");
    let built = world.ok(&["kustomize", &directory.path().to_string_lossy()]).await.stdout;
    let built = String::from_utf8(built).expect("text");
    let objects: Vec<Value> = built.split("\n---\n").map(yaml).collect();
    let of = |kind: &str, name: &str| {
        let found = objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let monitor = of("ServiceMonitor", "organization-operator");
    let service = of("Service", JOB);
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(&service["metadata"]["labels"][label], value, "{label}");
    }
    let services = objects.iter().filter(|o| o["kind"] == "Service").count();
    assert_eq!(services, 1, "the ServiceMonitor selects all of them");
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    assert_eq!(monitor["metadata"]["namespace"], service["metadata"]["namespace"]);
    let dashboard = of("ConfigMap", "organization-operator-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let shown: Value = serde_json::from_str(text(&dashboard["data"], "organization-operator.json")).expect("JSON");
    assert_eq!(shown["uid"], "organization-operator");
    // The alerts that everything is down name this job.
    let down = alerts().into_iter().find(|alert| alert["alert"] == "OrganizationOperatorDown").expect("the alert");
    assert!(text(&down, "expr").contains(&format!("up{{job=\"{JOB}\"}}")));
    let rule = of("PrometheusRule", "organization-operator");
    assert_eq!(
        (&monitor["metadata"]["labels"]["release"], &rule["metadata"]["labels"]["release"]),
        (&json!("prometheus"), &json!("prometheus"))
    );
    let mut rules = rule_file();
    let overdue = rules["groups"][0]["rules"].as_array_mut().expect("rules").iter_mut();
    let overdue = overdue.filter(|rule| rule["alert"] == "OrganizationDeletionOverdue");
    overdue.for_each(|rule| rule["expr"] = json!(text(rule, "expr").replace("> 8 *", "> 31 *")));
    assert_eq!(rule["spec"], rules, "the documentation raises the limit of one alert");
}

/// An operator with a deletion that is blocked and one that goes in pages, so that it shows as much as it can.
async fn busy(scene: &Scene) -> Operator {
    // Pages lock the rows to which their rows belong.
    scene.sql(&format!("GRANT UPDATE (id) ON users, flows, flow_executions TO {ROLE}")).await;
    let batch = json!({"batch": {"rows": 500, "maxRowsPerSecond": 50}});
    let launch = scene.operator().configure("cascade", batch).configure("database.maxConnections", json!(8));
    let operator = launch.start().await;
    scene.seed(&scene.key(1)).await;
    scene.seed_sized(&scene.key(2), 10, 10, 20, 10).await;
    scene
        .sql(&format!(
            "CREATE TABLE contracts (tenant uuid REFERENCES organizations); GRANT SELECT ON contracts TO {ROLE}"
        ))
        .await;
    for (name, number) in [("acme", 1), ("large", 2)] {
        scene.apply(&scene.org(name, &scene.key(number)).policy("Delete")).await;
        scene.ready(name).await;
    }
    operator
}

async fn block(scene: &Scene) {
    scene.sql(&format!("INSERT INTO contracts VALUES ('{}')", scene.key(1))).await;
    scene.delete("acme").await;
    scene.until("acme", "blocked", |s| s.reason("DeletionBlocked") == "ForeignKeyViolation").await;
}

async fn whatever_alerts_and_dashboard_name_exists(world: Arc<World>) {
    let known = documented();
    assert!(known.len() > 20, "{known:?}");
    let alerts: Vec<_> = alerts().iter().map(|alert| text(alert, "expr").to_owned()).collect();
    let used: BTreeSet<String> = alerts.iter().chain(&panels()).flat_map(|expression| named(expression)).collect();
    assert_eq!(used.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "not in docs/monitoring.md");

    let scene = Scene::new(world, Variant::Ordinary).await;
    let operator = busy(&scene).await;
    block(&scene).await;
    scene.delete("large").await;
    // Only where the plan does not fit the schema.
    let never = "organization_operator_plan_fault".to_owned();
    let after = "organization_operator_rows_deleted_total".to_owned();
    let missing = eventually("all other metrics", || async {
        let shown = shown(&operator.metrics().await);
        assert!(shown.is_subset(&known), "not in docs/monitoring.md: {:?}", shown.difference(&known));
        let missing: BTreeSet<_> = used.difference(&shown).cloned().collect();
        missing.is_subset(&[never.clone(), after.clone()].into()).then_some(missing)
    })
    .await;
    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    if missing.contains(&after) {
        assert!(shown(&operator.metrics().await).contains(&after));
    }
    operator.stop().await;
}

async fn each_alert_fires_when_it_should_and_only_then(_: Arc<World>) {
    const TESTS: &str = "rules.test.yaml";
    let tests = read(&format!("tests/monitoring/{TESTS}"));
    let mut fires: BTreeMap<String, [bool; 2]> = BTreeMap::new();
    for test in yaml(&tests)["tests"].as_array().expect("tests") {
        for case in test["promql_expr_test"].as_array().into_iter().flatten() {
            let expression = text(case, "expr");
            let name = expression.split('"').nth(1).expect("an alert").to_owned();
            assert_eq!(expression, format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}"));
            let silent = case["exp_samples"].as_array().expect("samples").is_empty();
            fires.entry(name).or_default()[usize::from(silent)] = true;
        }
    }
    let names: BTreeMap<String, [bool; 2]> =
        alerts().iter().map(|alert| (text(alert, "alert").to_owned(), [true, true])).collect();
    assert_eq!(fires, names, "each alert has to fire in one case and be silent in another");

    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write("rules.yaml", &serde_yaml::to_string(&rule_file()).expect("YAML"));
    write(TESTS, &tests);
    let environment = Tool::Promtool.environment(&Progress::default()).await.expect("promtool");
    for arguments in [&["check", "rules", "rules.yaml"][..], &["test", "rules", TESTS]] {
        let mut promtool = tokio::process::Command::new("promtool");
        promtool.args(arguments).envs(environment.iter().cloned()).current_dir(directory.path()).kill_on_drop(true);
        let output = promtool.output().await.expect("promtool runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("SUCCESS"), "{arguments:?}: {text}");
    }
}

/// Names of the alerts that fire, with their reasons.
async fn firing(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    let data = prometheus.api("alerts", &[]).await.expect("an answer");
    let all = data["alerts"].as_array().expect("alerts").iter().filter(|alert| alert["state"] == "firing");
    let word = |label: &Value| label.as_str().unwrap_or_default().to_owned();
    all.map(|alert| (word(&alert["labels"]["alertname"]), word(&alert["labels"]["reason"]))).collect()
}

async fn a_real_prometheus_raises_the_alert_while_a_deletion_is_blocked(world: Arc<World>) {
    let scene = Scene::new(world, Variant::Ordinary).await;
    let operator = busy(&scene).await;
    // The rules as they are, but that they wait for no minutes.
    let mut rules = rule_file();
    for group in rules["groups"].as_array_mut().expect("groups") {
        for rule in group["rules"].as_array_mut().expect("rules") {
            rule["for"] = json!("1s");
        }
    }
    let options = PrometheusOptions {
        target: operator.address().to_owned(),
        job: JOB.to_owned(),
        namespace: "organization-operator-system".to_owned(),
        rules: serde_yaml::to_string(&rules).expect("YAML"),
        progress: Progress::default(),
    };
    let prometheus = Prometheus::start(options).await.unwrap_or_else(|e| panic!("{e}"));
    let up = format!("up{{job=\"{JOB}\"}} == 1 and on () time() - timestamp(organization_operator_build_info) < 5");
    eventually("a scrape", || async {
        let found = prometheus.api("query", &[("query", &up)]).await.expect("an answer");
        (!found["result"].as_array().expect("a result").is_empty()).then_some(())
    })
    .await;
    // Each rule is evaluated, and none has anything to say about an operator that is well.
    let evaluated = || async {
        let data = prometheus.api("rules", &[]).await.expect("an answer");
        let rules = data["groups"][0]["rules"].as_array().expect("rules").clone();
        rules.iter().all(|rule| rule["health"] == "ok").then_some(rules.len())
    };
    assert_eq!(eventually("all rules are evaluated", evaluated).await, alerts().len());
    eventually("no alert", || async { firing(&prometheus).await.is_empty().then_some(()) }).await;
    for expression in panels() {
        let answer = prometheus.api("query", &[("query", &expression)]).await;
        assert!(answer.is_ok(), "{expression}: {answer:?}");
    }

    block(&scene).await;
    let blocked = ("OrganizationDeletionBlocked".to_owned(), "ForeignKeyViolation".to_owned());
    eventually("the alert", || async { firing(&prometheus).await.contains(&blocked).then_some(()) }).await;
    let data = prometheus.api("alerts", &[]).await.expect("an answer");
    let alert = data["alerts"].as_array().expect("alerts").iter().find(|a| a["labels"]["alertname"] == *blocked.0);
    let notes = &alert.expect("the alert")["annotations"];
    assert_eq!(text(notes, "summary"), "deletions blocked by ForeignKeyViolation: 1");
    assert_eq!(text(notes, "runbook_url"), format!("{DOCS}errors.md#foreignkeyviolation"));
    scene.sql("DELETE FROM contracts").await;
    scene.gone("acme").await;
    eventually("the alert ends", || async { (!firing(&prometheus).await.contains(&blocked)).then_some(()) }).await;

    // Without the operator, that is what it says.
    operator.stop().await;
    let down = ("OrganizationOperatorDown".to_owned(), String::new());
    eventually("the operator is down", || async { firing(&prometheus).await.contains(&down).then_some(()) }).await;
}
