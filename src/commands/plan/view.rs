//! What `plan show` prints.

use serde::Serialize;

use crate::api::status::ErrorDetail;
use crate::cascade::preview::Preview;
use crate::commands::output::{explained, table};
use crate::domain::facts::Presence;
use crate::domain::{Failure, report};
use planner::cascade::{PlanTable, USERS};
use planner::plan::{Inactive, Keep, Plan, Step};
use planner::statement::{Param, Statement};
use planner::{COUNT_LIMIT, Cascade, CompiledPlan};

/// A compiled plan for a person or a program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    usable: bool,
    organization: Organization,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a str>,
    /// Foreign keys that are deferrable are checked at COMMIT.
    deferred_constraints: bool,
    /// Foreign keys from outside the row sets that are looked at before the first delete.
    checks: usize,
    steps: Vec<StepView<'a>>,
    keep: &'a [Keep],
    /// Statements before the first delete, and after the last one of a step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    before: Vec<Sql<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<Sql<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
    #[serde(skip)]
    fault: Option<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    table: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    switched_off_by: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepView<'a> {
    table: &'a str,
    entity: &'a str,
    /// The columns that lead from a row to the organization.
    belongs_by: String,
    protected: bool,
    /// Columns that are read before the first delete, because rows below are still to be found when these are gone.
    captured: Vec<&'a str>,
    /// Locked before the first delete, because the schema would change rows that refer to them.
    locked: bool,
    /// Rows that a deletion would take, of the whole table of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Rows>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Sql<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Rows {
    count: i64,
    /// There are at least this many.
    capped: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sql<'a> {
    what: String,
    #[serde(rename = "sql")]
    text: &'a str,
    parameters: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    organization_key: String,
    state: &'static str,
    total: Rows,
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &'a Plan, compiled: &'a CompiledPlan, preview: Option<&Preview>, sql: bool) -> Self {
        let rows = preview.and_then(|p| p.rows.as_deref());
        let steps = compiled.cascade().map(|erase| steps(plan, erase, rows, sql)).unwrap_or_default();
        let total = steps.iter().filter_map(|s| s.rows).fold(Rows { count: 0, capped: false }, |sum, rows| Rows {
            count: sum.count + rows.count,
            capped: sum.capped || rows.capped,
        });
        let (before, after) = match compiled.cascade().filter(|_| sql) {
            Some(erase) => (before(compiled, erase), after(erase)),
            None => (Vec::new(), Vec::new()),
        };
        let fault = compiled.faults().map(Failure::from);
        Self {
            usable: compiled.faults().is_none(),
            organization: Organization { key_type: Some(compiled.root.key_type.clone()), ..organization(plan) },
            digest: Some(&compiled.digest),
            deferred_constraints: compiled.cascade().is_some_and(|e| e.defer_constraints),
            checks: compiled
                .cascade()
                .into_iter()
                .filter_map(|e| e.preflight.references.as_ref())
                .map(|references| references.subjects().len())
                .sum(),
            steps,
            keep: &plan.keep,
            before,
            after,
            preview: preview.map(|p| Counts { organization_key: p.key.clone(), state: state(p.organization), total }),
            error: fault.as_ref().map(report::error_detail),
            fault,
        }
    }

    /// A plan whose organization table or key is not in the database.
    pub(super) fn unresolved(plan: &'a Plan, failure: Failure) -> Self {
        Self {
            usable: false,
            organization: organization(plan),
            digest: None,
            deferred_constraints: false,
            checks: 0,
            steps: Vec::new(),
            keep: &plan.keep,
            before: Vec::new(),
            after: Vec::new(),
            preview: None,
            error: Some(report::error_detail(&failure)),
            fault: Some(failure),
        }
    }

    pub(super) fn usable(&self) -> bool {
        self.usable
    }

    pub(super) fn text(&self) -> String {
        let mut text = table(&self.head());
        if !self.steps.is_empty() {
            text += "\n";
            text += &table(&self.lines());
        }
        for kept in self.keep {
            text.extend([format!("\nkept: {} ({})", kept.table, kept.reason)]);
        }
        if !self.keep.is_empty() {
            text += "\n";
        }
        let unprotected: Vec<&str> = self.steps.iter().filter(|s| !s.protected).map(|s| s.table).collect();
        if !unprotected.is_empty() {
            text.extend([format!(
                "\nNot protected by a foreign key: {}. A deletion waits for open transactions to drain, and counts again.\n",
                unprotected.join(", ")
            )]);
        }
        let of_steps = self.steps.iter().filter_map(|s| s.sql.as_ref());
        for sql in self.before.iter().chain(of_steps).chain(&self.after) {
            text.extend([format!("\n-- {}\n", sql.what)]);
            for parameter in &sql.parameters {
                text.extend([format!("--   {parameter}\n")]);
            }
            text.extend([format!("{};\n", sql.text)]);
        }
        if let Some(fault) = &self.fault {
            text.extend([format!("\nThis plan cannot be used to delete: {}", explained(fault))]);
        }
        text
    }

    fn head(&self) -> Vec<Vec<String>> {
        let line = |name: &str, value: String| vec![name.to_owned(), value];
        let Organization { table, key, key_type, switched_off_by } = &self.organization;
        let key_type = key_type.as_ref().map(|t| format!(" ({t})")).unwrap_or_default();
        let off = switched_off_by
            .as_ref()
            .map_or_else(|| "cannot be switched off".to_owned(), |by| format!("switched off by {by}"));
        let mut lines = vec![line("organization", format!("{table}, key {key}{key_type}, {off}"))];
        if let Some(digest) = self.digest {
            lines.push(line("plan", digest.to_owned()));
        }
        if !self.steps.is_empty() {
            let when = if self.deferred_constraints { "checked at COMMIT where deferrable" } else { "checked at once" };
            let outside = format!("{when}; {} from outside are looked at before the first delete", self.checks);
            lines.push(line("foreign keys", outside));
        }
        if let Some(counts) = &self.preview {
            let Counts { organization_key, state, total } = counts;
            lines.push(line("deletes", format!("{organization_key} ({state}): {} rows below it", shown(*total))));
        }
        lines
    }

    fn lines(&self) -> Vec<Vec<String>> {
        let counted = self.preview.is_some();
        let cells = |cells: [String; 7]| -> Vec<String> {
            cells.into_iter().enumerate().filter(|(i, _)| *i != 3 || counted).map(|(_, cell)| cell).collect()
        };
        let head = ["#", "TABLE", "ENTITY", "ROWS", "PROTECTED", "CAPTURED", "BELONGS BY"].map(str::to_owned);
        let mut lines = vec![cells(head)];
        for (i, step) in self.steps.iter().enumerate() {
            let mut captured = step.captured.join(", ");
            if step.locked {
                captured += if captured.is_empty() { "locked" } else { " (locked)" };
            }
            lines.push(cells([
                (i + 1).to_string(),
                step.table.to_owned(),
                step.entity.to_owned(),
                step.rows.map(shown).unwrap_or_default(),
                if step.protected { "yes" } else { "no" }.to_owned(),
                captured,
                step.belongs_by.clone(),
            ]));
        }
        let root = [String::new(), self.organization.table.clone(), String::new()];
        let rows = self.preview.as_ref().map(|c| if c.state == "Absent" { "0" } else { "1" }).unwrap_or_default();
        let [number, table, entity] = root;
        lines.push(cells([
            number,
            table,
            entity,
            rows.to_owned(),
            String::new(),
            String::new(),
            format!("{}, last", self.organization.key),
        ]));
        lines
    }
}

