//! The story itself, one function a chapter.

use sqlx::postgres::PgRow;

use crate::stage::{DATABASE, ROLE, Stage};
use crate::table::cell;
use crate::{Outcome, Stopped};

const ACME: &str = "ac3e0000-0000-4000-8000-000000000001";
const NAMESPACE: &str = "organization-operator-system";
const RETAIN: &str = r#"{"spec":{"deletionPolicy":"Retain"}}"#;

/// Tells everything.
pub(crate) async fn tell(stage: &Stage<'_>) -> Outcome {
    let before = database(stage).await?;
    install(stage).await?;
    organizations(stage).await?;
    deactivate(stage).await?;
    blocked(stage, &before).await?;
    erased(stage, &before).await?;
    gitops(stage).await?;
    undo(stage).await?;
    ledger(stage, &before).await
}

async fn database(stage: &Stage<'_>) -> Outcome<Vec<Tenant>> {
    stage
        .terminal
        .chapter(
            "The platform's database",
            "Four tenants, and a database role for the operator that may do what its plan needs and nothing else.",
        )
        .await;
    stage.sql_file("examples/platform/schema.sql").await?;
    stage.sql_file("examples/platform/seed_tenant.sql").await?;
    stage.quietly_sql_file("examples/platform/seed.sql").await?;
    stage.sql_file("examples/platform/invoices.sql").await?;
    stage.sql_file("examples/platform/grants.sql").await?;
    let tenants = tenants(stage).await?;
    stage.check(tenants.len() == 4 && tenants.iter().all(|t| t.active), "four active tenants")?;
    Ok(tenants)
}

async fn install(stage: &Stage<'_>) -> Outcome {
    stage
        .terminal
        .chapter(
            "Install the operator",
            "CRD, permissions, admission policies and the Deployment. This control plane has no nodes, so the operator runs\n\
             beside it: with the token of its ServiceAccount, and as its own database role.",
        )
        .await;
    stage.kubectl_briefly(&["apply", "--server-side", "-k", "deploy/default"]).await?;
    let crd = "crd/organizations.organization-operator.io";
    stage.kubectl(&["wait", "--for=condition=Established", crd]).await?;
    stage.types("$", &format!("TOKEN=$(kubectl create token organization-operator -n {NAMESPACE})"));
    let token = stage.read(&["create", "token", "organization-operator", "-n", NAMESPACE]).await?;
    stage.types("platform=#", &format!("\\password {ROLE}"));
    let password = stage.set_password().await?;
    let url = stage.postgres.url(ROLE, "...", DATABASE);
    stage.types("$", &format!("export DATABASE_URL={url}"));
    stage.types("$", "organization-operator run --config examples/platform/config.yaml &");
    stage.start_operator(token.trim(), &password).await?;
    stage.check(true, "it says that it is ready: database, own schema, plan")
}

async fn organizations(stage: &Stage<'_>) -> Outcome {
    stage
        .terminal
        .chapter(
            "One object for each tenant",
            "The operator claims the tenants and reports on them. It never creates any.",
        )
        .await;
    stage.kubectl(&["apply", "-f", "examples/platform/manifests/"]).await?;
    stage.kubectl(&["wait", "--for=condition=Ready", "organizations", "--all", "--timeout=60s"]).await?;
    let list = stage.kubectl(&["get", "organizations"]).await?;
    stage.check(list.lines().filter(|l| l.contains("Reconciled")).count() == 4, "four organizations, all Ready")
}

