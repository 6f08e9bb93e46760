//! `organization-operator watch`.

mod display;
mod view;

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;

use super::error::CommandError;
use super::kubeconfig::ClusterArgs;
use crate::api::Organization;
use crate::api::status::Outcome;
use crate::cluster::Cluster;
use crate::cluster::follow::Followed;
use display::Display;
use view::View;

/// Something that moves by itself is shown again after this time.
const TICK: Duration = Duration::from_secs(1);

/// Follow the deletion of one organization until its object is gone.
///
/// On a terminal the command shows a progress bar with the rows that are gone, the rate and the remaining time. Otherwise it
/// prints a line when something changes. It says what the deletion waits for: a successor, the end of a recovery window, a
/// standby, the hours of the configuration. It changes nothing, and needs no database.
///
/// If the object is not being deleted, the command waits until somebody deletes it. If the deletion is blocked for a reason
/// that clears by itself, the command says so and waits. If a person has to act, it ends, unless --keep-watching is given.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes:
  0  the deletion is completed: the last line says how it ended (Erased, Deactivated, Retained, NotFound, Transferred)
  1  a person has to act: the last lines say why, and what clears it; or the erasure was interrupted
  2  the object cannot be watched, or nothing says how its deletion ended, or --timeout has passed

The command needs the rights to get, list and watch organizations, and to list Events in the namespace default: if the
deletion ended before the command began, only its Event says how.

Examples:
  organization-operator watch acme
  kubectl delete organization acme --wait=false && organization-operator watch acme
  organization-operator watch acme --keep-watching --timeout 86400")]
pub struct Watch {
    /// Name of an Organization object
    #[arg(value_name = "NAME")]
    name: String,
    /// Keep watching until the object is gone, even if a person has to act
    #[arg(long)]
    keep_watching: bool,
    /// Stop after this many seconds, with exit code 2; 0 means no limit
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// How the command ends.
enum End {
    Completed(Outcome),
    Blocked,
}

impl Watch {
    /// Runs the command. The exit code says how the deletion ended.
    ///
    /// # Errors
    /// Fails if the object cannot be watched, if nothing says how its deletion ended, or if the time is over.
    pub async fn execute(self) -> Result<ExitCode, CommandError> {
        let cluster = self.cluster.cluster("set KUBECONFIG").await?;
        let mut display = Display::new(&self.name);
        let followed = self.follow(&cluster, &mut display);
        let end = if self.timeout == 0 {
            followed.await
        } else {
            let limit = Duration::from_secs(self.timeout);
            tokio::time::timeout(limit, followed).await.unwrap_or_else(|_| {
                Err(CommandError(format!("the deletion of {} was not completed within {} s", self.name, self.timeout)))
            })
        };
        display.close();
        Ok(match end? {
            End::Completed(Outcome::Interrupted) | End::Blocked => ExitCode::FAILURE,
            End::Completed(_) => ExitCode::SUCCESS,
        })
    }

    async fn follow(&self, cluster: &Cluster, display: &mut Display) -> Result<End, CommandError> {
        let mut events = pin!(cluster.follow(&self.name));
        let mut tick = tokio::time::interval(TICK);
        // The object that is followed: another one may take its name.
        let mut followed: Option<Box<Organization>> = None;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                _ = tick.tick() => {
                    if let Some(object) = &followed {
                        display.show(&View::of(object, Timestamp::now()), Timestamp::now());
                    }
                    continue;
                }
            };
            let Some(event) = event else {
                return Err(CommandError("the API server ended the watch".to_owned()));
            };
            let now = Timestamp::now();
            match event? {
                Followed::There(object) => {
                    if let Some(before) = followed.take_if(|before| before.metadata.uid != object.metadata.uid) {
                        return self.gone(cluster, display, Some(&before)).await;
                    }
                    let view = View::of(&object, now);
                    display.show(&view, now);
                    followed = Some(object);
                    if view.needs_a_person() && !self.keep_watching {
                        return Ok(End::Blocked);
                    }
                }
                Followed::Gone(last) => {
                    let last = last.or(followed);
                    return self.gone(cluster, display, last.as_deref()).await;
                }
                Followed::Unreachable(words) => display.note(&format!("{words}; trying again"), now),
            }
        }
    }

    /// The object is gone: its last status says how its deletion ended, or its Event.
    async fn gone(
        &self,
        cluster: &Cluster,
        display: &mut Display,
        last: Option<&Organization>,
    ) -> Result<End, CommandError> {
        let name = &self.name;
        let shown = last.and_then(view::ending);
        let uid = last.and_then(|object| object.metadata.uid.as_deref());
        let ending = match shown {
            Some(ending) => Some(ending),
            // The Event explains more than the refusal to show it.
            None => cluster.ending(name, uid).await.unwrap_or_default(),
        };
        let Some(ending) = ending else {
            return Err(CommandError(match last {
                None => format!(
                    "there is no Organization `{name}` in this cluster; list them with: kubectl get organizations"
                ),
                Some(_) => format!(
                    "the object {name} is gone, and nothing says how its deletion ended: if somebody removed its finalizer, its data may still be there; to find out, query the ledger: SELECT * FROM organization_operator.ledger WHERE object_name = '{name}'"
                ),
            }));
        };
        display.last(&format!("{}: {}", ending.outcome.as_str(), ending.note), Timestamp::now());
        Ok(End::Completed(ending.outcome))
    }
}
