//! `organization-operator import`.

mod choice;
mod destination;
mod directory;
mod existing;
mod manifest;
mod name;
mod progress;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::config::{ConfigArgs, Loaded};
use super::error::CommandError;
use super::kubeconfig::ClusterArgs;
use crate::api::DeletionPolicy;
use crate::db::Database;
use choice::{Chooser, LeftOut, Wanted};
use destination::{Destination, Written};
use directory::Directory;
use existing::Existing;
use name::{Naming, can_begin};
use planner::CompiledPlan;
use progress::Progress;
use report::{Report, SHOWN, in_the_way};

/// So many organizations are written at a time, so that the bar moves.
const AT_A_TIME: usize = 50;

/// Write an Organization object for each organization of the database that has none.
///
/// The objects go to standard output, to a directory for Git (--output), or to the API server (--apply). Run the command again
/// whenever there are new organizations: whoever has an object in the cluster, or a manifest in the directory, is left out, in
/// whatever spelling it writes the id. The command never changes an object or a file that is there.
///
/// An object has the text of --name-column as its name, or else the organization's key. A text that is no name is made into one,
/// with a suffix from the key, as in `acme-corp-8b8bdf67s7` for `Acme Corp.`. A column without a unique index gives every name
/// a suffix. So the name of an organization depends on its own row only, and stays the same whatever other rows there are.
///
/// The policy is Retain, so the objects change nothing, and removing them erases nobody. The command reads the organizations'
/// table in read-only transactions of 1,000 rows. What the column contains is in the manifests, and nowhere else.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "Exit codes:
  0  every organization has an object now, or would have one with --dry-run; or it was left out as you asked
  1  a person has to decide about some organizations: the last lines say why they were left out
  2  the command could not do its work; run again, it goes on where it stopped

The command needs the right to list organizations (organization-viewer), and with --apply to create them
(organization-editor; for the policy Delete also organization-eraser).

Examples:
  organization-operator import --config config.yaml --name-column slug --dry-run
  organization-operator import --config config.yaml --name-column slug --output tenants
  organization-operator import --config config.yaml --apply --context production
  organization-operator import --config config.yaml --active-only | less")]
