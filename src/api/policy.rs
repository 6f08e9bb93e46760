//! What the removal of an object does to the data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// What the removal of an Organization object does to the data. Ordered: a later policy does more.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    JsonSchema,
    EnumString,
    IntoStaticStr,
)]
pub enum DeletionPolicy {
    /// Keep the organization and all its data as they are.
    #[default]
    Retain,
    /// Keep the data and deactivate the organization.
    Deactivate,
    /// Erase the organization and all its data permanently.
    Delete,
}

impl DeletionPolicy {
    /// The word that users write.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
