//! Labels that several metrics have.

use prometheus_client::encoding::EncodeLabelSet;

/// The `spec.database` of the objects.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct DatabaseLabel {
    pub(super) database: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OutcomeLabel {
    #[prometheus(flatten)]
    pub(super) database: DatabaseLabel,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct EntityLabel {
    #[prometheus(flatten)]
    pub(super) database: DatabaseLabel,
    pub(super) entity: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ReasonLabel {
    #[prometheus(flatten)]
    pub(super) database: DatabaseLabel,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FindingLabel {
    #[prometheus(flatten)]
    pub(super) database: DatabaseLabel,
    pub(super) kind: &'static str,
    pub(super) severity: &'static str,
}