pub struct Import {
    /// Column of the organizations' table from which the objects get their names; without it, the key is the name
    #[arg(long, value_name = "COLUMN")]
    name_column: Option<String>,
    /// Put this before each name: lower-case letters, digits and hyphens
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name_prefix: String,
    /// deletionPolicy of the objects; with Delete, whoever removes an object erases its organization
    #[arg(long, value_name = "POLICY", default_value = "Retain", value_parser = policy)]
    policy: DeletionPolicy,
    /// Leave out organizations that are deactivated
    #[arg(long)]
    active_only: bool,
    /// Write a file for each object to this directory, and list them in its kustomization.yaml
    #[arg(short, long, value_name = "DIR", conflicts_with = "apply")]
    output: Option<PathBuf>,
    /// Create the objects in the cluster
    #[arg(long)]
    apply: bool,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
    /// Do not ask the cluster who has an object already
    #[arg(long, conflicts_with = "apply")]
    without_cluster: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn policy(word: &str) -> Result<DeletionPolicy, String> {
    word.parse().map_err(|_| "it is Retain, Deactivate or Delete".to_owned())
}

/// What was read before the first organization.
struct Prepared {
    plan: Arc<CompiledPlan>,
    column: String,
    wanted: Wanted,
    existing: Existing,
    destination: Destination,
}

impl Import {
    /// Runs the command. The exit code says whether a person has to decide about some organizations.
    ///
    /// # Errors
    /// Fails if the organizations or the objects cannot be read, or if an object cannot be written.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        if !can_begin(&self.name_prefix) {
            return Err(CommandError(format!(
                "no name of an object can begin with `{}`: --name-prefix takes up to 31 lower-case letters, digits and hyphens, and no hyphen first",
                self.name_prefix
            )));
        }
        let loaded = self.config.load()?;
        let imported = self.import(&loaded).await;
        loaded.database.close().await;
        imported
    }

    async fn import(&self, loaded: &Loaded) -> Result<ExitCode, CommandError> {
        let mut prepared = self.prepare(loaded).await?;
        let database = &*loaded.database;
        let report = self.report();
        let (new, left_out) = self.choose(database, &prepared).await?;
        if self.dry_run {
            report.say([report.would(new)].into_iter().chain(report.left_out(&left_out)));
            return Ok(exit_code(&left_out));
        }
        let (written, left_out) = self.write(database, &mut prepared, new).await?;
        report.say([report.done(written)].into_iter().chain(report.left_out(&left_out)));
        if written > 0 {
            let shared = (!prepared.wanted.naming.unique).then_some(prepared.column.as_str());
            report.say(report.advice(self.policy, shared));
        }
        Ok(exit_code(&left_out))
    }

    fn report(&self) -> Report<'_> {
        Report { directory: self.output.as_deref(), apply: self.apply }
    }

    async fn prepare(&self, loaded: &Loaded) -> Result<Prepared, CommandError> {
        let Loaded { name: serving, config, database } = loaded;
        let plan = Arc::new(database.compile(&config.cascade.plan).await?);
        if self.active_only && plan.root.activation.is_none() {
            return Err(CommandError(
                "the plan does not say how an organization is deactivated (cascade.organization.active), so --active-only cannot be used".to_owned(),
            ));
        }
        let (column, unique) = self.column(database, &plan).await?;
        let wanted = Wanted {
            naming: Naming { prefix: self.name_prefix.clone(), unique },
            policy: self.policy,
            database: serving.clone(),
            active_only: self.active_only,
        };
        let directory = self.output.as_deref().map(Directory::read).transpose()?;
        let cluster = if self.without_cluster {
            None
        } else {
            let or_else = if self.apply { "set KUBECONFIG" } else { "set KUBECONFIG, or use --without-cluster" };
            Some(self.cluster.cluster(or_else).await?)
        };
        let mut existing = Existing::default();
        if let Some(directory) = &directory {
            existing.note_directory(directory, database, &plan, serving).await?;
        }
        if let Some(cluster) = &cluster {
            existing.note_cluster(cluster, database, &plan, serving).await?;
        }
        let destination = match (directory, cluster) {
            (Some(directory), _) => Destination::Directory(directory),
            (None, Some(cluster)) if self.apply => Destination::Cluster(Box::new(cluster)),
            (None, _) => Destination::Output,
        };
        Ok(Prepared { plan, column, wanted, existing, destination })
    }

    /// The column of the names, and whether no two rows have the same text in it.
    async fn column(&self, database: &Database, plan: &CompiledPlan) -> Result<(String, bool), CommandError> {
        let root = &plan.root;
        let Some(wanted) = &self.name_column else { return Ok((root.key.name().to_owned(), true)) };
        let columns = database.organization_columns(plan).await?;
        if let Some(column) = columns.iter().find(|column| column.name == *wanted) {
            return Ok((column.name.clone(), column.unique));
        }
        let columns: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Err(CommandError(format!(
            "the table `{}` has no column `{wanted}`; its columns are {}",
            root.table.name(),
            columns.join(", ")
        )))
    }

    /// Goes over all organizations and writes nothing. Returns how many would get an object.
    async fn choose(&self, database: &Database, prepared: &Prepared) -> Result<(u64, LeftOut), CommandError> {
        let mut organizations = database.organizations(prepared.plan.clone(), &prepared.column);
        let mut chooser = Chooser::new(&prepared.wanted, &prepared.existing);
        let progress = Progress::reading();
        let mut new = 0;
        let mut foreign = Vec::new();
        loop {
            let page = organizations.next().await?;
            if page.is_empty() {
                break;
            }
            progress.advance(page.len() as u64);
            for manifest in page.iter().filter_map(|listed| chooser.choose(listed)) {
                new += 1;
                if let Destination::Directory(directory) = &prepared.destination
                    && directory.has_file(&manifest.name)
                    && foreign.len() <= SHOWN
                {
                    foreign.push(directory.file(&manifest.name));
                }
            }
        }
        progress.close();
        if foreign.is_empty() { Ok((new, chooser.left_out)) } else { Err(in_the_way(&foreign)) }
    }

    /// Goes over all organizations again and writes their objects. Returns how many it wrote.
    async fn write(
        &self,
        database: &Database,
        prepared: &mut Prepared,
        expected: u64,
    ) -> Result<(u64, LeftOut), CommandError> {
        let Prepared { plan, column, wanted, existing, destination } = prepared;
        let mut organizations = database.organizations(plan.clone(), column);
        let mut chooser = Chooser::new(wanted, existing);
        let progress = Progress::writing(expected);
        let mut written = Written::default();
        let done: Result<(), CommandError> = 'all: loop {
            let page = match organizations.next().await {
                Ok(page) if page.is_empty() => break Ok(()),
                Ok(page) => page,
                Err(failure) => break Err(failure.into()),
            };
            for listed in page.chunks(AT_A_TIME) {
                let manifests: Vec<_> = listed.iter().filter_map(|listed| chooser.choose(listed)).collect();
                let before = written.objects;
                if let Err(error) = destination.write(manifests, &mut written).await {
                    break 'all Err(error);
                }
                progress.advance(written.objects - before);
            }
        };
        progress.close();
        let closed = destination.close();
        if let Err(CommandError(words)) = done.and(closed) {
            let done = self.report().done(written.objects);
            return Err(CommandError(format!("{words}\n{done} Run the command again to go on.")));
        }
        let mut left_out = chooser.left_out;
        written.taken.into_iter().for_each(|name| left_out.name_taken(name));
        Ok((written.objects, left_out))
    }
}

fn exit_code(left_out: &LeftOut) -> ExitCode {
    ExitCode::from(u8::from(left_out.needs_a_person()))
}
