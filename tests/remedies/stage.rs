//! A database with a small platform, a role for the operator, and what a person does there: `check`, and pasting SQL.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use organization_operator::cascade::erase::Erasure;
use organization_operator::cascade::verify::Verification;
use organization_operator::db::{Database, Settings, UrlSource};
use organization_operator::domain::Failure;
use organization_operator::store::Actor;
use planner::plan::Plan;
use sqlx::{AssertSqlSafe, Row as _};
use testbed::{Progress, Tool};
use tokio::io::AsyncWriteExt as _;

use crate::support::{PASSWORD, World, binary, subject};

/// The organization that is deleted. Its key must be quoted in SQL.
pub const KEY: &str = "o'1";

/// A platform about which a check has nothing to say.
const PLATFORM: &str = "
CREATE TABLE organizations (id text PRIMARY KEY, is_active boolean NOT NULL DEFAULT true);
CREATE TABLE users (id bigint PRIMARY KEY, organization_id text NOT NULL REFERENCES organizations, email text);
CREATE INDEX ON users (organization_id);
CREATE TABLE flows (id bigint PRIMARY KEY, organization_id text NOT NULL REFERENCES organizations, author bigint REFERENCES users);
CREATE INDEX ON flows (organization_id); CREATE INDEX ON flows (author);
CREATE TABLE runs (id bigint PRIMARY KEY, flow_id bigint NOT NULL REFERENCES flows);
CREATE INDEX ON runs (flow_id);
INSERT INTO organizations VALUES ('o''1'), ('o2');
INSERT INTO users VALUES (1, 'o''1', 'a'), (2, 'o''1', 'b'), (3, 'o2', 'c');
INSERT INTO flows VALUES (1, 'o''1', 1), (2, 'o''1', NULL), (3, 'o2', 3);
INSERT INTO runs VALUES (1, 1), (2, 2), (3, 3);";

/// Its plan; `STEPS` and `REST` are a situation's to fill.
const PLAN: &str = "organization: {table: organizations, key: id, active: {column: is_active, inactive: false}}
tenantColumns: [organization_id]
steps:
- {entity: users, table: users, organization: organization_id}
- {entity: flows, table: flows, organization: organization_id}
- {entity: runs, table: runs, parent: flows, column: flow_id}
";

/// The plan of the platform, with more steps and with more fields.
pub fn plan(steps: &[&str], rest: &str) -> String {
    let steps: Vec<String> = steps.iter().map(|step| format!("- {step}\n")).collect();
    format!("{PLAN}{}{rest}\n", steps.concat())
}

/// A finding as the command prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub blocks: bool,
    pub kind: String,
    /// The rest of the first line: the table and its columns.
    pub place: String,
    pub message: String,
    /// The lines of the remedy, as they stand there, indented.
    pub remedy: String,
}

/// A database of its own, with a role for the operator.
pub struct Stage {
    world: Arc<World>,
    name: String,
    role: String,
    database: Database,
}

