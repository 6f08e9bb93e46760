//! The audit log: what was asked of the API server, by whom, and with which outcome.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use crate::error::{Error, Result};

/// Everything on the operator's own API group and on Events, once it is answered.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: Metadata
  resources:
  - group: organization-operator.io
  - group: events.k8s.io
    resources: [events]
  - group: ''
    resources: [events]
- level: None
";

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The authenticated user, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The client's own description of itself.
    pub user_agent: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural of the kind.
    pub resource: String,
    /// `status`, for example; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name; empty for collections.
    pub name: String,
    /// The path and query of the request.
    pub uri: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// When the request came in.
    pub received: Timestamp,
    /// When its answer was complete.
    pub completed: Timestamp,
}

impl AuditEvent {
    /// Whether the request was meant to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    response_status: ResponseStatus,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Line> for AuditEvent {
    fn from(line: Line) -> Self {
        Self {
            verb: line.verb,
            user: line.user.username,
            user_agent: line.user_agent,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            uri: line.request_uri,
            code: line.response_status.code,
            received: line.request_received_timestamp,
            completed: line.stage_timestamp,
        }
    }
}

/// Reads the log, except for a last line that is still being written.
pub(super) fn read(path: &Path) -> Result<Vec<AuditEvent>> {
    let text = match fs::read_to_string(path) {
        // The file appears with the first event.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(Error::file("read", path))?,
    };
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let line: Result<Line, _> = serde_json::from_str(line);
            line.map(AuditEvent::from).map_err(|source| Error::Audit { path: path.to_owned(), line: index + 1, source })
        })
        .collect()
}
