//! `cascade`: the plan, and beside its fields `batch`, which says how the plan is run and not what it deletes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::batch::BatchConfig;
use planner::Plan;

/// The `cascade` part of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cascade {
    /// What is deleted.
    #[serde(flatten)]
    pub plan: Plan,
    /// From how many rows it goes in pages, and how fast.
    #[serde(skip_serializing_if = "is_default")]
    pub batch: BatchConfig,
}

fn is_default(batch: &BatchConfig) -> bool {
    *batch == BatchConfig::default()
}

impl<'de> Deserialize<'de> for Cascade {
    /// The plan is read by its own rules, unknown fields refused, so `flatten` is out of the question.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Both)
    }
}

struct Both;

impl<'de> Visitor<'de> for Both {
    type Value = Cascade;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a plan, see docs/configuration.md")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cascade, A::Error> {
        let mut rest = Rest { map, batch: None, next: None, of_error: PhantomData };
        rest.advance()?;
        if rest.next.is_none()
            && let Some(batch) = rest.batch
        {
            return Ok(Cascade { plan: Plan::default(), batch });
        }
        let plan = Plan::deserialize(MapAccessDeserializer::new(&mut rest))?;
        Ok(Cascade { plan, batch: rest.batch.unwrap_or_default() })
    }
}

/// The fields but for `batch`, which it keeps.
struct Rest<A, E> {
    map: A,
    batch: Option<BatchConfig>,
    next: Option<String>,
    of_error: PhantomData<E>,
}

impl<'de, A: MapAccess<'de>> Rest<A, A::Error> {
    /// Reads the next field that is not `batch`.
    fn advance(&mut self) -> Result<(), A::Error> {
        loop {
            self.next = self.map.next_key()?;
            if self.next.as_deref() != Some("batch") {
                return Ok(());
            }
            if self.batch.replace(self.map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field("batch"));
            }
        }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for &mut Rest<A, A::Error> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if self.next.is_none() {
            self.advance()?;
        }
        let Some(key) = self.next.take() else { return Ok(None) };
        let key: StringDeserializer<A::Error> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::batch::Unpageable;

    const PLAN: &str = "organization: {table: tenants, key: id}";

    fn read(text: &str) -> Result<Cascade, String> {
        serde_yaml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_batch_stands_beside_the_fields_of_the_plan() {
        for text in
            [format!("batch: 7\n{PLAN}\n"), format!("{PLAN}\nbatch: 7\n"), format!("{PLAN}\nbatch: {{rows: 7}}\n")]
        {
            let cascade = read(&text).expect("it parses");
            assert_eq!(cascade.plan.organization.table, "tenants", "{text}");
            assert_eq!(cascade.batch, BatchConfig { rows: Some(7), ..BatchConfig::default() }, "{text}");
        }
        assert_eq!(read(PLAN).expect("it parses").batch, BatchConfig::default());
    }

    #[test]
    fn a_batch_alone_leaves_the_plan_that_is_built_in() {
        let cascade = read("batch: never").expect("it parses");
        assert_eq!((cascade.plan, cascade.batch.rows), (Plan::default(), None));
        let error = read("{}").expect_err("no plan");
        assert!(error.contains("organization"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, parts) in [
            (format!("{PLAN}\nbatches: 1"), &["batches"][..]),
            (format!("{PLAN}\nbatch: always"), &["batch", "always", "never", "number of rows"]),
            (format!("{PLAN}\nbatch: -1"), &["batch", "never"]),
            (format!("{PLAN}\nbatch: {{row: 1}}"), &["batch", "row", "maxRowsPerSecond"]),
            (format!("{PLAN}\nbatch: {{unpageable: no}}"), &["batch", "unpageable", "atomic", "refuse"]),
            (format!("batch: 1\n{PLAN}\nbatch: 2"), &["batch"]),
        ] {
            let error = read(&text).expect_err(&text);
            for part in parts {
                assert!(error.contains(part), "`{part}` is missing for {text}: {error}");
            }
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for batch in ["never", "5", "{rows: 9, unpageable: refuse, atOnce: 2, hours: \"22:00-06:00\", standbys: [a]}"] {
            let cascade = read(&format!("{PLAN}\nbatch: {batch}")).expect("it parses");
            let again = serde_yaml::to_string(&cascade).expect("it serializes");
            assert_eq!(read(&again).expect(&again), cascade);
        }
        let refuse = read(&format!("{PLAN}\nbatch: {{unpageable: refuse}}")).expect("it parses").batch;
        assert_eq!((refuse.rows, refuse.unpageable), (Some(1_000_000), Unpageable::Refuse));
    }
}
