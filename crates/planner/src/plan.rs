//! What an administrator may declare: the plan of the cascade.

mod global;
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
    /// Tables without a row of any organization, as `table`, `schema.table`, or `schema.*` for every table of a schema that
    /// the plan does not name otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global: Vec<String>,
    /// What a table means that the plan does not name at all.
    #[serde(default, skip_serializing_if = "UnknownTables::is_default")]
    pub unknown_tables: UnknownTables,
    /// Tables about which nobody has decided yet. While there is one, the operator deletes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclassified: Vec<Unclassified>,
}

impl Plan {
    /// The schemas of which the plan lists every table as global (`schema.*`).
    pub fn global_schemas(&self) -> impl Iterator<Item = &str> {
        self.global.iter().filter_map(|name| name.strip_suffix(".*"))
    }

    /// The schemas whose tables the plan does not have to mention. Returns `None` if no table has to be mentioned, because
    /// an unknown one is only a warning.
    #[must_use]
    pub fn free_schemas(&self) -> Option<Vec<String>> {
        (self.unknown_tables == UnknownTables::Block).then(|| self.global_schemas().map(str::to_owned).collect())
    }
}

/// What a table means that the plan does not name at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UnknownTables {
    /// A warning.
    #[default]
    Warn,
    /// A fault of the plan: the operator deletes nothing until a person has decided about the table.
    Block,
}

impl UnknownTables {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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

/// One table to delete from. Exactly one of `organization`, `parent` and `referenced_by` says which of its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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
    /// The entity whose rows refer to this table's rows. A row goes if the organization's rows of that entity refer to it and
    /// nothing outside refers to it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referenced_by: Option<String>,
    /// With `parent`: the column that holds the parent's single-column key. With `referenced_by`: the column of that entity's
    /// table that holds this table's single-column key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The referring columns, each with the column that it refers to. With `parent`, the columns of this table refer to the
    /// parent's, which are a key or part of one; with `referenced_by`, those of that entity's table refer to this table's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// With `referenced_by`: columns of other tables that hold this table's single-column key without a foreign key. A row
    /// stays while one of them refers to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<Reference>,
    /// With `organization`: how the rows go of a partition that can hold only this organization's rows.
    #[serde(default, skip_serializing_if = "Partitions::is_default")]
    pub partitions: Partitions,
}

/// How the rows of a partition go that can hold only one organization's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Partitions {
    /// Row by row, as those of every other table.
    #[default]
    Delete,
    /// With the partition: it is truncated, or detached and dropped where a foreign key refers to its table.
    Drop,
}

impl Partitions {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A column that refers to the rows of a step without a foreign key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reference {
    /// Table, as `table` or `schema.table`.
    pub table: String,
    /// Its column.
    pub column: String,
}

impl Step {
    /// The columns of its table by which its rows are found. Empty if other rows refer to its key.
    #[must_use]
    pub fn path_columns(&self) -> Vec<String> {
        if self.referenced_by.is_some() {
            return self.columns.values().cloned().collect();
        }
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
