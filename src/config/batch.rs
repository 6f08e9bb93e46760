//! `cascade.batch`: from how many rows a deletion goes in pages, and how much of the database it may use.

use std::fmt;

use crate::pace::{Hours, HoursError, Pace};
use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How large tenants are deleted: `never`, a number of rows, or a mapping with more fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    /// A tenant of at least this many rows is deleted in pages. `None`: never.
    pub rows: Option<u64>,
    /// What happens to such a tenant if nothing of it can be deleted in pages.
    pub unpageable: Unpageable,
    /// How many tenants are deleted in pages at the same time.
    pub at_once: u16,
    /// How fast.
    pub pace: PaceConfig,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { rows: Some(1_000_000), unpageable: Unpageable::default(), at_once: 1, pace: PaceConfig::default() }
    }
}

/// What happens to a large tenant of which nothing can be deleted in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Unpageable {
    /// It is deleted in one transaction.
    #[default]
    Atomic,
    /// It is not deleted, and the status says why.
    Refuse,
}

/// How much of the database a deletion in pages may use, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaceConfig {
    /// The most rows that all deletions in pages delete in a second.
    pub max_rows_per_second: Option<u64>,
    /// The most bytes that the server writes to its write-ahead log in a second, whoever writes them, while rows are deleted in
    /// pages.
    pub max_wal_bytes_per_second: Option<u64>,
    /// How far behind a standby may be, in seconds.
    pub max_replay_lag_seconds: Option<u64>,
    /// The `application_name` of each standby without which no page is deleted.
    pub standbys: Vec<String>,
    /// The hours of the day in which pages are deleted, as `22:00-06:00`. `None`: always.
    pub hours: Option<String>,
    /// The time zone of `hours`, as the IANA database names it. `None`: UTC.
    pub time_zone: Option<String>,
}

/// The mapping as it is written.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    rows: u64,
    unpageable: Unpageable,
    at_once: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rows_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_wal_bytes_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_replay_lag_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standbys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
}

impl Default for Written {
    fn default() -> Self {
        let BatchConfig { rows, unpageable, at_once, pace } = BatchConfig::default();
        Self::new(rows.unwrap_or_default(), unpageable, at_once, pace)
    }
}

impl Written {
    fn new(rows: u64, unpageable: Unpageable, at_once: u16, pace: PaceConfig) -> Self {
        let PaceConfig {
            max_rows_per_second,
            max_wal_bytes_per_second,
            max_replay_lag_seconds,
            standbys,
            hours,
            time_zone,
        } = pace;
        Self {
            rows,
            unpageable,
            at_once,
            max_rows_per_second,
            max_wal_bytes_per_second,
            max_replay_lag_seconds,
            standbys,
            hours,
            time_zone,
        }
    }
}

impl From<Written> for BatchConfig {
    fn from(written: Written) -> Self {
        Self {
            rows: Some(written.rows),
            unpageable: written.unpageable,
            at_once: written.at_once,
            pace: PaceConfig {
                max_rows_per_second: written.max_rows_per_second,
                max_wal_bytes_per_second: written.max_wal_bytes_per_second,
                max_replay_lag_seconds: written.max_replay_lag_seconds,
                standbys: written.standbys,
                hours: written.hours,
                time_zone: written.time_zone,
            },
        }
    }
}

/// The word that turns pages off.
const NEVER: &str = "never";

