//! The database URL, as libpq reads it (PostgreSQL documentation, Connection Strings), also with several hosts, which sqlx
//! does not know. No message repeats a part of the URL that may be a piece of a password.

mod parts;

use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;

use crate::domain::Failure;
use parts::{Host, Parts, Query, hosts, refused};

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where the servers are.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// One for each host, in the order of the URL.
    pub(super) endpoints: Vec<Arc<PgConnectOptions>>,
    /// Whether the server has to accept writes. Only checked if there are several: with one, the first write shows it.
    pub(super) writable: bool,
}

/// Host and port, or the socket: what a person checks when the server does not answer.
pub(super) fn name(endpoint: &PgConnectOptions) -> String {
    match endpoint.get_socket() {
        Some(socket) => format!("{}, port {}", socket.display(), endpoint.get_port()),
        None => format!("{}:{}", endpoint.get_host(), endpoint.get_port()),
    }
}

/// Reads a database URL.
pub(super) fn parse(text: &str) -> Result<Target, Failure> {
    let text = text.trim();
    let Some(rest) = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return Err(refused(if text.contains("host=") || text.contains("dbname=") {
            "the database URL is a string of keywords (host=... port=...), which the operator cannot use"
        } else {
            "the database URL does not begin with postgres://"
        }));
    };
    let parts = Parts::split(rest)?;
    let query = Query::read(parts.query)?;
    let hosts = hosts(&parts, &query)?;
    let writable = match query.session_attrs {
        None => true,
        Some(attrs) => writable(attrs)?,
    };
    let endpoints = hosts.iter().map(|host| endpoint(&parts, &query, host).map(Arc::new)).collect::<Result<_, _>>()?;
    // Only after the whole URL was read without an error: otherwise these may be pieces of a password.
    for parameter in query.unknown {
        tracing::warn!(parameter, "the operator does not know this parameter of the database URL and ignores it");
    }
    Ok(Target { endpoints, writable })
}

/// Whether the server has to accept writes.
fn writable(attrs: &str) -> Result<bool, Failure> {
    match attrs {
        "any" => Ok(false),
        "read-write" | "primary" => Ok(true),
        "read-only" | "standby" | "prefer-standby" => Err(refused(
            "target_session_attrs of the database URL asks for a server that does not accept writes, but the operator has to write: set it to read-write",
        )),
        _ => Err(refused("target_session_attrs of the database URL must be any, read-write or primary")),
    }
}