async fn deactivate(stage: &Stage<'_>) -> Outcome {
    stage
        .terminal
        .chapter("Deactivate a tenant", "Reversible, and the recommended first step before a deletion.")
        .await;
    stage
        .kubectl(&["patch", "organization", "acme", "--type=merge", "-p", r#"{"spec":{"state":"Deactivated"}}"#])
        .await?;
    stage
        .kubectl(&["wait", "--for=jsonpath={.status.state}=Deactivated", "organization/acme", "--timeout=60s"])
        .await?;
    let rows = stage.sql("SELECT name, is_active FROM organizations WHERE name = 'Acme';").await?;
    stage.check(rows.iter().any(|r| cell(r, 1) == "f"), "the row of Acme says so too")
}

async fn blocked(stage: &Stage<'_>, before: &[Tenant]) -> Outcome {
    stage
        .terminal
        .chapter(
            "A deletion that is blocked",
            "Acme has three invoices. The plan keeps them, as the law asks. They refer to the organization, so it cannot go.",
        )
        .await;
    stage.kubectl(&["delete", "organization", "acme", "--wait=false"]).await?;
    stage.kubectl(&["wait", "--for=condition=DeletionBlocked", "organization/acme", "--timeout=60s"]).await?;
    stage.kubectl(&["get", "organization", "acme"]).await?;
    let error = stage.kubectl(&["get", "organization", "acme", "-o", "jsonpath-as-json={.status.error}"]).await?;
    stage.check(
        error.contains("ForeignKeyViolation") && error.contains("invoices"),
        "the error names the table, the constraint, the number of rows, and what clears it",
    )?;
    let now = tenants_quietly(stage).await?;
    let rows = |all: &[Tenant]| all.iter().find(|t| t.name == "Acme").map(|t| t.rows.clone());
    stage.check(rows(&now).is_some() && rows(&now) == rows(before), "nothing of Acme was deleted")
}

async fn erased(stage: &Stage<'_>, before: &[Tenant]) -> Outcome {
    stage
        .terminal
        .chapter(
            "The remedy, and a deletion that succeeds",
            "The statement comes from the status. The operator would try again by itself within a minute;\n\
             any change of the object makes it try at once.",
        )
        .await;
    let remedy = stage.kubectl(&["get", "organization", "acme", "-o", "jsonpath={.status.error.remedy}"]).await?;
    let statement = statement(&remedy)?;
    stage.sql_change(&statement).await?;
    let retry = "organization-operator.io/retry=now";
    stage.kubectl(&["annotate", "organization", "acme", retry]).await?;
    stage.kubectl(&["wait", "--for=delete", "organization/acme", "--timeout=60s"]).await?;
    stage
        .until("waiting for the Event", &["get", "events", "--field-selector=reason=Erased"], |t| t.contains("acme"))
        .await?;
    let columns = "custom-columns=REASON:.reason,NOTE:.message";
    stage.kubectl(&["get", "events", "--field-selector=involvedObject.name=acme,reason=Erased", "-o", columns]).await?;
    let steps = stage
        .sql(
            "SELECT entity, found, deleted FROM organization_operator.ledger,\n\
             \x20      jsonb_to_recordset(steps) AS s (entity text, found bigint, deleted bigint) WHERE object_name = 'acme';",
        )
        .await?;
    let deleted: Vec<String> = steps.iter().map(|r| cell(r, 2)).collect();
    let expected = before.iter().find(|t| t.name == "Acme").map(|t| t.rows.clone()).unwrap_or_default();
    stage.check(
        deleted[..] == expected[..],
        "every row of Acme was deleted, in the order of the plan, in one transaction",
    )?;
    let gone = tenants_quietly(stage).await?.iter().all(|t| t.name != "Acme");
    stage.check(gone, "Acme is gone from the database")?;
    let invoices = stage.sql("SELECT number, organization_id, customer_name, amount_cents FROM invoices;").await?;
    stage.check(invoices.len() == 3, "its invoices are kept")
}

async fn gitops(stage: &Stage<'_>) -> Outcome {
    stage
        .terminal
        .chapter(
            "Removed from Git",
            "A GitOps engine applies what is in a repository and prunes what is not. kubectl can do the same with a directory.",
        )
        .await;
    stage.types("$", "cp -r examples/platform/manifests tenants && cd tenants");
    for entry in std::fs::read_dir(stage.project.join("examples/platform/manifests"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), stage.tenants.join(entry.file_name()))?;
    }
    stage.types("tenants$", "rm acme.yaml globex.yaml");
    std::fs::remove_file(stage.tenants.join("acme.yaml"))?;
    std::fs::remove_file(stage.tenants.join("globex.yaml"))?;
    let list = "--prune-allowlist=organization-operator.io/v1alpha1/Organization";
    stage.kubectl_in_tenants(&["apply", "-f", ".", "--prune", "--all", list]).await?;
    stage.kubectl(&["wait", "--for=delete", "organization/globex", "--timeout=60s"]).await?;
    let rows = stage
        .sql("SELECT object_name, outcome, policy FROM organization_operator.ledger ORDER BY id DESC LIMIT 1;")
        .await?;
    let outcome = rows.first().map(|r| (cell(r, 0), cell(r, 1)));
    stage.check(outcome == Some(("globex".into(), "Erased".into())), "Globex is erased, because its policy says Delete")
}

async fn undo(stage: &Stage<'_>) -> Outcome {
    stage
        .terminal
        .chapter(
            "Undo",
            "Hooli has `recoveryWindowSeconds: 600`: deleted, it is deactivated at once and erased ten minutes later.\n\
             Until then one patch brings it back.",
        )
        .await;
    stage.kubectl(&["delete", "organization", "hooli", "--wait=false"]).await?;
    let reason = r#"jsonpath={.status.conditions[?(@.type=="Deleting")].reason}"#;
    stage
        .until("waiting for the recovery window", &["get", "organization", "hooli", "-o", reason], |t| {
            t == "RecoveryWindow"
        })
        .await?;
    let message = r#"jsonpath={.status.conditions[?(@.type=="Deleting")].message}{"\n"}"#;
    let columns = r#"custom-columns=NAME:.metadata.name,STAGE:.status.conditions[?(@.type=="Deleting")].reason,ERASE:.status.deletion.eraseTime"#;
    let stage_of = stage.kubectl(&["get", "organization", "hooli", "-o", columns]).await?;
    stage.check(
        stage_of.contains("RecoveryWindow") && stage_of.contains('Z'),
        "the stage, and the time of the erasure",
    )?;
    stage.kubectl(&["get", "organization", "hooli", "-o", message]).await?;
    let hooli = "SELECT name, is_active FROM organizations WHERE name = 'Hooli';";
    let rows = stage.sql(hooli).await?;
    stage.check(rows.iter().any(|r| cell(r, 1) == "f"), "Hooli is switched off, and all its data is there")?;
    stage.kubectl(&["patch", "organization", "hooli", "--type=merge", "-p", RETAIN]).await?;
    stage.kubectl(&["wait", "--for=delete", "organization/hooli", "--timeout=60s"]).await?;
    let rows = stage.sql(hooli).await?;
    stage.check(rows.iter().any(|r| cell(r, 1) == "t"), "the object is gone, Hooli is active again")
}

async fn ledger(stage: &Stage<'_>, before: &[Tenant]) -> Outcome {
    stage
        .terminal
        .chapter(
            "What is left",
            "The ledger holds one row for each deletion, written in the transaction that did it. No personal data.",
        )
        .await;
    stage.kubectl(&["get", "organizations"]).await?;
    let rows = stage
        .sql(
            "SELECT object_name, outcome, policy, policy_manager, organizations_deleted AS orgs,\n\
             \x20      (SELECT COALESCE(sum((s->>'deleted')::bigint), 0) FROM jsonb_array_elements(steps) s) AS rows,\n\
             \x20      to_char(finished_at, 'HH24:MI:SS') AS finished\n\
             FROM organization_operator.ledger ORDER BY id;",
        )
        .await?;
    let outcomes: Vec<(String, String)> = rows.iter().map(|r| (cell(r, 0), cell(r, 1))).collect();
    let expected = [("acme", "Erased"), ("globex", "Erased"), ("hooli", "Retained")];
    stage.check(
        outcomes.iter().map(|(n, o)| (n.as_str(), o.as_str())).eq(expected),
        "three deletions, each with one truthful row",
    )?;
    let left = tenants(stage).await?;
    let untouched = |name: &str| {
        let of = |all: &[Tenant]| all.iter().find(|t| t.name == name).cloned();
        of(&left).is_some() && of(&left) == of(before)
    };
    stage.check(
        left.len() == 2 && untouched("Hooli") && untouched("Initech"),
        "no row of Hooli and Initech was touched: their fingerprints are those of the beginning",
    )
}

/// A line of `examples/platform/tenants.sql`.
#[derive(Clone, Debug, PartialEq)]
struct Tenant {
    name: String,
    active: bool,
    /// Rows by entity, in the order of the plan.
    rows: Vec<String>,
    fingerprint: String,
}

impl Tenant {
    fn read(row: &PgRow) -> Self {
        Self {
            name: cell(row, 0),
            active: cell(row, 1) == "t",
            rows: (2..7).map(|i| cell(row, i)).collect(),
            fingerprint: cell(row, 7),
        }
    }
}

const TENANTS: &str = "examples/platform/tenants.sql";

async fn tenants(stage: &Stage<'_>) -> Outcome<Vec<Tenant>> {
    Ok(stage.sql_file(TENANTS).await?.iter().map(Tenant::read).collect())
}

async fn tenants_quietly(stage: &Stage<'_>) -> Outcome<Vec<Tenant>> {
    Ok(stage.look_at_sql_file(TENANTS).await?.iter().map(Tenant::read).collect())
}

/// The remedy is what a person pastes into psql.
fn statement(remedy: &str) -> Outcome<String> {
    let remedy = remedy.trim();
    if remedy.contains("invoices") && remedy.contains(ACME) {
        Ok(remedy.to_owned())
    } else {
        Err(Stopped::because(format!("the remedy is not about the invoices of Acme: {remedy}")))
    }
}
