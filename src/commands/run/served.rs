//! One of the databases that this process serves: its configuration, its pool, its plan, and its metrics.

use std::sync::Arc;

use tracing::Span;

use crate::commands::config::ConfigArgs;
use crate::commands::error::CommandError;
use crate::config::Config;
use crate::controller::PlanCache;
use crate::db::Database;
use crate::metrics::{Connections, DatabaseMetrics, Metrics};

/// One of the databases.
#[derive(Clone)]
pub(super) struct Served {
    /// The `spec.database` of its objects.
    pub(super) name: String,
    /// The configuration of this database alone.
    pub(super) config: Config,
    pub(super) database: Arc<Database>,
    pub(super) plan: Arc<PlanCache>,
    pub(super) metrics: Arc<DatabaseMetrics>,
    /// There are others, which go on whatever is wrong with this one.
    pub(super) has_others: bool,
}

impl Served {
    /// All of them. `prepared` gives each what they share.
    ///
    /// # Errors
    /// Fails if a URL cannot be used.
    pub(super) fn all(
        databases: Vec<(String, Config)>,
        arguments: &ConfigArgs,
        metrics: &Metrics,
        prepared: impl Fn(Database) -> Database,
    ) -> Result<Vec<Self>, CommandError> {
        let has_others = databases.len() > 1;
        if has_others && arguments.has_url() {
            return Err(CommandError(
                "a database URL is given (DATABASE_URL, --database-url), and the configuration has several databases: remove the URL, or name the database that it belongs to with --database NAME"
                    .to_owned(),
            ));
        }
        let served = databases.into_iter().zip(metrics.databases()).map(|((name, config), metrics)| {
            let connected = arguments.connect(&config);
            let named =
                connected.map_err(|e| if has_others { CommandError(format!("the database {name}: {e}")) } else { e });
            let database = Arc::new(prepared(named?));
            metrics.follow_connections(connections(&database, config.database.max_connections));
            let plan = Arc::new(PlanCache::new(config.cascade.plan.clone(), database.clone()));
            Ok(Self { name, config, database, plan, metrics: metrics.clone(), has_others })
        });
        served.collect()
    }

    /// Says in each log line which database it is about, if there are several.
    pub(super) fn span(&self) -> Span {
        if self.has_others { tracing::info_span!("serving", database = self.name) } else { Span::none() }
    }
}

/// Counts the connections to the database.
fn connections(database: &Arc<Database>, max: u32) -> impl Fn() -> Connections + Send + 'static {
    let database = database.clone();
    move || {
        let (in_use, idle) = database.connections();
        Connections { in_use, idle, max }
    }
}
