//! Builds manifests, and reads objects.

use organization_operator::api::Organization;
use organization_operator::api::status::{DeletionStatus, ErrorDetail, OrganizationStatus};
use serde_json::{Value, json};

/// A manifest.
#[derive(Clone, Debug)]
pub struct Org(Value);

impl Org {
    pub fn new(name: &str, key: &str, class: &str) -> Self {
        Self(json!({
            "apiVersion": "organization-operator.io/v1alpha1",
            "kind": "Organization",
            "metadata": {"name": name},
            "spec": {"organizationId": key, "database": class},
        }))
    }

    pub fn policy(self, policy: &str) -> Self {
        self.spec("deletionPolicy", json!(policy))
    }

    pub fn state(self, state: &str) -> Self {
        self.spec("state", json!(state))
    }

    pub fn window(self, seconds: i64) -> Self {
        self.spec("recoveryWindowSeconds", json!(seconds))
    }

    pub fn expires(self, time: &str) -> Self {
        self.spec("expirationTime", json!(time))
    }

    /// With the operator's finalizer from the start.
    pub fn with_finalizer(self) -> Self {
        self.finalizers(&json!(["organization-operator.io/cascade"]))
    }

    pub fn finalizers(mut self, finalizers: &Value) -> Self {
        self.0["metadata"]["finalizers"] = finalizers.clone();
        self
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][name] = json!(value);
        self
    }

    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][name] = json!(value);
        self
    }

    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    pub fn name(&self) -> String {
        self.0["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    }

    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.0).expect("a manifest")
    }
}

/// An object as the API server showed it.
#[derive(Clone, Debug)]
pub struct Seen(pub Organization);

impl Seen {
    pub fn status(&self) -> OrganizationStatus {
        self.0.status.clone().unwrap_or_default()
    }

    /// Whether a condition has this status for the current generation.
    pub fn is(&self, condition: &str, status: &str) -> bool {
        let generation = self.0.metadata.generation;
        self.status()
            .conditions
            .iter()
            .any(|c| c.type_ == condition && c.status == status && c.observed_generation == generation)
    }

    /// The reason of a condition; empty if there is no such condition.
    pub fn reason(&self, condition: &str) -> String {
        self.status().conditions.iter().find(|c| c.type_ == condition).map(|c| c.reason.clone()).unwrap_or_default()
    }

    /// The message of a condition; empty if there is no such condition.
    pub fn message(&self, condition: &str) -> String {
        self.status().conditions.iter().find(|c| c.type_ == condition).map(|c| c.message.clone()).unwrap_or_default()
    }

    pub fn has(&self, condition: &str) -> bool {
        self.status().conditions.iter().any(|c| c.type_ == condition)
    }

    pub fn error(&self) -> Option<ErrorDetail> {
        self.status().error
    }

    pub fn deletion(&self) -> Option<DeletionStatus> {
        self.status().deletion
    }

    pub fn yaml(&self) -> String {
        serde_yaml::to_string(&self.0).expect("an object")
    }
}
