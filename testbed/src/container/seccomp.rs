//! The system calls that container engines permit by default: `RuntimeDefault`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Reads the engines' own file, and decides what depends on the container and the machine.
pub(super) fn default(file: &Path, capabilities: &[String]) -> Result<Value> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    let profile =
        serde_json::from_str(&text).map_err(|error| Error::Answer { name: "seccomp.json", why: error.to_string() })?;
    Ok(decide(&profile, capabilities))
}

fn decide(profile: &Value, capabilities: &[String]) -> Value {
    let (name, short) =
        if cfg!(target_arch = "aarch64") { ("SCMP_ARCH_AARCH64", "arm64") } else { ("SCMP_ARCH_X86_64", "amd64") };
    let map = list(&profile["archMap"]).iter().find(|entry| entry["architecture"] == name);
    let mut architectures = vec![json!(name)];
    architectures.extend(map.into_iter().flat_map(|entry| list(&entry["subArchitectures"])).cloned());

    let has = |value: &Value| value.as_str().is_some_and(|wanted| capabilities.iter().any(|own| own == wanted));
    let applies = |rule: &&Value| {
        let (includes, excludes) = (&rule["includes"], &rule["excludes"]);
        let arches = list(&includes["arches"]);
        (arches.is_empty() || arches.iter().any(|arch| arch == short))
            && list(&includes["caps"]).iter().all(has)
            && !list(&excludes["arches"]).iter().any(|arch| arch == short)
            && !list(&excludes["caps"]).iter().any(has)
    };
    let rules: Vec<Value> = list(&profile["syscalls"])
        .iter()
        .filter(applies)
        .map(|rule| {
            let mut kept = json!({"names": rule["names"], "action": rule["action"]});
            for field in ["args", "errnoRet"] {
                if !rule[field].is_null() {
                    kept[field] = rule[field].clone();
                }
            }
            kept
        })
        .collect();
    json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules,
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_by_capability() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "archMap": [],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
                {"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_CHROOT"]}},
                {"names": ["s390_runtime_instr"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}},
            ],
        });
        let actions = |capabilities: &[String]| {
            let decided = decide(&profile, capabilities);
            let rules = decided["syscalls"].as_array().unwrap().clone();
            rules.iter().map(|rule| format!("{} {}", rule["names"][0], rule["action"])).collect::<Vec<_>>()
        };
        assert_eq!(actions(&[]), [r#""read" "SCMP_ACT_ALLOW""#, r#""chroot" "SCMP_ACT_ERRNO""#]);
        let able = actions(&["CAP_SYS_CHROOT".to_owned()]);
        assert_eq!(able, [r#""read" "SCMP_ACT_ALLOW""#, r#""chroot" "SCMP_ACT_ALLOW""#]);
    }
}
