//! A row of the table: what is changed in the database, what the operator then shows, and what undoes it.

use std::sync::Arc;

use organization_operator::api::Reason;

use super::stage::{Expect, Stage, Via};
use crate::support::{Variant, World};

/// SQL has `:key` where the tenant's key belongs.
#[derive(Clone, Debug)]
pub struct Case {
    /// What a person would call it.
    pub name: &'static str,
    /// Run when the object is ready to be deleted.
    pub fault: &'static str,
    /// Run when the deletion is blocked; empty: the remedy itself is run.
    pub cure: &'static str,
    /// Deactivate first.
    pub window: i64,
    pub expect: Expect,
    /// The SQLSTATE on PostgreSQL 18, if it is another one.
    pub sql_state_18: Option<&'static str>,
}

impl Case {
    pub const fn new(name: &'static str, reason: Reason, fault: &'static str, cure: &'static str) -> Self {
        Self { name, fault, cure, window: 0, expect: Expect::new(reason), sql_state_18: None }
    }

    pub const fn state(mut self, sql_state: &'static str) -> Self {
        self.expect.sql_state = Some(sql_state);
        self
    }

    pub const fn at(mut self, entity: &'static str, table: &'static str) -> Self {
        if !entity.is_empty() {
            self.expect.entity = Some(entity);
        }
        self.expect.table = Some(table);
        self
    }

    pub const fn constraint(mut self, constraint: &'static str) -> Self {
        self.expect.constraint = Some(constraint);
        self
    }

    pub const fn rows(mut self, rows: i64) -> Self {
        self.expect.rows = Some(rows);
        self
    }

    pub const fn says(mut self, says: &'static [&'static str]) -> Self {
        self.expect.says = says;
        self
    }

    pub const fn remedy(mut self, remedy: &'static [&'static str]) -> Self {
        self.expect.remedy = remedy;
        self
    }
}

/// Runs cases one after the other, each on a tenant of its own, with one operator.
pub async fn prove(world: Arc<World>, via: Via, variant: Variant, cases: Vec<Case>) {
    let mut stage = Stage::open(world, via, variant).await;
    for case in cases {
        run(&mut stage, via, &case).await;
    }
    stage.close().await;
}

pub async fn run(stage: &mut Stage, via: Via, case: &Case) {
    eprintln!("case: {} ({via:?})", case.name);
    let doomed = stage.doomed(case.window).await;
    stage.scene.sql(&case.fault.replace(":key", &doomed.key)).await;
    stage.delete(&doomed).await;
    let mut expect = case.expect.clone();
    if via == Via::Eighteen && case.sql_state_18.is_some() {
        expect.sql_state = case.sql_state_18;
    }
    let error = stage.blocked(&doomed, &expect).await;
    match case.cure {
        "" => stage.scene.sql(&error.remedy.expect("a remedy")).await,
        cure => stage.scene.sql(cure).await,
    }
    stage.healed(&doomed).await;
}
