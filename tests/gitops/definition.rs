//! The definition of Organizations, as it ships and as an earlier version could have had it.

use serde_json::Value;

use crate::support::{World, path};

/// The file that ships.
pub const FILE: &str = "crds/organizations.organization-operator.io.yaml";
/// The definition's name.
pub const NAME: &str = "organizations.organization-operator.io";
/// A field of `spec` that the earlier version lacks.
pub const NEW_FIELD: &str = "expirationTime";

/// The definition that ships.
pub fn present() -> String {
    std::fs::read_to_string(path(FILE)).expect("the definition")
}

/// A definition without [`NEW_FIELD`].
pub fn earlier() -> String {
    let mut definition: Value = serde_yaml::from_str(&present()).expect("the definition");
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let fields = definition.pointer_mut(spec).and_then(Value::as_object_mut).expect("fields of the spec");
    fields.remove(NEW_FIELD).expect("the field");
    serde_yaml::to_string(&definition).expect("a definition")
}

/// Whether the cluster's definition has the field.
pub async fn has_new_field(world: &World) -> bool {
    let text = String::from_utf8(world.ok(&["get", "crd", NAME, "-o", "yaml"]).await.stdout).expect("text");
    text.contains(&format!("{NEW_FIELD}:"))
}
