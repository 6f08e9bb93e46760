//! Adds and releases the finalizer. Both are JSON patches that test the uid first: kube's own helper tests the name of the
//! finalizer only, and would take it from an object that was created again under the same name.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use kube::ResourceExt as _;
use kube::api::{Patch as Body, PatchParams};
use serde_json::{Value, json};

use super::Cluster;
use crate::api::{FIELD_MANAGER, FINALIZER, Organization, Reason};
use crate::domain::Failure;
use crate::domain::completion::CompletionProof;

/// How often a release is tried when other finalizers come and go meanwhile.
const RELEASE_TRIES: usize = 5;

impl Cluster {
    /// Adds the finalizer to exactly this version of the object. Returns `None` if the object has changed: its next watch
    /// event reconciles it again.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn add_finalizer(&self, object: &Organization) -> Result<Option<Organization>, Failure> {
        let version = json!(object.resource_version().unwrap_or_default());
        let operations = vec![
            test(&["metadata", "uid"], json!(object.uid().unwrap_or_default())),
            test(&["metadata", "resourceVersion"], version),
            if object.finalizers().is_empty() {
                add(&["metadata", "finalizers"], json!([FINALIZER]))
            } else {
                add(&["metadata", "finalizers", "-"], json!(FINALIZER))
            },
        ];
        let body: Body<()> = Body::Json(Patch(operations));
        match self.organizations.patch(&object.name_any(), &manager(), &body).await {
            Ok(updated) => Ok(Some(updated)),
            Err(e) => {
                let as_read = |live: &Organization| live.resource_version() == object.resource_version();
                self.too_late(e, object, "adding the finalizer", as_read).await.map(|_| None)
            }
        }
    }

    /// Releases the finalizer. It takes the proof that the deletion is completed. An object that is gone, or whose name
    /// another one has taken, has been released.
    ///
    /// # Errors
    /// Fails when the API server refuses.
    pub async fn release(&self, object: &Organization, _: &CompletionProof) -> Result<(), Failure> {
        let mut current = object.clone();
        for _ in 0..RELEASE_TRIES {
            let Some(index) = current.finalizers().iter().position(|f| f == FINALIZER) else {
                return Ok(());
            };
            let index = index.to_string();
            let at = ["metadata", "finalizers", index.as_str()];
            let operations = vec![
                test(&["metadata", "uid"], json!(object.uid().unwrap_or_default())),
                test(&at, json!(FINALIZER)),
                PatchOperation::Remove(RemoveOperation { path: pointer(&at) }),
            ];
            let Err(error) = self.patch_metadata(&current, operations).await else { return Ok(()) };
            let unmoved = |live: &Organization| live.finalizers() == current.finalizers();
            match self.too_late(error, object, "releasing the finalizer", unmoved).await? {
                Some(live) => current = live,
                None => return Ok(()),
            }
        }
        Err(Failure::new(
            Reason::InternalError,
            "the object's finalizers changed each time the operator tried to release its own",
        ))
    }

    /// Patches an object that nobody needs in return.
    async fn patch_metadata(&self, object: &Organization, operations: Vec<PatchOperation>) -> Result<(), kube::Error> {
        let body: Body<()> = Body::Json(Patch(operations));
        self.organizations.patch_metadata(&object.name_any(), &manager(), &body).await.map(|_| ())
    }
}

fn manager() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

fn pointer(tokens: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(tokens.iter().copied())
}

fn test(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path: pointer(path), value })
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path: pointer(path), value })
}
