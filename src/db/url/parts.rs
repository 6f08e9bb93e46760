//! A database URL, taken apart. Everything is still encoded.

use crate::api::Reason;
use crate::domain::Failure;

const FORM: &str = "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full; in USER and PASSWORD write the characters @ / : ? # % as %40 %2F %3A %3F %23 %25";

/// Parameters that sqlx reads as they are.
const PASSED_ON: [&str; 14] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The URL, taken apart.
pub(super) struct Parts<'a> {
    pub(super) user_info: Option<&'a str>,
    hosts: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn split(rest: &'a str) -> Result<Self, Failure> {
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        // A URL parser sees an end of the authority in the middle of a password, and a host in the user's name.
        if tail.contains('#') || path.contains('@') {
            return Err(unencoded());
        }
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        Ok(Self { user_info, hosts, path, query })
    }
}

/// The parameters, still encoded.
#[derive(Default)]
pub(super) struct Query<'a> {
    pub(super) hosts: Option<&'a str>,
    ports: Option<&'a str>,
    pub(super) session_attrs: Option<&'a str>,
    pub(super) passed_on: Vec<String>,
    pub(super) unknown: Vec<&'a str>,
}

impl<'a> Query<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Failure> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else { return Err(unencoded()) };
            match (key, value) {
                ("host" | "hostaddr", _) => query.hosts = Some(value),
                ("port", _) => query.ports = Some(value),
                ("target_session_attrs", _) => query.session_attrs = Some(value),
                ("ssl", "true") => query.passed_on.push("sslmode=require".to_owned()),
                ("channel_binding" | "gssencmode", "require") | ("require_auth" | "sslcrl" | "sslcrldir", _) => {
                    return Err(refused(&format!(
                        "the parameter {key} of the database URL asks for a protection that the operator does not offer; remove it, and use sslmode=verify-full"
                    )));
                }
                // sqlx reads a plus sign as a space, and libpq does not.
                _ if PASSED_ON.contains(&key) || key.starts_with("options[") => {
                    query.passed_on.push(pair.replace('+', "%2B"));
                }
                // What has the form of a parameter may be the rest of a password, before its `@`.
                _ if value.contains('@') => return Err(unencoded()),
                _ if key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) => {
                    query.unknown.push(key);
                }
                _ => return Err(unencoded()),
            }
        }
        Ok(query)
    }
}

/// A host with its port, still encoded.
pub(super) struct Host<'a> {
    pub(super) name: &'a str,
    pub(super) port: Option<&'a str>,
}

/// The hosts: those of the parameter `host` before those of the authority.
pub(super) fn hosts<'a>(parts: &Parts<'a>, query: &Query<'a>) -> Result<Vec<Host<'a>>, Failure> {
    let authority: Vec<Host<'a>> = parts.hosts.split(',').map(with_port).collect();
    let ports: Vec<Option<&str>> = match query.ports {
        Some(ports) => separate(ports).into_iter().map(Some).collect(),
        None => authority.iter().map(|host| host.port).collect(),
    };
    let mut hosts = match query.hosts {
        Some(names) => separate(names).into_iter().map(|name| Host { name, port: None }).collect(),
        None => authority,
    };
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(refused("the number of ports in the database URL differs from the number of hosts"));
    }
    for (index, host) in hosts.iter_mut().enumerate() {
        host.port = ports.get(index).or(ports.first()).copied().flatten().filter(|port| !port.is_empty());
        if host.port.is_some_and(|port| port.parse::<u16>().unwrap_or_default() == 0) {
            return Err(refused("a port of the database URL is not a number from 1 to 65535"));
        }
    }
    if hosts.len() > 1 && hosts.iter().any(|host| host.name.is_empty()) {
        return Err(refused("a host of the database URL has no name"));
    }
    Ok(hosts)
}

/// The items of a list, whose commas may be encoded.
fn separate(list: &str) -> Vec<&str> {
    list.split("%2C").flat_map(|part| part.split("%2c")).flat_map(|part| part.split(',')).collect()
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn with_port(text: &str) -> Host<'_> {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => Host { name, port: Some(port) },
        _ => Host { name: text, port: None },
    }
}

fn unencoded() -> Failure {
    refused("the user, the password or the database in the database URL contains a character that must be encoded")
}

/// A URL that the operator does not use.
pub(super) fn refused(message: &str) -> Failure {
    Failure::new(Reason::AuthenticationFailed, message).remedy(FORM)
}
