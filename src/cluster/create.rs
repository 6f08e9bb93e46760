//! Creates objects for organizations that have none.

use std::time::Duration;

use kube::api::PostParams;

use super::Cluster;
use super::event::is_temporary;
use super::failure::failure_of_person;
use crate::api::Organization;
use crate::domain::Failure;

/// How often a creation is tried while the API server cannot be reached or asks for another try.
const TRIES: u32 = 4;
/// First pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

impl Cluster {
    /// Creates the object, as this field manager. Returns `false` if an object of that name is there already: it is left as it
    /// is. A server-side apply would change it.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn create_if_absent(&self, object: &Organization, manager: &str) -> Result<bool, Failure> {
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        for tried in 1.. {
            match self.organizations.create(&params, object).await {
                Ok(_) => return Ok(true),
                // If the answer to an earlier try was lost, this is the object that it created.
                Err(kube::Error::Api(s)) if s.is_already_exists() => {
                    return Ok(tried > 1 && self.is_ours(object, manager).await?);
                }
                Err(e) if tried < TRIES && is_temporary(&e) => tokio::time::sleep(PAUSE * tried).await,
                Err(e) => return Err(failure_of_person(&e, "creating an object")),
            }
        }
        Ok(false)
    }

    /// Whether the object of that name is one that this field manager created for the same organization.
    async fn is_ours(&self, object: &Organization, manager: &str) -> Result<bool, Failure> {
        let live = self.live(object.metadata.name.as_deref().unwrap_or_default()).await?;
        Ok(live.is_some_and(|live| {
            let mut managers = live.metadata.managed_fields.iter().flatten();
            live.spec.organization_id == object.spec.organization_id
                && live.spec.database == object.spec.database
                && managers.any(|m| m.manager.as_deref() == Some(manager))
        }))
    }
}
