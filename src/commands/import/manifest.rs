//! The manifest of an organization.

use std::fmt::Write as _;

use crate::api::{DeletionPolicy, GROUP, Organization, OrganizationSpec};

/// An object that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// `metadata.name`.
    pub(super) name: String,
    /// `spec.organizationId`.
    pub(super) id: String,
    /// `spec.deletionPolicy`.
    pub(super) policy: DeletionPolicy,
    /// `spec.database`.
    pub(super) database: String,
}

impl Manifest {
    /// As YAML that every parser reads in the same way: strings are quoted.
    pub(super) fn yaml(&self) -> String {
        format!(
            "apiVersion: {GROUP}/v1alpha1\nkind: Organization\nmetadata:\n  name: {}\nspec:\n  organizationId: {}\n  deletionPolicy: {}\n  database: {}\n",
            quoted(&self.name),
            quoted(&self.id),
            self.policy.as_str(),
            quoted(&self.database)
        )
    }

    /// As an object.
    pub(super) fn object(&self) -> Organization {
        let spec = OrganizationSpec { deletion_policy: self.policy, ..OrganizationSpec::new(&self.id, &self.database) };
        Organization::new(&self.name, spec)
    }
}

/// A string in double quotes. Whatever is neither a letter nor a digit of some language nor printable ASCII is escaped: YAML
/// takes some such characters for line breaks, and refuses others.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() && !c.is_ascii() => quoted.push(c),
            // Writing to a String cannot fail.
            _ => _ = write!(quoted, "\\U{:08X}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_object_say_the_same_whatever_the_key_is() {
        for id in [
            "ac3e0000-0000-4000-8000-000000000001",
            "4711",
            "007",
            "1e5",
            "0x10",
            "1_000",
            "12:30:45",
            "no",
            "~",
            "null",
            "2026-01-01",
            "'",
            "\"",
            "\\",
            "a: b",
            "# x",
            "- x",
            "{a}",
            "&a",
            "!!int 1",
            "%",
            "@",
            "`",
            " a ",
            "a\nb",
            "\t",
            "a\u{85}b",
            "a\u{2028}b",
            "\u{feff}",
            "\u{7f}",
            "株式会社",
            "🎉",
            "ä",
            "a\u{301}",
            "${X}",
        ] {
            let manifest = Manifest {
                name: "acme".to_owned(),
                id: id.to_owned(),
                policy: DeletionPolicy::Retain,
                database: "eu".to_owned(),
            };
            let read: Organization = serde_yaml::from_str(&manifest.yaml()).expect("an object");
            assert_eq!(read, manifest.object(), "{}", manifest.yaml());
            assert_eq!(read.spec.organization_id, id);
            assert!(manifest.yaml().lines().count() == 8, "no line break in a value: {}", manifest.yaml());
        }
    }

    #[test]
    fn a_manifest_is_easy_to_read() {
        let manifest = Manifest {
            name: "müller".to_owned(),
            id: "4711".to_owned(),
            policy: DeletionPolicy::Delete,
            database: "default".to_owned(),
        };
        let expected = "apiVersion: organization-operator.io/v1alpha1\nkind: Organization\nmetadata:\n  name: \"müller\"\nspec:\n  organizationId: \"4711\"\n  deletionPolicy: Delete\n  database: \"default\"\n";
        assert_eq!(manifest.yaml(), expected);
    }
}
