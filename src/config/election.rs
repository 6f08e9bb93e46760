//! `leaderElection`: how long a replica leads without a renewal of its Lease.

use std::fmt;
use std::time::Duration;

use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `never`, or the times of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElectionConfig(pub Option<ElectionTimes>);

/// The times of the election. The defaults are those of Kubernetes' own controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ElectionTimes {
    /// How long the others wait after they saw the last renewal, in seconds.
    pub lease_seconds: u64,
    /// How long the leader acts after its last renewal, in seconds. Less than `lease_seconds`.
    pub renew_seconds: u64,
    /// How often the leader renews and the others check, in seconds. At most half of `renew_seconds`.
    pub retry_seconds: u64,
}

impl Default for ElectionConfig {
    fn default() -> Self {
        Self(Some(ElectionTimes::default()))
    }
}

impl Default for ElectionTimes {
    fn default() -> Self {
        Self { lease_seconds: 15, renew_seconds: 10, retry_seconds: 2 }
    }
}

impl ElectionTimes {
    /// How long the others wait after they saw the last renewal.
    #[must_use]
    pub const fn lease(self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// How long the leader acts after its last renewal.
    #[must_use]
    pub const fn renew(self) -> Duration {
        Duration::from_secs(self.renew_seconds)
    }

    /// How often the leader renews and the others check.
    #[must_use]
    pub const fn retry(self) -> Duration {
        Duration::from_secs(self.retry_seconds)
    }
}

/// A leader that is gone for longer than this without a successor is no use to anybody.
const LONGEST: u64 = 3600;

impl ElectionConfig {
    /// What cannot be used, each with its field.
    #[must_use]
    pub fn problems(self) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(ElectionTimes { lease_seconds, renew_seconds, retry_seconds }) = self.0 else { return problems };
        if retry_seconds == 0 {
            problems.push("`leaderElection.retrySeconds` must be at least 1".to_owned());
        }
        if renew_seconds < retry_seconds.saturating_mul(2) {
            problems.push("`leaderElection.renewSeconds` must be at least twice `retrySeconds`".to_owned());
        }
        if lease_seconds <= renew_seconds {
            // Else the old leader could still act when the next one begins.
            problems.push("`leaderElection.leaseSeconds` must be more than `renewSeconds`".to_owned());
        }
        if lease_seconds > LONGEST {
            problems.push(format!("`leaderElection.leaseSeconds` must be at most {LONGEST}"));
        }
        problems
    }
}

/// The word that turns the election off.
const NEVER: &str = "never";

impl Serialize for ElectionConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str(NEVER),
            Some(times) => times.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ElectionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = ElectionConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`never`, or a mapping such as {leaseSeconds: 15, renewSeconds: 10, retrySeconds: 2}")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<ElectionConfig, E> {
        if word == NEVER { Ok(ElectionConfig(None)) } else { Err(E::invalid_value(de::Unexpected::Str(word), &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ElectionConfig, A::Error> {
        ElectionTimes::deserialize(MapAccessDeserializer::new(map)).map(|times| ElectionConfig(Some(times)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_its_field() {
        for (text, fields) in [
            ("{retrySeconds: 0}", &["leaderElection.retrySeconds"][..]),
            ("{renewSeconds: 3}", &["leaderElection.renewSeconds"]),
            ("{leaseSeconds: 10}", &["leaderElection.leaseSeconds"]),
            ("{leaseSeconds: 3601}", &["leaderElection.leaseSeconds", "3600"]),
            ("{leaseSeconds: 0, renewSeconds: 0, retrySeconds: 0}", &["retrySeconds", "leaseSeconds"]),
        ] {
            let election: ElectionConfig = serde_yaml::from_str(text).expect("it parses");
            let problems = election.problems().join("\n");
            for field in fields {
                assert!(problems.contains(field), "`{field}` is missing for {text}: {problems}");
            }
        }
        for text in ["{renew: 3}", "sometimes", "[]", "true"] {
            serde_yaml::from_str::<ElectionConfig>(text).expect_err(text);
        }
    }

    #[test]
    fn what_can_be_used() {
        for text in ["never", "{}", "{leaseSeconds: 3, renewSeconds: 2, retrySeconds: 1}"] {
            let election: ElectionConfig = serde_yaml::from_str(text).expect("it parses");
            assert_eq!(election.problems(), Vec::<String>::new(), "{text}");
            let written = serde_yaml::to_string(&election).expect("it is written");
            assert_eq!(serde_yaml::from_str::<ElectionConfig>(&written).expect("it parses"), election);
        }
    }
}