/// One host of the URL, as sqlx reads it.
fn endpoint(parts: &Parts<'_>, query: &Query<'_>, host: &Host<'_>) -> Result<PgConnectOptions, Failure> {
    let mut pairs = query.passed_on.clone();
    pairs.extend(host.port.map(|port| format!("port={port}")));
    // An authority with a user needs a host; without one it is no URL.
    let authority = match (query.hosts, parts.user_info) {
        (None, Some(user_info)) if host.name.is_empty() => {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            let named = [("user", user), ("password", password)].into_iter().filter(|(_, value)| !value.is_empty());
            pairs.extend(named.map(|(key, value)| format!("{key}={}", value.replace('+', "%2B").replace('&', "%26"))));
            String::new()
        }
        (None, Some(user_info)) => format!("{user_info}@{}", host.name),
        (None, None) => host.name.to_owned(),
        (Some(_), user_info) => {
            pairs.push(format!("host={}", host.name));
            user_info.map(|u| format!("{u}@localhost")).unwrap_or_default()
        }
    };
    let url = format!("postgres://{authority}{}?{}", parts.path, pairs.join("&"));
    let options: PgConnectOptions = url.parse().map_err(|_| refused("the database URL cannot be parsed"))?;
    // No statement stays prepared on the server: a transaction pooler may hand out another server connection.
    // Nor is anything set at the start of a session that poolers do not know.
    Ok(options.application_name("organization-operator").statement_cache_capacity(0).extra_float_digits(None))
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;

    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text).unwrap_or_else(|f| panic!("{text}: {f}")).endpoints.iter().map(|e| name(e)).collect()
    }

    #[test]
    fn hosts_and_ports_as_in_libpq() {
        for (url, expected) in [
            ("postgres://u:p@db/flows", vec!["db:5432"]),
            (" postgresql://u:p@db:6000/flows?sslmode=require\n", vec!["db:6000"]),
            ("postgres://u:p@h1:5432,h2:5433/db?target_session_attrs=read-write", vec!["h1:5432", "h2:5433"]),
            ("postgres://u:p@h1,h2:7000/db", vec!["h1:5432", "h2:7000"]),
            ("postgres://u@[::1]:5433,[fe80::1]/db", vec!["[::1]:5433", "[fe80::1]:5432"]),
            ("postgres://u@/db?host=h1,h2&port=1,2", vec!["h1:1", "h2:2"]),
            ("postgres://u@/db?host=h1%2Ch2&port=6000", vec!["h1:6000", "h2:6000"]),
            ("postgres://u@ignored:1/db?hostaddr=10.0.0.1&port=2", vec!["10.0.0.1:2"]),
            ("postgres:///db?host=/run/postgresql", vec!["/run/postgresql, port 5432"]),
            ("postgres://u:p@db:6432/flows?hostaddr=10.0.0.5", vec!["10.0.0.5:6432"]),
            ("postgres://u:p@localhost:6000/db?host=/run/postgresql", vec!["/run/postgresql, port 6000"]),
            ("postgres://%2Frun%2Fpostgresql:6000/db?user=u", vec!["/run/postgresql, port 6000"]),
        ] {
            assert_eq!(names(url), expected, "{url}");
        }
    }

    #[test]
    fn what_belongs_to_every_host_is_passed_on() {
        let target =
            parse("postgres://us%40er:pa%2Fss@h1,h2/flows?sslmode=disable&options=-c%20x.y%3D1").expect("a URL");
        for endpoint in &target.endpoints {
            assert_eq!((endpoint.get_username(), endpoint.get_database()), ("us@er", Some("flows")));
            assert_eq!(endpoint.get_options(), Some("-c x.y=1"));
            assert!(matches!(endpoint.get_ssl_mode(), sqlx::postgres::PgSslMode::Disable));
            assert_eq!(endpoint.get_application_name(), Some("organization-operator"));
        }
    }

    #[test]
    fn a_host_may_be_left_out() {
        for url in ["postgres:///db?port=6000", "postgres://u:p%40ss+@:6000/db", "postgres://u:p%40ss+@/db?port=6000"] {
            let target = parse(url).unwrap_or_else(|f| panic!("{url}: {f}"));
            let endpoint = target.endpoints.first().expect("an endpoint");
            assert_eq!((endpoint.get_port(), endpoint.get_database()), (6000, Some("db")), "{url}");
            if url.contains('u') && url.contains("p%40") {
                assert_eq!(endpoint.get_username(), "u", "{url}");
                assert!(endpoint.to_url_lossy().as_str().contains("p%40ss%2B"), "{url}");
            }
        }
    }

    #[test]
    fn a_protection_that_cannot_be_given_is_refused_by_name() {
        let mode = |url: &str| parse(url).expect("a URL").endpoints[0].get_ssl_mode();
        assert!(matches!(mode("postgres://u:p@db/d?ssl=true"), sqlx::postgres::PgSslMode::Require));
        let refused = parse("postgres://u:p@db/d?sslmode=require&channel_binding=require").expect_err("refused");
        assert!(refused.message().contains("channel_binding"), "{refused}");
    }

    #[test]
    fn a_primary_is_looked_for_unless_any_server_will_do() {
        for (attrs, expected) in
            [("", true), ("?target_session_attrs=any", false), ("?target_session_attrs=primary", true)]
        {
            assert_eq!(parse(&format!("postgres://h1,h2/db{attrs}")).expect("a URL").writable, expected, "{attrs}");
        }
        for attrs in ["standby", "read-only", "prefer-standby", "primry"] {
            let refused = parse(&format!("postgres://h1,h2/db?target_session_attrs={attrs}")).expect_err("refused");
            assert!(refused.message().contains("target_session_attrs"), "{refused}");
        }
    }

    #[test]
    fn characters_that_end_a_password_are_named_and_nothing_of_it_is_repeated() {
        for url in [
            "postgres://user:canary/secret@db/flows",
            "postgres://user:12/secret@db:5432/flows",
            "postgres://user:canary?secret@db/flows",
            "postgres://user:canary?secret=canary@db/flows",
            "postgres://user:canary#secret@db/flows",
            "postgres://user:p@canary?secret=y@db/flows",
            "postgres://user:p@canary/c?secret=y@db/flows",
            "postgres://user:a?canary=b&secret=d@db/flows",
            "postgres://user:canary",
            "host=db port=5432 password=canary",
            "mysql://user:canary@db/flows",
        ] {
            let refused = parse(url).expect_err(url);
            let text = format!("{refused} {}", refused.remedy.clone().unwrap_or_default());
            assert!(text.contains("%40 %2F %3A %3F %23"), "{url}: {text}");
            assert!(!text.contains("canary") && !text.contains("secret"), "{url}: {text}");
            if url.contains("@db/flows") && url.starts_with("postgres://") {
                assert!(text.contains("contains a character that must be encoded"), "{url}: {text}");
            }
        }
        let keywords = parse("host=db port=5432 password=canary").expect_err("refused");
        assert!(keywords.message().contains("host=... port=..."), "{keywords}");
        // These end nothing: the last `@` counts, and the first `:`.
        assert_eq!(names("postgres://user:p@ss:word@db/flows"), ["db:5432"]);
        assert_eq!(names("postgres://h:5432/db?user=u&password=a@b"), ["h:5432"]);
    }
}
