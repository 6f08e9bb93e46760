//! What `plan show` prints: a compiled plan, with the rows that it would delete.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::Serialize;

use super::sql::{Sql, after, before, in_pages, statement};
use super::ways;
use crate::api::status::ErrorDetail;
use crate::cascade::preview::Preview;
use crate::domain::facts::Presence;
use crate::domain::{Failure, report};
use planner::cascade::{Capture, Delete, NotPaged, PlanTable, capped};
use planner::finding::{self, Kind};
use planner::plan::{Inactive, Keep, Plan, Step};
use planner::{Cascade, CompiledPlan};

/// A compiled plan for a person or a program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    pub(super) usable: bool,
    pub(super) organization: Organization,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<&'a str>,
    /// Deferrable foreign keys are checked at COMMIT.
    pub(super) deferred_constraints: bool,
    /// Number of foreign keys from outside the row sets that the cascade checks before the first delete.
    pub(super) checks: usize,
    pub(super) steps: Vec<StepView<'a>>,
    /// Tables that are deleted from by one statement, because they refer to each other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sets: Vec<Vec<&'a str>>,
    /// Tables whose rows go with a partition that can hold only the organization's rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) partitions: Vec<&'a str>,
    /// Tables from which a large deletion deletes in pages, in this order.
    pub(super) pages: Vec<&'a str>,
    /// The other tables of the steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_paged: Vec<NotPagedView<'a>>,
    pub(super) keep: &'a [Keep],
    /// Tables that the plan does not mention.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unknown_tables: Vec<&'a str>,
    /// A sentence about them.
    #[serde(skip)]
    pub(super) unknown: Option<String>,
    /// Each table is shown, however many there are.
    #[serde(skip)]
    pub(super) all: bool,
    /// Statements of pages, which only a large deletion has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) in_pages: Vec<Sql<'a>>,
    /// Statements before the deletes of the steps, and after them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Sql<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<Sql<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preview: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<ErrorDetail>,
    #[serde(skip)]
    pub(super) fault: Option<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Organization {
    pub(super) table: String,
    pub(super) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) switched_off_by: Option<String>,
    /// Which statement deletes it, as for a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statement: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepView<'a> {
    /// Which of the deletes it is, counted from 1. The same for tables that are deleted from by one statement.
    pub(super) statement: usize,
    pub(super) table: &'a str,
    pub(super) entity: &'a str,
    /// The columns that lead from a row to the organization.
    pub(super) belongs_by: String,
    /// The step through which a row belongs to the organization: its place in the plan, and its table.
    #[serde(skip)]
    pub(super) through: (usize, &'a str),
    pub(super) protected: bool,
    /// Columns that the cascade reads before the first delete, because it finds child rows by them later.
    pub(super) captured: Vec<&'a str>,
    /// Whether the cascade locks the rows before the first delete, because the schema would change rows that refer to them.
    pub(super) locked: bool,
    /// Rows of the whole table that a deletion would delete. Only in the first step of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<Rows>,
    /// Only at the first of the tables that a statement deletes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sql: Option<Sql<'a>>,
}

/// A table all of whose rows wait for the last transaction.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotPagedView<'a> {
    pub(super) table: &'a str,
    pub(super) because: String,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Rows {
    pub(super) count: i64,
    /// There are at least this many.
    pub(super) capped: bool,
}

impl Add for Rows {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, capped: self.capped || other.capped }
    }
}

impl Sum for Rows {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self { count: 0, capped: false }, Add::add)
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, if self.capped { "+" } else { "" })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub(super) organization_key: String,
    pub(super) state: &'static str,
    /// Whether the organization exists, so that its own row counts.
    #[serde(skip)]
    pub(super) present: bool,
    pub(super) total: Rows,
}

/// What to show besides the plan itself.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    /// Every statement.
    pub(super) sql: bool,
    /// Every table.
    pub(super) all: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(plan: &'a Plan, compiled: &'a CompiledPlan, preview: Option<&Preview>, shown: Shown) -> Self {
        let sql = shown.sql;
        let rows = preview.and_then(|p| p.rows.as_deref());
        let steps = compiled.cascade().map(|erase| steps(plan, erase, rows, sql)).unwrap_or_default();
        let total = steps.iter().filter_map(|s| s.rows).sum();
        let (before, after) = match compiled.cascade().filter(|_| sql) {
            Some(erase) => (before(compiled, erase), after(erase)),
            None => (Vec::new(), Vec::new()),
        };
        let fault = compiled.faults().map(Failure::from);
        Self {
            usable: compiled.faults().is_none(),
            organization: Organization {
                key_type: Some(compiled.root.key_type.clone()),
                statement: compiled
                    .cascade()
                    .and_then(|e| e.deletes.iter().position(|d| d.organization))
                    .map(|i| i + 1),
                ..organization(plan)
            },
            digest: Some(&compiled.digest),
            deferred_constraints: compiled.cascade().is_some_and(|e| e.defer_constraints),
            checks: compiled
                .cascade()
                .into_iter()
                .filter_map(|e| e.preflight.references.as_ref())
                .map(|references| references.subjects().len())
                .sum(),
            steps,
            sets: compiled.cascade().map(|erase| sets(plan, erase)).unwrap_or_default(),
            partitions: compiled.cascade().map(|erase| partitions(plan, erase)).unwrap_or_default(),
            pages: compiled.cascade().map(|erase| paged(plan, erase)).unwrap_or_default(),
            not_paged: compiled.cascade().map(|erase| not_paged(plan, erase)).unwrap_or_default(),
            in_pages: compiled.cascade().filter(|_| sql).map(in_pages).unwrap_or_default(),
            keep: &plan.keep,
            unknown_tables: unknown_tables(compiled),
            unknown: finding::unknown(compiled.warnings.iter()),
            all: shown.all,
            before,
            after,
            preview: preview.map(|p| Counts {
                organization_key: p.key.clone(),
                state: state(p.organization),
                present: p.organization != Presence::Absent,
                total,
            }),
            error: fault.as_ref().map(report::error_detail),
            fault,
        }
    }

    /// A plan whose organization table or key does not exist in the database.
    pub(super) fn unresolved(plan: &'a Plan, failure: Failure) -> Self {
        Self {
            usable: false,
            organization: organization(plan),
            digest: None,
            deferred_constraints: false,
            checks: 0,
            steps: Vec::new(),
            sets: Vec::new(),
            partitions: Vec::new(),
            pages: Vec::new(),
            not_paged: Vec::new(),
            in_pages: Vec::new(),
            keep: &plan.keep,
            unknown_tables: Vec::new(),
            unknown: None,
            all: false,
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
        statement: None,
    }
}

