//! `breaker`: how many deletions may begin at once before no further one erases.

use std::fmt;

use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::breaker::Limit;

/// How many deletions may begin at once: `never`, or a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// `None`: any number.
    pub limit: Option<Limit>,
}

/// The limit as it ships.
const DEFAULT: Limit = Limit { deletions: 10, minutes: 10 };

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { limit: Some(DEFAULT) }
    }
}

/// The mapping as it is written.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Written {
    deletions: u32,
    minutes: u32,
}

impl Default for Written {
    fn default() -> Self {
        let Limit { deletions, minutes } = DEFAULT;
        Self { deletions, minutes }
    }
}

/// The word that turns the breaker off.
const NEVER: &str = "never";

impl Serialize for BreakerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.limit {
            None => serializer.serialize_str(NEVER),
            Some(Limit { deletions, minutes }) => Written { deletions, minutes }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for BreakerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = BreakerConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`never`, or a mapping such as {deletions: 10, minutes: 10}")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<BreakerConfig, E> {
        if word == NEVER {
            return Ok(BreakerConfig { limit: None });
        }
        Err(E::invalid_value(de::Unexpected::Str(word), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BreakerConfig, A::Error> {
        let Written { deletions, minutes } = Written::deserialize(MapAccessDeserializer::new(map))?;
        Ok(BreakerConfig { limit: Some(Limit { deletions, minutes }) })
    }
}

/// A year: whoever wants a longer time has mistaken the unit.
const MOST_MINUTES: u32 = 365 * 24 * 60;

impl BreakerConfig {
    /// What cannot be used, each with its field.
    #[must_use]
    pub fn problems(self) -> Vec<String> {
        let Some(Limit { deletions, minutes }) = self.limit else { return Vec::new() };
        let mut problems = Vec::new();
        for (field, value) in [("deletions", deletions), ("minutes", minutes)] {
            if value == 0 {
                problems.push(format!("`breaker.{field}` must be at least 1; `breaker: never` turns the breaker off"));
            }
        }
        if minutes > MOST_MINUTES {
            problems.push(format!("`breaker.minutes` must be at most {MOST_MINUTES}"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_used() {
        for (text, limit) in [
            ("never", None),
            ("{}", Some((10, 10))),
            ("{deletions: 50}", Some((50, 10))),
            ("{deletions: 1, minutes: 1}", Some((1, 1))),
        ] {
            let breaker: BreakerConfig = serde_yaml::from_str(text).expect("it parses");
            assert_eq!(breaker.limit.map(|l| (l.deletions, l.minutes)), limit, "{text}");
            assert_eq!(breaker.problems(), Vec::<String>::new(), "{text}");
            let again = serde_yaml::to_string(&breaker).expect("it is written");
            assert_eq!(serde_yaml::from_str::<BreakerConfig>(&again).expect("it parses again"), breaker, "{again}");
        }
    }

    #[test]
    fn every_problem_names_its_field() {
        for (text, fields) in [
            ("{deletions: 0}", &["`breaker.deletions` must be at least 1", "`breaker: never`"][..]),
            ("{minutes: 0}", &["`breaker.minutes` must be at least 1"]),
            ("{deletions: 0, minutes: 0}", &["`breaker.deletions`", "`breaker.minutes`"]),
            ("{minutes: 4294967295}", &["`breaker.minutes` must be at most 525600"]),
        ] {
            let breaker: BreakerConfig = serde_yaml::from_str(text).expect("it parses");
            let problems = breaker.problems().join("\n");
            for field in fields {
                assert!(problems.contains(field), "`{field}` is missing for {text}: {problems}");
            }
        }
        for (text, part) in [
            ("sometimes", "`never`"),
            ("7", "`never`"),
            ("{deletion: 7}", "unknown field `deletion`"),
            ("{deletions: -1}", "-1"),
            ("{minutes: soon}", "soon"),
        ] {
            let error = serde_yaml::from_str::<BreakerConfig>(text).expect_err("refused").to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
