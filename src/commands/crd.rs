//! `organization-operator crd`.

use clap::Args;

use super::error::CommandError;
use crate::api::crd::organization_crd_yaml;

/// Print the CustomResourceDefinition as YAML.
///
/// To install it: organization-operator crd | kubectl apply --server-side -f -
#[derive(Debug, Args)]
pub struct Crd {}

impl Crd {
    /// Runs the command.
    ///
    /// # Errors
    /// Fails only if the definition cannot be serialized.
    pub fn execute(self) -> Result<(), CommandError> {
        let text = organization_crd_yaml().map_err(|e| CommandError(e.to_string()))?;
        print!("{text}");
        Ok(())
    }
}