fn unknown_tables(compiled: &CompiledPlan) -> Vec<&str> {
    compiled.findings().filter(|f| f.kind == Kind::UnknownTable).filter_map(|f| f.table.as_deref()).collect()
}

fn state(organization: Presence) -> &'static str {
    match organization {
        Presence::Absent => "Absent",
        Presence::Present { active: Some(false) } => "Deactivated",
        Presence::Present { active: Some(true) } => "Active",
        Presence::Present { active: None } => "Present",
    }
}

fn steps<'a>(plan: &'a Plan, erase: &'a Cascade, rows: Option<&[(PlanTable, i64)]>, sql: bool) -> Vec<StepView<'a>> {
    let tables = erase.deletes.iter().enumerate().flat_map(|(i, delete)| {
        delete.tables.iter().enumerate().map(move |(place, deleted)| (i, delete, place, deleted))
    });
    tables
        .filter_map(|(i, delete, place, deleted)| {
            let step = plan.steps.get(deleted.step.place())?;
            let capture = erase.captures.iter().find(|c| c.step == deleted.step);
            let rows = rows.and_then(|rows| rows.iter().find(|(table, _)| table.id == deleted.table.id));
            let what = || format!("delete from {}", names(plan, delete).join(", "));
            Some(StepView {
                statement: i + 1,
                table: &step.table,
                entity: &step.entity,
                belongs_by: ways::of_table(plan, &step.table),
                through: through(plan, deleted.step.place(), step),
                protected: deleted.protected,
                captured: capture.map(Capture::columns).unwrap_or_default(),
                locked: capture.is_some_and(|c| c.locks) || erase.is_exclusive(deleted.step),
                rows: rows.map(|(table, n)| {
                    let (count, capped) = capped(&table.entity, *n);
                    Rows { count, capped }
                }),
                sql: (sql && place == 0).then(|| statement(what(), &delete.statement)),
            })
        })
        .collect()
}

/// The step with which the way to the organization begins. Of several parents the first one counts.
fn through<'p>(plan: &'p Plan, place: usize, step: &'p Step) -> (usize, &'p str) {
    let parent = step.parent.as_ref().and_then(|entity| plan.steps.iter().position(|s| s.entity == *entity));
    match parent {
        Some(parent) => through(plan, parent, &plan.steps[parent]),
        None => (place, &step.table),
    }
}

/// The tables that a statement deletes from, as the plan names them.
fn names<'a>(plan: &'a Plan, delete: &Delete) -> Vec<&'a str> {
    let steps = delete.tables.iter().filter_map(|deleted| plan.steps.get(deleted.step.place()));
    let organization = delete.organization.then_some(plan.organization.table.as_str());
    steps.map(|step| step.table.as_str()).chain(organization).collect()
}

/// A table as the plan names it.
fn declared<'a>(plan: &'a Plan, erase: &Cascade, table: &PlanTable) -> Option<&'a str> {
    let mut deleted = erase.deletes.iter().flat_map(|delete| &delete.tables);
    let step = deleted.find(|deleted| deleted.table.id == table.id)?.step;
    plan.steps.get(step.place()).map(|step| step.table.as_str())
}

fn paged<'a>(plan: &'a Plan, erase: &Cascade) -> Vec<&'a str> {
    erase.pages.iter().filter_map(|paged| declared(plan, erase, &paged.table)).collect()
}

fn not_paged<'a>(plan: &'a Plan, erase: &Cascade) -> Vec<NotPagedView<'a>> {
    let view = |not: &NotPaged| {
        Some(NotPagedView { table: declared(plan, erase, &not.table)?, because: not.because.to_string() })
    };
    erase.not_paged.iter().filter_map(view).collect()
}

/// Tables that are deleted from by one statement, because they refer to each other.
fn sets<'a>(plan: &'a Plan, erase: &Cascade) -> Vec<Vec<&'a str>> {
    erase.deletes.iter().map(|delete| names(plan, delete)).filter(|names| names.len() > 1).collect()
}

/// Tables whose rows go with a partition.
fn partitions<'a>(plan: &'a Plan, erase: &Cascade) -> Vec<&'a str> {
    let steps = erase.partitions.iter().filter_map(|partition| plan.steps.get(partition.step.place()));
    steps.map(|step| step.table.as_str()).collect()
}
