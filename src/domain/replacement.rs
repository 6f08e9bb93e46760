//! Whether a GitOps engine is configured to replace an object by deleting it and creating it again.
//!
//! Kubernetes keeps a name until the object that has it is gone, so the second half of such a replacement comes only after
//! the erasure: no successor is ever seen. Only the engine's own force setting on the object shows it.

use std::collections::BTreeMap;

use crate::api::Organization;

/// Argo CD, "Sync Options": a list such as `Force=true,Replace=true`.
const ARGO_CD_OPTIONS: &str = "argocd.argoproj.io/sync-options";
/// Flux, Kustomization API, `spec.force`: `enabled` on a single object, as an annotation or a label.
const FLUX_FORCE: &str = "kustomize.toolkit.fluxcd.io/force";

/// The setting on an object that lets an engine delete it and create it again under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceSetting {
    /// Argo CD's annotation.
    ArgoCd,
    /// Flux's annotation.
    FluxAnnotation,
    /// Flux's label.
    FluxLabel,
}

impl ForceSetting {
    /// The setting that this object has.
    #[must_use]
    pub fn of(object: &Organization) -> Option<Self> {
        let value = |map: &Option<BTreeMap<String, String>>, key: &str| map.as_ref().and_then(|m| m.get(key)).cloned();
        let enabled = |value: Option<String>| value.is_some_and(|v| v.trim().eq_ignore_ascii_case("enabled"));
        let meta = &object.metadata;
        let options = value(&meta.annotations, ARGO_CD_OPTIONS).unwrap_or_default();
        let forced = |option: &str| option.trim().eq_ignore_ascii_case("Force=true");
        if options.split(',').any(forced) {
            Some(Self::ArgoCd)
        } else if enabled(value(&meta.annotations, FLUX_FORCE)) {
            Some(Self::FluxAnnotation)
        } else if enabled(value(&meta.labels, FLUX_FORCE)) {
            Some(Self::FluxLabel)
        } else {
            None
        }
    }

    /// The setting in words.
    #[must_use]
    pub const fn described(self) -> &'static str {
        match self {
            Self::ArgoCd => "the annotation argocd.argoproj.io/sync-options with Force=true",
            Self::FluxAnnotation => "the annotation kustomize.toolkit.fluxcd.io/force: enabled",
            Self::FluxLabel => "the label kustomize.toolkit.fluxcd.io/force: enabled",
        }
    }

    /// The command that removes the setting.
    #[must_use]
    pub fn removal(self, name: &str) -> String {
        let (verb, key) = match self {
            Self::ArgoCd => ("annotate", ARGO_CD_OPTIONS),
            Self::FluxAnnotation => ("annotate", FLUX_FORCE),
            Self::FluxLabel => ("label", FLUX_FORCE),
        };
        format!("kubectl {verb} organization {name} {key}-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setting_that_makes_an_engine_replace_the_object_counts() {
        for (place, key, value, expected) in [
            ("annotations", ARGO_CD_OPTIONS, "Force=true", Some(ForceSetting::ArgoCd)),
            ("annotations", ARGO_CD_OPTIONS, "Prune=confirm, force=True ,Replace=true", Some(ForceSetting::ArgoCd)),
            ("annotations", ARGO_CD_OPTIONS, "Replace=true", None),
            ("annotations", ARGO_CD_OPTIONS, "Force=false", None),
            ("annotations", FLUX_FORCE, "Enabled", Some(ForceSetting::FluxAnnotation)),
            ("annotations", FLUX_FORCE, "disabled", None),
            ("annotations", "another.io/force", "enabled", None),
            ("labels", FLUX_FORCE, "enabled", Some(ForceSetting::FluxLabel)),
            ("labels", ARGO_CD_OPTIONS, "Force=true", None),
        ] {
            let object: Organization = serde_json::from_value(serde_json::json!({
                "apiVersion": "organization-operator.io/v1alpha1",
                "kind": "Organization",
                "metadata": {"name": "acme", place: {key: value}},
                "spec": {"organizationId": "1"},
            }))
            .expect("an organization");
            let setting = ForceSetting::of(&object);
            assert_eq!(setting, expected, "{place} {key}: {value}");
            if let Some(setting) = setting {
                assert!(
                    setting.described().contains(key) && setting.removal("acme").ends_with(&format!("acme {key}-"))
                );
            }
        }
    }
}