fn organization(plan: &Plan) -> Organization {
    let organization = &plan.organization;
    Organization {
        table: organization.table.clone(),
        key: organization.key.clone(),
        key_type: None,
        switched_off_by: organization.active.as_ref().map(|active| {
            let value = match active.inactive {
                Inactive::False => "false",
                Inactive::True => "true",
                Inactive::Now => "now",
            };
            format!("{} = {value}", active.column)
        }),
    }
}

fn state(organization: Presence) -> &'static str {
    match organization {
        Presence::Absent => "Absent",
        Presence::Present { active: Some(false) } => "Deactivated",
        Presence::Present { active: Some(true) } => "Active",
        Presence::Present { active: None } => "Present",
    }
}

fn shown(rows: Rows) -> String {
    format!("{}{}", rows.count, if rows.capped { "+" } else { "" })
}

fn steps<'a>(plan: &'a Plan, erase: &'a Cascade, rows: Option<&[(PlanTable, i64)]>, sql: bool) -> Vec<StepView<'a>> {
    erase
        .deletes
        .iter()
        .filter_map(|delete| {
            let step = plan.steps.get(delete.step.place())?;
            let capture = erase.captures.iter().find(|c| c.step == delete.step);
            let rows = rows.and_then(|rows| rows.iter().find(|(table, _)| table.id == delete.table.id));
            Some(StepView {
                table: &step.table,
                entity: &step.entity,
                belongs_by: belongs_by(plan, step),
                protected: delete.protected,
                captured: capture.into_iter().flat_map(|c| &c.columns).map(String::as_str).collect(),
                locked: capture.is_some_and(|c| c.locks),
                rows: rows.map(|(table, n)| {
                    let capped = table.entity != USERS && *n > COUNT_LIMIT;
                    Rows { count: if capped { COUNT_LIMIT } else { *n }, capped }
                }),
                sql: sql.then(|| statement(format!("delete from {}", step.table), &delete.statement, erase)),
            })
        })
        .collect()
}

