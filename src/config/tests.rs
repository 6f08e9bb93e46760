//! Tests of the whole configuration.

use super::*;

#[test]
fn the_defaults_are_valid() {
    Config::default().validate().expect("valid");
}

#[test]
fn the_documentation_says_the_defaults() {
    let Config { retry, handover_seconds, .. } = Config::default();
    let errors = include_str!("../../docs/errors.md");
    let (backoff, slow) = (retry.backoff, retry.slow);
    for row in [
        format!("| backoff | after {} s, doubling to {} s:", backoff.initial_seconds, backoff.max_seconds),
        format!("| slow | after {} min, doubling to {} min:", slow.initial_seconds / 60, slow.max_seconds / 60),
    ] {
        assert!(errors.contains(&row), "{row}");
    }
    let organization = include_str!("../../docs/organization.md");
    assert!(organization.contains(&format!("(`handoverSeconds`, by default {handover_seconds};")));
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("waits {handover_seconds} seconds (`handoverSeconds`)")));
}

#[test]
fn every_problem_names_its_field() {
    let config: Config = serde_yaml::from_str(
        "concurrency: 8\ndrainSeconds: 0\ndatabase: {lockTimeoutSeconds: 90}\nretry: {slow: {initialSeconds: 9, maxSeconds: 3}}\n",
    )
    .expect("parses");
    let text = config.validate().expect_err("invalid").to_string();
    for field in ["drainSeconds", "database.lockTimeoutSeconds", "database.maxConnections", "retry.slow.maxSeconds"] {
        assert!(text.contains(field), "{field} is missing in: {text}");
    }
}

#[test]
fn concurrency_follows_the_connections() {
    let of = |yaml: &str| serde_yaml::from_str::<Config>(yaml).expect("parses").concurrency();
    assert_eq!(of("{}"), 5, "docs/configuration.md says so");
    assert_eq!(of("database: {maxConnections: 20}"), 17);
    assert_eq!(of("database: {maxConnections: 20}\ncascade: {batch: {atOnce: 4}}"), 14);
    assert_eq!(of("database: {maxConnections: 20}\nconcurrency: 2"), 2);
    let few: Config = serde_yaml::from_str("database: {maxConnections: 3}").expect("parses");
    let refused = few.validate().expect_err("no connection for the pages").to_string();
    assert!(refused.contains("`database.maxConnections` must be at least 4"), "{refused}");
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    let error = serde_yaml::from_str::<Config>("pollIntervall: 3").expect_err("refused").to_string();
    assert!(error.contains("pollIntervall"), "{error}");
}

#[test]
fn the_environment_takes_precedence_over_the_file() {
    let mut config = Config::default();
    assert!(matches!(config.url_source(None), Err(ConfigError::NoDatabase)));
    config.database.url_file = Some("/x".into());
    assert!(matches!(config.url_source(None), Ok(UrlSource::File(_))));
    assert!(matches!(config.url_source(Some("postgres://".into())), Ok(UrlSource::Text(_))));
}

const LIST: &str = "
database: {maxConnections: 12, lockTimeoutSeconds: 3}
databases:
- {name: eu, urlFile: /eu}
- name: us
  urlFile: /us
  maxConnections: 4
  statementTimeoutSeconds: 9
  migrate: false
  cascade: {organization: {table: tenants, key: id}, steps: [{entity: users, table: users, organization: tenant_id}]}
";

fn parsed(yaml: &str) -> Config {
    serde_yaml::from_str(yaml).expect("it parses")
}

#[test]
fn each_database_has_what_it_says_and_else_what_all_have() {
    let config = parsed(LIST);
    config.validate().expect("valid");
    let served = config.served(None).expect("both");
    let names: Vec<&str> = served.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["eu", "us"]);
    let [(_, eu), (_, us)] = served.as_slice() else { unreachable!("two") };
    assert_eq!(eu.database, DatabaseConfig { url_file: Some("/eu".into()), ..config.database.clone() });
    assert_eq!((eu.concurrency(), us.concurrency()), (9, 1));
    assert_eq!((us.database.statement_timeout_seconds, us.database.lock_timeout_seconds), (9, 3));
    assert!(eu.database.migrate && !us.database.migrate);
    assert_eq!(eu.cascade, config.cascade);
    assert_eq!(us.cascade.plan.organization.table, "tenants");
    assert!(served.iter().all(|(_, one)| one.databases.is_empty()));
}

#[test]
fn one_of_them_can_be_named() {
    let config = parsed(LIST);
    let name = |name| config.one(name).map(|(name, _)| name);
    assert_eq!(name(Some("us")).expect("listed"), "us");
    let refused = name(Some("asia")).expect_err("not listed").to_string();
    assert!(refused.contains("`asia`") && refused.contains("eu, us"), "{refused}");
    let refused = name(None).expect_err("two").to_string();
    assert!(refused.contains("--database") && refused.contains("eu, us"), "{refused}");
    let single = parsed("databases: [{name: eu, urlFile: /eu}]");
    assert_eq!(single.one(None).expect("the only one").0, "eu");
    let with_default = parsed("databases: [{name: eu, urlFile: /eu}, {name: default, urlFile: /d}]");
    assert_eq!(with_default.one(None).expect("that of objects that name none").0, "default");
    let none = Config::default();
    assert_eq!(none.one(None).expect("without a list").0, "default");
    assert_eq!(none.one(Some("eu")).expect("any").0, "eu");
    let served = config.served(Some("us")).expect("listed");
    assert_eq!(served.len(), 1, "an instance for one of the list");
}

#[test]
fn every_problem_of_a_list_names_its_field() {
    for (yaml, parts) in [
        ("database: {urlFile: /x}\ndatabases: [{name: eu, urlFile: /eu}]", &["`database.urlFile`", "`databases`"][..]),
        ("databases: [{name: EU, urlFile: /eu}]", &["`databases`", "`EU`", "DNS label"]),
        ("databases: [{name: eu, urlFile: /a}, {name: eu, urlFile: /b}]", &["`databases` names `eu` twice"]),
        ("databases: [{name: eu, urlFile: /a}, {name: us, urlFile: /a}]", &["`eu` and `us`", "`urlFile`"]),
        (
            "databases: [{name: eu, urlFile: /a, maxConnections: 2}]",
            &["`databases`, `eu`: `database.maxConnections` must be at least 4"],
        ),
        (
            "databases: [{name: eu, urlFile: /a, cascade: {batch: 0}}]",
            &["`databases`, `eu`: `cascade.batch.rows` must be at least 1"],
        ),
    ] {
        let problems = match parsed(yaml).validate() {
            Err(ConfigError::Invalid(problems)) => problems,
            other => panic!("{yaml}: {other:?}"),
        };
        let text = problems.join("\n");
        for part in parts {
            assert!(text.contains(part), "{part} is missing for {yaml}: {text}");
        }
    }
    let common = "database: {lockTimeoutSeconds: 0}\ndatabases: [{name: eu, urlFile: /a}, {name: us, urlFile: /b}]";
    let text = parsed(common).validate().expect_err("invalid").to_string();
    assert_eq!(text.matches("lockTimeoutSeconds").count(), 1, "said once: {text}");
    for (yaml, part) in [
        ("databases: [{name: eu}]", "urlFile"),
        ("databases: [{urlFile: /a}]", "name"),
        ("databases: [{name: eu, urlFile: /a, url: x}]", "url"),
    ] {
        let refused = serde_yaml::from_str::<Config>(yaml).expect_err("refused").to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }
}
