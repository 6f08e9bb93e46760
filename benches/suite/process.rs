//! What processes use, from proc(5).

use std::collections::BTreeMap;

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What it uses now (`VmRSS`).
    pub now: f64,
    /// The most that it has used (`VmHWM`).
    pub peak: f64,
}

impl Memory {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let mebibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
            let kibibytes: u32 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("kB");
            f64::from(kibibytes) / 1024.0
        };
        Self { now: mebibytes("VmRSS"), peak: mebibytes("VmHWM") }
    }
}

/// Processor time by program, in seconds.
pub struct Processor(BTreeMap<String, f64>);

/// The programs of a run. The name of a process has at most 15 characters.
const PROGRAMS: [&str; 5] = ["kube-apiserver", "etcd", "postgres", "organization-op", "benchmarks"];

impl Processor {
    /// Until now (fields 14 and 15 of `stat`, in hundredths of a second).
    pub fn so_far() -> Self {
        let mut spent = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((name, fields)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
                continue;
            };
            if PROGRAMS.iter().any(|program| name.starts_with(program)) {
                let ticks: u32 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u32>().ok()).sum();
                *spent.entry(name.to_owned()).or_default() += f64::from(ticks) / 100.0;
            }
        }
        Self(spent)
    }

    /// Since then: `kube-apiserver 3.6 s, postgres 1.5 s`.
    pub fn since(&self) -> String {
        let spent = Self::so_far().0;
        let spent = spent.iter().map(|(name, s)| (name, s - self.0.get(name).unwrap_or(&0.0)));
        let spent: Vec<String> = spent.filter(|(_, s)| *s >= 0.1).map(|(name, s)| format!("{name} {s:.1} s")).collect();
        spent.join(", ")
    }
}
