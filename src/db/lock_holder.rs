//! Who holds the lock that a transaction waits for. The server forgets it when the wait ends, so a second connection asks
//! while it lasts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::connect::Database;
use super::statement::own;
use crate::api::Reason;
use crate::domain::Failure;

/// Every role may read pid, role and application name of all sessions, and nothing of what they run.
const HOLDERS: &str = "SELECT DISTINCT b.pid, a.application_name, a.usename::text AS role
FROM unnest(pg_blocking_pids($1)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
ORDER BY b.pid LIMIT 5";

/// How often the server is asked within each wait that is long enough to fail.
const QUERIES: u32 = 4;
/// Shortest time between two queries.
const SHORTEST: Duration = Duration::from_millis(50);

/// A session that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LockHolder {
    pid: i32,
    application: String,
    role: String,
}

impl Database {
    /// Runs the work of one transaction. If it fails because it did not get a lock, the failure names who held the lock.
    /// `pid` is the transaction's own server process. Work that ends sooner costs nothing.
    pub(crate) async fn naming_blockers<T>(
        &self,
        pid: i32,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let seen = Mutex::new(Vec::new());
        let asking = async {
            // The connection beside the pool, so that those of the pool stay free for work; given back after each query, since
            // other tasks wait for locks, too. All of it is a courtesy: without an answer, no session is named.
            loop {
                tokio::time::sleep((self.settings().lock_timeout / QUERIES).max(SHORTEST)).await;
                let Ok(mut connection) = self.extra_connection().await else { continue };
                if let Ok(holders) = holders(&mut connection, pid).await
                    && !holders.is_empty()
                {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = holders;
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            never = asking => never,
        };
        done.map_err(|failure| named(failure, &seen.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Asks in a transaction, so that a pooler does not switch the session half way.
async fn holders(connection: &mut PgConnection, pid: i32) -> Result<Vec<LockHolder>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    let rows = own(HOLDERS).bind(pid).fetch_all(&mut *tx).await?;
    tx.rollback().await?;
    rows.iter()
        .map(|row| {
            Ok(LockHolder {
                pid: row.try_get("pid")?,
                application: plain(row.try_get::<Option<String>, _>("application_name")?),
                role: plain(row.try_get::<Option<String>, _>("role")?),
            })
        })
        .collect()
}

/// A name that anybody may have chosen, made safe to show: short, and only printable characters.
fn plain(name: Option<String>) -> String {
    name.unwrap_or_default().chars().filter(|c| !c.is_control() && !matches!(c, '"' | '`' | '\\')).take(63).collect()
}

fn named(failure: Failure, holders: &[LockHolder]) -> Failure {
    let Some(first) = holders.first() else { return failure };
    if failure.reason != Reason::LockTimeout {
        return failure;
    }
    let list: Vec<String> = holders.iter().map(LockHolder::described).collect();
    let mut failure = failure.detail(&format!("it was held by {}", list.join(", ")));
    failure.remedy = Some(if first.pid == 0 {
        "SELECT gid, prepared, owner, database FROM pg_prepared_xacts; -- then COMMIT PREPARED or ROLLBACK PREPARED the one that holds the lock".to_owned()
    } else {
        format!(
            "SELECT pid, application_name, state, xact_start, query FROM pg_stat_activity WHERE pid = {0}; -- then let it finish, or end it: SELECT pg_terminate_backend({0});",
            first.pid
        )
    });
    failure
}

impl LockHolder {
    fn described(&self) -> String {
        if self.pid == 0 {
            return "a prepared transaction".to_owned();
        }
        let application = match self.application.as_str() {
            "" => "without an application_name".to_owned(),
            name => format!("application \"{name}\""),
        };
        format!("the session {} of the role {} ({application})", self.pid, self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anybody_may_choose_is_bounded_and_harmless() {
        let name = plain(Some(format!("a\u{1b}[31m\n\"b`{}", "c".repeat(200))));
        assert!(name.starts_with("a[31mbc") && name.chars().count() == 63, "{name}");
    }

    #[test]
    fn only_a_missing_lock_is_explained_by_its_holder() {
        let holder = LockHolder { pid: 7, application: "flows-api".into(), role: "platform".into() };
        let named_of = |reason| named(Failure::new(reason, "m"), std::slice::from_ref(&holder)).message();
        assert_eq!(
            named_of(Reason::LockTimeout),
            "m; it was held by the session 7 of the role platform (application \"flows-api\")"
        );
        assert_eq!(named_of(Reason::StatementTimeout), "m");
    }
}