impl Stage {
    /// The platform, changed by `sql` (`:role` is the operator's role, quoted).
    pub async fn new(world: &Arc<World>, sql: &str) -> Self {
        let number = world.number();
        let name = format!("remedies_{}_{number}", std::process::id());
        // Such a name must be quoted.
        let role = format!("Remedies-{}-{number}", std::process::id());
        let postgres = world.postgres();
        postgres.create_database(&name).await.expect("a database");
        let grants = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE {name} TO {role};
             ALTER DEFAULT PRIVILEGES GRANT SELECT, UPDATE, DELETE ON TABLES TO {role};",
            role = quoted(&role)
        );
        postgres.run_sql(&name, &grants).await.expect("a role");
        postgres.run_sql(&name, PLATFORM).await.expect("the platform");
        let settings = Settings {
            max_connections: 3,
            connect_timeout: Duration::from_secs(20),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(30),
        };
        let url = UrlSource::Text(postgres.url(&role, PASSWORD, &name));
        let database = Database::new(url, settings).expect("a URL");
        database.migrate(true).await.expect("the operator's own schema");
        let stage = Self { world: world.clone(), name, role, database };
        stage.execute(sql).await;
        stage
    }

    /// Removes the database and the role.
    pub async fn close(self) {
        self.database.close().await;
        self.world.postgres().drop_database(&self.name).await.expect("dropped");
        let drop = format!("DROP ROLE {}", quoted(&self.role));
        self.world.postgres().run_sql("postgres", &drop).await.expect("dropped");
    }

    /// The operator's role, quoted.
    pub fn role(&self) -> String {
        quoted(&self.role)
    }

    /// Runs SQL with all rights; `:role` is the operator's role.
    pub async fn execute(&self, sql: &str) {
        let sql = sql.replace(":role", &self.role());
        self.world.postgres().run_sql(&self.name, &sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }

    /// A session with all rights.
    pub async fn connect(&self) -> sqlx::PgConnection {
        self.world.postgres().connect(&self.name).await.expect("a connection")
    }

    /// A single number.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.connect().await).await;
        row.unwrap_or_else(|e| panic!("{sql}: {e}")).get(0)
    }

    /// What `organization-operator check` prints as the operator's role, for the organization or for all.
    pub async fn check(&self, plan: &str, organization: bool) -> Vec<Printed> {
        let file = self.world.directory.path().join(format!("{}.yaml", self.name));
        let config = format!("cascade:\n  {}", plan.replace('\n', "\n  "));
        std::fs::write(&file, config).expect("a file");
        let arguments: &[&str] = if organization { &["--id", KEY] } else { &[] };
        let output = tokio::process::Command::new(binary())
            .args(["check", "--config", &file.to_string_lossy()])
            .args(arguments)
            .env("DATABASE_URL", self.world.postgres().url(&self.role, PASSWORD, &self.name))
            .kill_on_drop(true)
            .output()
            .await
            .expect("the command runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (text, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.code().is_some_and(|code| code < 2), "{plan}\n{text}{errors}");
        parsed(&text)
    }

    /// Pastes what was printed into `psql`, with all rights. Returns what it answers: a line for each row, and the tags of
    /// the other statements.
    pub async fn paste(&self, text: &str) -> Vec<String> {
        let mut psql = tokio::process::Command::new("psql")
            .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", &self.world.postgres().admin_url(&self.name)])
            .envs(Tool::Psql.environment(&Progress::default()).await.expect("psql"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("psql runs");
        let mut input = psql.stdin.take().expect("an input");
        input.write_all(text.as_bytes()).await.expect("written");
        input.write_all(b"\n").await.expect("written");
        drop(input);
        let output = psql.wait_with_output().await.expect("psql ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "psql does not take the remedy:\n{text}\n{said}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Deletes the organization by this plan.
    pub async fn erase(&self, plan: &str) -> Result<(), Failure> {
        let parsed: Plan = serde_yaml::from_str(plan).expect("a plan");
        parsed.validate().unwrap_or_else(|e| panic!("{e:?}: {plan}"));
        let compiled = self.database.compile(&parsed).await?;
        let subject = subject("acme", KEY);
        let actor = Actor { cluster: "remedies", subject: &subject, key: KEY };
        match self.database.erase(actor, &compiled, std::future::ready(Ok(true))).await? {
            Erasure::Completed(_) => Ok(()),
            Erasure::Unverified { .. } => {
                let verified = self.database.verify("remedies", &subject, KEY, &compiled).await?;
                assert!(matches!(verified, Verification::Completed(_)), "{verified:?}");
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The findings of a printed check.
fn parsed(text: &str) -> Vec<Printed> {
    let mut found: Vec<Printed> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), found.last_mut()) {
            (Some(severity @ ("BLOCKS" | "WARNING")), _) if line.starts_with(severity) => found.push(Printed {
                blocks: severity == "BLOCKS",
                kind: words.next().unwrap_or_default().to_owned(),
                place: words.collect::<Vec<_>>().join(" "),
                message: String::new(),
                remedy: String::new(),
            }),
            (Some(_), Some(last)) if line.starts_with("      ") => {
                last.remedy.push_str(line);
                last.remedy.push('\n');
            }
            (Some(_), Some(last)) if line.starts_with("  ") => last.message.push_str(line.trim()),
            _ => {}
        }
    }
    found
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