impl Serialize for BatchConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.rows {
            None => serializer.serialize_str(NEVER),
            Some(rows) => Written::new(rows, self.unpageable, self.at_once, self.pace.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BatchConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl<'de> Visitor<'de> for AnyForm {
    type Value = BatchConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`never`, a number of rows, or a mapping such as {rows: 1000000, maxRowsPerSecond: 5000}")
    }

    fn visit_u64<E: de::Error>(self, rows: u64) -> Result<BatchConfig, E> {
        Ok(BatchConfig { rows: Some(rows), ..BatchConfig::default() })
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<BatchConfig, E> {
        if word == NEVER {
            return Ok(BatchConfig { rows: None, ..BatchConfig::default() });
        }
        Err(E::invalid_value(de::Unexpected::Str(word), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BatchConfig, A::Error> {
        Written::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
    }
}

impl BatchConfig {
    /// How many tenants are deleted in pages at the same time, at most.
    #[must_use]
    pub fn places(&self) -> u16 {
        self.rows.map_or(0, |_| self.at_once)
    }

    /// What cannot be used, each with its field.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let pace = &self.pace;
        let mut problems = Vec::new();
        for (field, value) in [
            ("rows", self.rows),
            ("atOnce", Some(u64::from(self.at_once))),
            ("maxRowsPerSecond", pace.max_rows_per_second),
            ("maxWalBytesPerSecond", pace.max_wal_bytes_per_second),
            ("maxReplayLagSeconds", pace.max_replay_lag_seconds),
        ] {
            if value == Some(0) {
                problems.push(format!("`cascade.batch.{field}` must be at least 1"));
            }
        }
        problems.extend(pace.checked().err().unwrap_or_default());
        problems
    }
}

/// The time zone of the hours, unless another one is named.
const UTC: &str = "UTC";

impl PaceConfig {
    /// The limits.
    ///
    /// # Errors
    /// Fails with what cannot be used, each with its field.
    pub fn checked(&self) -> Result<Pace, Vec<String>> {
        let mut problems = Vec::new();
        let zone = self.time_zone.as_deref().unwrap_or(UTC);
        let hours = match self.hours.as_deref().map(|hours| Hours::parse(hours, zone)).transpose() {
            Ok(hours) => hours,
            Err(error) => {
                let field = if matches!(error, HoursError::Zone(_)) { "timeZone" } else { "hours" };
                problems.push(format!("`cascade.batch.{field}` {error}"));
                None
            }
        };
        if self.time_zone.is_some() && self.hours.is_none() {
            problems.push(
                "`cascade.batch.timeZone` has no effect without `cascade.batch.hours`: set the hours, or remove the time zone"
                    .to_owned(),
            );
        }
        for (index, name) in self.standbys.iter().enumerate() {
            if name.trim().is_empty() {
                problems.push("`cascade.batch.standbys` must not have an empty name".to_owned());
            } else if self.standbys[..index].contains(name) {
                problems.push(format!("`cascade.batch.standbys` names `{name}` twice"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Pace {
            max_rows_per_second: self.max_rows_per_second,
            max_wal_bytes_per_second: self.max_wal_bytes_per_second,
            max_replay_lag_seconds: self.max_replay_lag_seconds,
            standbys: self.standbys.clone(),
            hours,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_names_its_field() {
        for (text, fields) in [
            ("0", &["cascade.batch.rows"][..]),
            ("{rows: 0, atOnce: 0}", &["cascade.batch.rows", "cascade.batch.atOnce"]),
            (
                "{maxRowsPerSecond: 0, maxWalBytesPerSecond: 0, maxReplayLagSeconds: 0}",
                &["batch.maxRowsPerSecond", "batch.maxWalBytesPerSecond", "batch.maxReplayLagSeconds"],
            ),
            ("{hours: \"06:00-06:00\"}", &["cascade.batch.hours", "never come"]),
            ("{hours: nights}", &["cascade.batch.hours", "`nights`", "22:00-06:00"]),
            ("{hours: \"22:00-06:00\", timeZone: Mars/Olympus}", &["cascade.batch.timeZone", "Mars/Olympus"]),
            ("{timeZone: Europe/Berlin}", &["cascade.batch.timeZone", "cascade.batch.hours"]),
            ("{standbys: [a, \"\"]}", &["cascade.batch.standbys", "empty"]),
            ("{standbys: [a, b, a]}", &["cascade.batch.standbys", "`a` twice"]),
        ] {
            let batch: BatchConfig = serde_yaml::from_str(text).expect("it parses");
            let problems = batch.problems().join("\n");
            for field in fields {
                assert!(problems.contains(field), "`{field}` is missing for {text}: {problems}");
            }
        }
    }

    #[test]
    fn what_can_be_used() {
        let text = "{maxRowsPerSecond: 1, maxWalBytesPerSecond: 2, maxReplayLagSeconds: 3, standbys: [a], hours: \"22:00-06:00\", timeZone: Europe/Berlin}";
        for text in ["never", "1", "{}", text] {
            let batch: BatchConfig = serde_yaml::from_str(text).expect("it parses");
            assert_eq!(batch.problems(), Vec::<String>::new(), "{text}");
        }
        let pace = serde_yaml::from_str::<BatchConfig>(text).expect("it parses").pace.checked().expect("limits");
        assert_eq!(pace.hours.expect("hours").to_string(), "22:00-06:00 (Europe/Berlin)");
    }
}
