//! What an administrator may declare: the plan of the cascade.

mod platform;
mod validate;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The `cascade` part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The table with one row per organization.
    pub organization: OrganizationTable,
    /// Columns that mark a table as a tenant's. A table with such a column that is neither a step nor kept is a fault of
    /// the plan.
    #[serde(default)]
    pub tenant_columns: Vec<String>,
    /// What is deleted, in the declared order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What is kept on purpose.
    #[serde(default)]
    pub keep: Vec<Keep>,
    /// Tables about which nobody has decided yet. While there is one, the operator deletes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclassified: Vec<Unclassified>,
}

/// The table with one row per organization.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrganizationTable {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Its key column.
    pub key: String,
    /// How an organization is switched off. `None` if the plan does not support deactivation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Active>,
}

/// How an organization is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Active {
    /// The column.
    pub column: String,
    /// Its value in an organization that is switched off: `false`, `true`, or `now` for a nullable timestamp.
    pub inactive: Inactive,
}

/// The value that means "switched off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inactive {
    /// A boolean that is true while active.
    False,
    /// A boolean that is true while switched off.
    True,
    /// A timestamp that is NULL while active.
    Now,
}

impl Serialize for Inactive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::False => serializer.serialize_bool(false),
            Self::True => serializer.serialize_bool(true),
            Self::Now => serializer.serialize_str("now"),
        }
    }
}

impl<'de> Deserialize<'de> for Inactive {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Bool(bool),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Bool(false) => Ok(Self::False),
            Raw::Bool(true) => Ok(Self::True),
            Raw::Text(text) if text == "now" => Ok(Self::Now),
            Raw::Text(text) => Err(serde::de::Error::custom(format!("must be false, true or now, not `{text}`"))),
        }
    }
}

/// One table to delete from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// The name under which its rows are counted, at most 63 bytes. Several steps may share one.
    pub entity: String,
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// The column that holds the organization's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The entity whose rows this table's rows belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// With `parent`: the column that holds the parent's single-column key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// With `parent`: columns of this table, each with the parent's column that it refers to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
}

impl Step {
    /// The columns by which its rows are found.
    #[must_use]
    pub fn path_columns(&self) -> Vec<String> {
        self.organization.iter().chain(&self.column).chain(self.columns.keys()).cloned().collect()
    }
}

/// A table that is kept on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keep {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Why it is kept.
    pub reason: String,
}

/// A table about which nobody has decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unclassified {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Why it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inactive_is_false_true_or_now() {
        for (text, expected) in [("false", Inactive::False), ("true", Inactive::True), ("now", Inactive::Now)] {
            assert_eq!(serde_yaml::from_str::<Inactive>(text).expect("parses"), expected);
        }
        let error = serde_yaml::from_str::<Inactive>("never").expect_err("refused").to_string();
        assert!(error.contains("false, true or now"), "{error}");
    }
}
