//! Types commands: shows each as it is typed, runs it, shows its answer.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor as _};

use crate::stage::{DATABASE, ROLE, Stage};
use crate::{Outcome, Stopped, table};

/// How long anything that should happen may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lines of a long answer that are shown.
const BRIEF: usize = 3;

impl Stage<'_> {
    /// Runs kubectl in the project's directory and shows everything.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.typed_kubectl("$", &self.project, arguments, false).await
    }

    /// Runs kubectl and shows the beginning of a long answer.
    pub(crate) async fn kubectl_briefly(&self, arguments: &[&str]) -> Outcome<String> {
        self.typed_kubectl("$", &self.project, arguments, true).await
    }

    /// Runs kubectl in the copy of the manifests, which stands for a Git repository.
    pub(crate) async fn kubectl_in_tenants(&self, arguments: &[&str]) -> Outcome<String> {
        self.typed_kubectl("tenants$", &self.tenants, arguments, false).await
    }

    async fn typed_kubectl(&self, prompt: &str, place: &Path, arguments: &[&str], brief: bool) -> Outcome<String> {
        let command = typed("kubectl", arguments);
        self.terminal.typed(prompt, &command);
        let output = self.terminal.progress().during("waiting for kubectl", self.run_kubectl(place, arguments)).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        if brief && lines.len() > BRIEF + 1 {
            let shown = lines[..BRIEF].join("\n");
            self.terminal.answered(&format!("{shown}\n(… and {} more lines)", lines.len() - BRIEF)).await;
        } else {
            self.terminal.answered(&text).await;
        }
        if output.status.success() {
            Ok(text)
        } else {
            Err(Stopped::because(format!("`{command}` failed ({})", output.status)))
        }
    }

    /// Asks kubectl without showing it, for a check.
    pub(crate) async fn read(&self, arguments: &[&str]) -> Outcome<String> {
        let output = self.run_kubectl(&self.project, arguments).await?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs kubectl until its answer is as expected, without showing it.
    pub(crate) async fn until(&self, what: &str, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> Outcome<String> {
        let waiting = async {
            let end = Instant::now() + PATIENCE;
            loop {
                let found = self.read(arguments).await?;
                if wanted(&found) {
                    return Ok(found);
                }
                if Instant::now() > end {
                    return Err(Stopped::because(format!(
                        "waited {} s in vain: {what}\nlast answer of `{}`: {found}",
                        PATIENCE.as_secs(),
                        typed("kubectl", arguments)
                    )));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        self.terminal.progress().during(what, waiting).await
    }

    /// Types any other command that the demo carries out itself.
    pub(crate) fn types(&self, prompt: &str, command: &str) {
        self.terminal.typed(prompt, command);
    }

    /// Runs an SQL file of the project, as `\i FILE` in psql.
    pub(crate) async fn sql_file(&self, file: &str) -> Outcome<Vec<PgRow>> {
        self.terminal.typed("platform=#", &format!("\\i {file}"));
        let sql = std::fs::read_to_string(self.project.join(file))?;
        self.run_sql(&sql).await
    }

    /// The same for a file whose rows say nothing.
    pub(crate) async fn quietly_sql_file(&self, file: &str) -> Outcome {
        self.terminal.typed("platform=#", &format!("\\i {file}"));
        self.look_at_sql_file(file).await.map(drop)
    }

    /// Runs an SQL file without showing it, for a check.
    pub(crate) async fn look_at_sql_file(&self, file: &str) -> Outcome<Vec<PgRow>> {
        let sql = std::fs::read_to_string(self.project.join(file))?;
        self.ask(&sql).await
    }

    /// Runs SQL and shows its rows.
    pub(crate) async fn sql(&self, sql: &str) -> Outcome<Vec<PgRow>> {
        self.terminal.typed("platform=#", sql);
        self.run_sql(sql).await
    }

    async fn run_sql(&self, sql: &str) -> Outcome<Vec<PgRow>> {
        let rows = self.ask(sql).await?;
        if !rows.is_empty() {
            self.terminal.answered(&table::render(&rows)).await;
        }
        Ok(rows)
    }

    /// Runs one statement that changes rows.
    pub(crate) async fn sql_change(&self, sql: &str) -> Outcome {
        self.terminal.typed("platform=#", sql);
        let mut connection = self.postgres.connect(DATABASE).await?;
        let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        let done = done.map_err(|error| Stopped::because(format!("the database refused: {error}")))?;
        let verb = sql.split_whitespace().next().unwrap_or_default();
        self.terminal.answered(&format!("{verb} {}", done.rows_affected())).await;
        Ok(())
    }

    async fn ask(&self, sql: &str) -> Outcome<Vec<PgRow>> {
        let mut connection = self.postgres.connect(DATABASE).await?;
        // Trusted: the project's own text.
        let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        rows.map_err(|error| Stopped::because(format!("the database refused: {error}")))
    }

    /// Gives the operator's role a random password.
    pub(crate) async fn set_password(&self) -> Outcome<String> {
        let password: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        self.ask(&format!("ALTER ROLE {ROLE} PASSWORD '{password}'")).await?;
        Ok(password)
    }

    /// Ends the demo unless this holds.
    pub(crate) fn check(&self, holds: bool, what: &str) -> Outcome {
        if !holds {
            return Err(Stopped::because(format!("this step did not go as announced. Expected: {what}")));
        }
        self.terminal.checked(what);
        Ok(())
    }
}

/// A command line that a shell would take.
fn typed(program: &str, arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c));
        let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        match argument.split_once('=') {
            _ if plain(argument) && !argument.is_empty() => (*argument).to_owned(),
            // As people write it: jsonpath='{.status}'.
            Some((option, value)) if plain(option) => format!("{option}={}", quote(value)),
            _ => quote(argument),
        }
    });
    std::iter::once(program.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        assert_eq!(typed("kubectl", &["get", "org/acme"]), "kubectl get org/acme");
        assert_eq!(typed("kubectl", &["-p", r#"{"a":"b"}"#]), r#"kubectl -p '{"a":"b"}'"#);
        assert_eq!(typed("kubectl", &["-o", "jsonpath={.a}"]), "kubectl -o jsonpath='{.a}'");
        assert_eq!(typed("echo", &["it's"]), r"echo 'it'\''s'");
    }
}
