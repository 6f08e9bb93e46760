//! What the command says to a person about what it has done.

use std::path::Path;

use super::choice::LeftOut;
use crate::api::DeletionPolicy;
use crate::commands::error::CommandError;
use crate::domain::words::quantity;

/// So many files are named in a message.
pub(super) const SHOWN: usize = 5;

/// What is said about one run, by where the objects go.
#[derive(Clone, Copy)]
pub(super) struct Report<'a> {
    /// The directory, if they go to one.
    pub(super) directory: Option<&'a Path>,
    /// They go to the API server.
    pub(super) apply: bool,
}

impl Report<'_> {
    /// What the command would do.
    pub(super) fn would(self, objects: u64) -> String {
        format!("Would {} {}", self.verb("write", "create", "print"), self.objects(objects))
    }

    /// What the command has done.
    pub(super) fn done(self, objects: u64) -> String {
        format!("{} {}", self.verb("Wrote", "Created", "Printed"), self.objects(objects))
    }

    fn verb<'v>(self, write: &'v str, create: &'v str, print: &'v str) -> &'v str {
        match self.directory {
            Some(_) => write,
            None if self.apply => create,
            None => print,
        }
    }

    fn objects(self, number: u64) -> String {
        let objects = quantity(number, if self.apply { "object" } else { "manifest" });
        let place = self.directory.map(|path| format!(" in {}", path.display())).unwrap_or_default();
        format!("{objects}{place}.")
    }

    /// Who got no object, and why.
    pub(super) fn left_out(self, left_out: &LeftOut) -> Vec<String> {
        if left_out.total() == 0 {
            return Vec::new();
        }
        let directory = self.directory.map(|path| path.display().to_string()).unwrap_or_default();
        let head = format!("Left out {}:", quantity(left_out.total(), "organization"));
        let lines = left_out.lines(&directory).into_iter().map(|line| format!("  {line}"));
        std::iter::once(head).chain(lines).collect()
    }

    /// What to know about the objects, and what to do next. `shared`: the column of the names, if no index makes it unique.
    pub(super) fn advice(self, policy: DeletionPolicy, shared: Option<&str>) -> Vec<String> {
        let removing = match policy {
            DeletionPolicy::Retain => "keeps its organization",
            DeletionPolicy::Deactivate => "deactivates its organization",
            DeletionPolicy::Delete => "ERASES its organization",
        };
        let mut advice = vec![format!("Their deletionPolicy is {}: removing one of them {removing}.", policy.as_str())];
        advice.extend(shared.map(|column| {
            format!("No index makes the column `{column}` unique, so each name has a suffix from the key.")
        }));
        advice.extend(self.directory.map(|path| {
            format!("Read the files, commit them, and apply them: kubectl apply --server-side -k {}", path.display())
        }));
        advice
    }

    /// Prints lines for a person, beside the manifests if they are printed.
    pub(super) fn say(self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            if self.directory.is_none() && !self.apply { eprintln!("{line}") } else { println!("{line}") }
        }
    }
}

/// Files that stand where manifests would be written.
pub(super) fn in_the_way(files: &[String]) -> CommandError {
    let more = if files.len() > SHOWN { ", .." } else { "" };
    let shown: Vec<&str> = files.iter().take(SHOWN).map(String::as_str).collect();
    CommandError(format!(
        "these files are in the way: {}{more}. They are not the manifests of the organizations that would get these names, so nothing was written: name another directory, or use --name-prefix",
        shown.join(", ")
    ))
}
