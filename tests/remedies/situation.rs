//! A row of the table: what is there, what a check finds, and what its remedy does.

use std::sync::Arc;

use planner::Kind;

use super::stage::{Printed, Stage, plan};
use crate::support::World;

/// What is there, what a check finds, and what its remedy does.
pub struct Situation {
    /// What a person would call it.
    pub name: &'static str,
    /// What the platform has more.
    pub sql: &'static str,
    /// More steps of the plan.
    pub steps: &'static [&'static str],
    /// More fields of the plan.
    pub rest: &'static str,
    pub kind: Kind,
    /// The table and the columns of the finding, as printed.
    pub place: &'static str,
    /// Words of its message.
    pub says: &'static str,
    /// What `psql` answers; a line that ends in `..` is one that begins so.
    pub answers: &'static [&'static str],
    /// What a person does after a remedy that only shows something.
    pub then: Then,
}

/// What is done after the remedy was pasted.
pub enum Then {
    /// Nothing: the finding is gone.
    Nothing,
    /// A person decides, in SQL, and then it is gone.
    Decide(&'static str),
    /// Nothing: it is no fault, and the finding stays.
    Stays,
}

impl Situation {
    /// A situation whose remedy clears it.
    pub const fn new(name: &'static str, sql: &'static str, kind: Kind, place: &'static str) -> Self {
        Self { name, sql, steps: &[], rest: "", kind, place, says: "", answers: &[], then: Then::Nothing }
    }
}

/// Makes each situation, and pastes its remedy.
pub async fn prove(world: &Arc<World>, situations: &[Situation], organization: bool) {
    for situation in situations {
        run(world, situation, organization).await;
    }
}

async fn run(world: &Arc<World>, situation: &Situation, organization: bool) {
    let Situation { name, kind, place, .. } = situation;
    let stage = Stage::new(world, situation.sql).await;
    let plan = plan(situation.steps, situation.rest);
    let of = |f: &&Printed| f.kind == kind.as_str() && f.place == *place;
    let before = stage.check(&plan, organization).await;
    let finding: Vec<&Printed> = before.iter().filter(of).collect();
    let [finding] = finding.as_slice() else { panic!("{name}: {kind} of {place} is not found once: {before:#?}") };
    assert!(finding.message.contains(situation.says), "{name}: {finding:#?}");
    let answers = stage.paste(&finding.remedy).await;
    assert!(answered(&answers, situation.answers), "{name}: {answers:#?} for\n{}", finding.remedy);
    match situation.then {
        Then::Nothing => {}
        Then::Decide(sql) => stage.execute(sql).await,
        Then::Stays => {
            assert_eq!(stage.check(&plan, organization).await, before, "{name}");
            stage.erase(&plan).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            return stage.close().await;
        }
    }
    let after = stage.check(&plan, organization).await;
    assert!(!after.iter().any(|f| of(&f)), "{name}: it is still there: {after:#?}\nafter\n{}", finding.remedy);
    // The remedy takes its own finding away, and brings none. While one blocks, there may be no statements to judge.
    let told = |f: &Printed| before.iter().any(|b| (&b.kind, &b.place) == (&f.kind, &f.place));
    assert!(
        after.iter().all(|f| told(f) || finding.blocks && !f.blocks),
        "{name}: the remedy brings {after:#?}\nafter\n{}",
        finding.remedy
    );
    if !after.iter().any(|f| f.blocks) {
        stage.erase(&plan).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(stage.number("SELECT count(*) FROM organizations").await, 1, "{name}");
        assert_eq!(stage.number("SELECT count(*) FROM users WHERE organization_id::text = 'o2'").await, 1, "{name}");
    }
    stage.close().await;
}

/// Whether `psql` answered this.
pub fn answered(answers: &[String], expected: &[&str]) -> bool {
    answers.len() == expected.len()
        && answers.iter().zip(expected).all(|(answer, expected)| match expected.strip_suffix("..") {
            Some(beginning) => answer.starts_with(beginning),
            None => answer == expected,
        })
}
