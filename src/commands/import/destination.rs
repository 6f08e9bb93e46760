//! Where the objects go.

use std::io::Write as _;

use futures::{StreamExt as _, stream};

use super::directory::Directory;
use super::manifest::Manifest;
use crate::cluster::Cluster;
use crate::commands::error::CommandError;
use crate::domain::Failure;

/// Field manager of the objects that the command creates.
pub(super) const MANAGER: &str = "organization-operator-import";
/// Objects that are created at the same time.
const AT_ONCE: usize = 8;

/// Where the objects go.
pub(super) enum Destination {
    /// Files, one for each.
    Directory(Directory),
    /// The API server.
    Cluster(Box<Cluster>),
    /// Standard output.
    Output,
}

/// What was written, and names that another object had taken meanwhile.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) objects: u64,
    pub(super) taken: Vec<String>,
}

impl Destination {
    /// Writes some objects. An object or a file that is there stays as it is. What was written before a failure counts.
    pub(super) async fn write(&mut self, manifests: Vec<Manifest>, written: &mut Written) -> Result<(), CommandError> {
        match self {
            Self::Directory(directory) => {
                for manifest in &manifests {
                    directory.add(manifest)?;
                    written.objects += 1;
                }
                Ok(())
            }
            Self::Output => {
                let mut out = std::io::stdout().lock();
                for manifest in &manifests {
                    write!(out, "---\n{}", manifest.yaml())
                        .map_err(|e| CommandError(format!("standard output cannot be written: {e}")))?;
                    written.objects += 1;
                }
                Ok(())
            }
            Self::Cluster(cluster) => create(cluster, manifests, written).await,
        }
    }

    /// Ends what was begun, also after a failure.
    pub(super) fn close(&self) -> Result<(), CommandError> {
        match self {
            Self::Directory(directory) => directory.close(),
            Self::Cluster(_) | Self::Output => Ok(()),
        }
    }
}

async fn create(cluster: &Cluster, manifests: Vec<Manifest>, written: &mut Written) -> Result<(), CommandError> {
    let creations = manifests.into_iter().map(|manifest| async move {
        let created = cluster.create_if_absent(&manifest.object(), MANAGER).await;
        (manifest.name, created)
    });
    let mut creations = stream::iter(creations).buffer_unordered(AT_ONCE);
    let mut refused: Option<(String, Failure)> = None;
    while let Some((name, created)) = creations.next().await {
        match created {
            Ok(true) => written.objects += 1,
            Ok(false) => written.taken.push(name),
            // Those that are under way end first, so that the number of created objects is right.
            Err(failure) if refused.is_none() => {
                refused = Some((name, failure));
                break;
            }
            Err(_) => {}
        }
    }
    match refused {
        None => Ok(()),
        Some((name, failure)) => {
            let words = CommandError::from(failure).0;
            Err(CommandError(format!("the object {name} could not be created: {words}")))
        }
    }
}
