//! The objects that are there already.

use std::collections::{HashMap, HashSet};

use super::directory::Directory;
use crate::api::Organization;
use crate::cluster::Cluster;
use crate::commands::error::CommandError;
use crate::db::Database;
use crate::domain::Failure;
use planner::CompiledPlan;

/// Where an organization has an object already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Cluster,
    Directory,
}

/// The objects that are there.
#[derive(Debug, Default)]
pub(super) struct Existing {
    /// The keys of their organizations, in the database's own spelling.
    pub(super) keys: HashMap<String, Place>,
    /// Their names.
    pub(super) names: HashSet<String>,
}

impl Existing {
    /// Notes the manifests of a directory.
    pub(super) async fn note_directory(
        &mut self,
        directory: &Directory,
        database: &Database,
        plan: &CompiledPlan,
        serving: &str,
    ) -> Result<(), Failure> {
        self.names.extend(directory.manifests.iter().map(|manifest| manifest.name.clone()));
        let ours = directory.manifests.iter().filter(|manifest| manifest.database == serving);
        let ids: Vec<String> = ours.map(|manifest| manifest.id.clone()).collect();
        self.note(&ids, Place::Directory, database, plan).await
    }

    /// Notes the objects of the cluster.
    pub(super) async fn note_cluster(
        &mut self,
        cluster: &Cluster,
        database: &Database,
        plan: &CompiledPlan,
        serving: &str,
    ) -> Result<(), CommandError> {
        let mut claims = Claims::default();
        let mut from = None;
        loop {
            let (objects, next) = cluster.page(from.as_deref()).await?;
            let mut ids = Vec::new();
            for Organization { metadata, spec, status, .. } in objects {
                let name = metadata.name.unwrap_or_default();
                if spec.database == serving {
                    match status.and_then(|status| status.claim) {
                        // Whatever the spec says later, the operator acts on what the object has claimed.
                        Some(claim) => {
                            claims.note(database, &claim.installation, &name).await?;
                            self.keys.insert(claim.organization_key, Place::Cluster);
                        }
                        None => ids.push(spec.organization_id),
                    }
                }
                self.names.insert(name);
            }
            self.note(&ids, Place::Cluster, database, plan).await?;
            from = next;
            if from.is_none() {
                return claims.of_this_database(serving);
            }
        }
    }

    async fn note(
        &mut self,
        ids: &[String],
        place: Place,
        database: &Database,
        plan: &CompiledPlan,
    ) -> Result<(), Failure> {
        if !ids.is_empty() {
            // What is no key names no organization.
            let keys = database.canonical_many(ids, plan).await?.into_iter().flatten();
            self.keys.extend(keys.map(|key| (key, place)));
        }
        Ok(())
    }
}

/// In which databases objects were claimed.
#[derive(Default)]
struct Claims {
    /// Whether these identities are the one of the database that the command reads.
    known: HashMap<String, bool>,
    /// An object that was claimed elsewhere, and where.
    elsewhere: Option<(String, String)>,
}

impl Claims {
    async fn note(&mut self, database: &Database, installation: &str, name: &str) -> Result<(), Failure> {
        if !self.known.contains_key(installation) {
            let ours = database.is_installation(installation).await?;
            self.known.insert(installation.to_owned(), ours);
            if !ours {
                self.elsewhere = Some((name.to_owned(), installation.to_owned()));
            }
        }
        Ok(())
    }

    /// Refuses a database in which none of the objects was claimed that claim to be of it.
    fn of_this_database(self, serving: &str) -> Result<(), CommandError> {
        match self.elsewhere {
            Some((name, installation)) if !self.known.values().any(|ours| *ours) => Err(CommandError(format!(
                "the objects with spec.database `{serving}` were claimed in another database ({name}, for one, where SELECT id FROM organization_operator.installation returns {installation}): use the configuration of the operator that serves them, or name another --database"
            ))),
            _ => Ok(()),
        }
    }
}
