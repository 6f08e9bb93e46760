//! Reads and writes the Lease by which the replicas elect their leader. A write changes exactly the version that was read: of
//! two that write at the same time, the API server lets one through.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};

use super::failure::failure;
use crate::api::{FIELD_MANAGER, Reason};
use crate::domain::Failure;

/// The Lease of one instance of the operator.
pub struct Leases {
    api: Api<Lease>,
    namespace: String,
    name: String,
    /// The longest wait for one answer.
    limit: Duration,
}

impl Leases {
    /// The Lease of this name. The client must not try a request again by itself: each attempt counts from its own beginning.
    #[must_use]
    pub fn new(client: Client, namespace: String, name: String, limit: Duration) -> Self {
        Self { api: Api::namespaced(client, &namespace), namespace, name, limit }
    }

    /// Namespace and name, as people write them.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The Lease as it is now. Returns `None` if there is none.
    ///
    /// # Errors
    /// Fails when the API server cannot be asked.
    pub async fn read(&self) -> Result<Option<Lease>, Failure> {
        self.in_time("reading the Lease", self.api.get_opt(&self.name)).await
    }

    /// Writes a Lease: a new one if it has no version, else exactly the version that it has. Returns what the API server has
    /// now, or `None` if somebody else was faster.
    ///
    /// # Errors
    /// Fails when the API server refuses, or does not answer: then the Lease may have been written.
    pub async fn write(&self, lease: &Lease) -> Result<Option<Lease>, Failure> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let new = lease.resource_version().is_none();
        let writing = async {
            let mut lease = lease.clone();
            lease.metadata.name = Some(self.name.clone());
            let written = if new {
                self.api.create(&params, &lease).await
            } else {
                self.api.replace(&self.name, &params, &lease).await
            };
            match written {
                Ok(written) => Ok(Some(written)),
                Err(kube::Error::Api(s)) if s.code == 409 => Ok(None),
                Err(kube::Error::Api(s)) if s.code == 404 && !new => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.in_time("writing the Lease", writing).await
    }

    async fn in_time<T>(
        &self,
        doing: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(answer) => answer.map_err(|e| failure(&e, doing)),
            Err(_) => Err(Failure::new(
                Reason::InternalError,
                format!("the API server gave no answer within {:?} while {doing}", self.limit),
            )
            .remedy("check that the API server runs and that the operator can reach it")),
        }
    }
}
