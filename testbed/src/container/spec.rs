//! The configuration of a container, as the Open Container Initiative specifies it.

use std::path::Path;

use serde_json::{Value, json};

use super::ContainerOptions;

/// What container engines hide in /proc and /sys, and what they keep from being written.
const MASKED: [&str; 9] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

pub(super) fn spec(options: &ContainerOptions, root: &Path, seccomp: Option<Value>) -> Value {
    let environment: Vec<String> = options.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let capabilities = &options.capabilities;
    let mut linux = json!({
        // It is started in the namespace of its network.
        "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    });
    if let Some(seccomp) = seccomp {
        linux["seccomp"] = seccomp;
    }
    json!({
        "ociVersion": "1.0.2",
        "hostname": options.hostname,
        "process": {
            "args": options.command,
            "env": environment,
            "cwd": options.directory,
            "user": {"uid": options.account.uid, "gid": options.account.gid, "additionalGids": options.groups},
            "noNewPrivileges": options.no_new_privileges,
            "capabilities": {"bounding": capabilities, "permitted": capabilities, "effective": capabilities},
        },
        "root": {"path": root, "readonly": options.read_only_root},
        "mounts": mounts(options),
        "linux": linux,
    })
}

fn mounts(options: &ContainerOptions) -> Vec<Value> {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        }),
        json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        }),
        json!({
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        }),
        json!({
            "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        }),
    ];
    mounts.extend(options.mounts.iter().map(|mount| {
        let access = if mount.read_only { "ro" } else { "rw" };
        json!({
            "destination": mount.target, "type": "bind", "source": mount.source, "options": ["rbind", "rprivate", access],
        })
    }));
    mounts
}
