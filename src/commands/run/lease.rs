//! Where the Lease of this instance is, and whether there is an election at all.

use std::path::Path;

use crate::api::DEFAULT_DATABASE;
use crate::config::{Config, ElectionTimes};

/// Where a pod finds its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The Lease of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaseSettings {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) times: ElectionTimes,
}

impl LeaseSettings {
    /// The Lease of the instance that serves `database`, or all databases of its configuration. Returns `None` if this process acts without an election.
    pub(super) fn of(config: &Config, namespace: Option<&str>, database: Option<&str>) -> Option<Self> {
        let Some(times) = config.leader_election.0 else {
            tracing::info!("leaderElection is never: this process leads without an election");
            return None;
        };
        let given = namespace.map(str::trim).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
        // With a kubeconfig it talks to another cluster than that of its pod, or as somebody else.
        let in_pod = std::env::var_os("KUBECONFIG").is_none();
        let own = || in_pod.then(|| own_namespace(Path::new(NAMESPACE_FILE))).flatten();
        let Some(namespace) = given.or_else(own) else {
            tracing::info!(
                "this process leads without an election: it runs outside a cluster, and --lease-namespace is not set"
            );
            return None;
        };
        Some(Self { namespace, name: name(database), times })
    }
}

fn own_namespace(file: &Path) -> Option<String> {
    let namespace = std::fs::read_to_string(file).ok()?;
    let namespace = namespace.trim();
    (!namespace.is_empty()).then(|| namespace.to_owned())
}

/// Instances for different databases elect a leader each. One that serves all databases of a list names none.
fn name(database: Option<&str>) -> String {
    match database {
        None | Some(DEFAULT_DATABASE) => "organization-operator".to_owned(),
        Some(database) => format!("organization-operator-{database}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ElectionConfig;

    #[test]
    fn each_instance_has_a_lease_of_its_own() {
        let config = Config::default();
        let of = |namespace, database| LeaseSettings::of(&config, namespace, database).map(|s| (s.namespace, s.name));
        let expected = |name: &str| Some(("tenants".to_owned(), name.to_owned()));
        assert_eq!(of(Some("tenants"), None), expected("organization-operator"));
        assert_eq!(of(Some("tenants"), Some("default")), expected("organization-operator"));
        assert_eq!(of(Some(" tenants\n"), Some("eu")), expected("organization-operator-eu"));
        let never = Config { leader_election: ElectionConfig(None), ..Config::default() };
        assert_eq!(LeaseSettings::of(&never, Some("tenants"), None), None);
    }

    #[test]
    fn the_namespace_of_a_pod_is_read_from_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("namespace");
        assert_eq!(own_namespace(&file), None, "outside a cluster");
        for (text, expected) in [("tenants", Some("tenants")), ("tenants\n", Some("tenants")), (" \n", None)] {
            std::fs::write(&file, text).expect("written");
            assert_eq!(own_namespace(&file).as_deref(), expected, "{text:?}");
        }
    }
}