/// The columns that lead from a row to the organization: `flow_id -> flows.organization_id`.
fn belongs_by(plan: &Plan, step: &Step) -> String {
    if let Some(column) = &step.organization {
        return column.clone();
    }
    let own = match &step.column {
        Some(column) => column.clone(),
        None => format!("({})", step.columns.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    let parents = plan.steps.iter().filter(|p| step.parent.as_ref() == Some(&p.entity));
    let ways: Vec<String> =
        parents.map(|parent| format!("{own} -> {}.{}", parent.table, belongs_by(plan, parent))).collect();
    ways.join(" or ")
}

fn before<'a>(compiled: &'a CompiledPlan, erase: &'a Cascade) -> Vec<Sql<'a>> {
    let mut all = vec![statement("lock the organization".into(), &compiled.root.lock, erase)];
    for capture in &erase.captures {
        all.push(statement(
            format!("before the first delete: rows of {}", capture.declared),
            &capture.statement,
            erase,
        ));
    }
    if let Some(references) = &erase.preflight.references {
        let references = references.statement();
        all.push(statement("before the first delete: references from outside".into(), references, erase));
    }
    all.push(statement("before the first delete: count".into(), erase.count.statement(), erase));
    all
}

fn after(erase: &Cascade) -> Vec<Sql<'_>> {
    vec![
        statement("delete the organization".into(), &erase.delete_organization, erase),
        statement("count again".into(), erase.recount.statement(), erase),
    ]
}

fn statement<'a>(what: String, statement: &'a Statement, erase: &Cascade) -> Sql<'a> {
    let parameters = statement.params().iter().enumerate().map(|(i, param)| {
        let meaning = match param {
            Param::Key => "the organization's key".to_owned(),
            Param::Keys => "the organization's key, in an array".to_owned(),
            Param::Captured { step, column } => {
                let capture = erase.captures.iter().find(|c| c.step == *step);
                let table = capture.map(|c| c.declared.as_str()).unwrap_or_default();
                format!("captured before: {table}.{column}")
            }
        };
        format!("${} = {meaning}", i + 1)
    });
    Sql { what, text: statement.sql(), parameters: parameters.collect() }
}
