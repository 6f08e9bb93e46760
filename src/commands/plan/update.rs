//! `organization-operator plan init --update FILE`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use super::additions::Additions;
use super::edit;
use crate::commands::config::{ConfigArgs, Loaded};
use crate::commands::error::CommandError;
use crate::commands::file as files;
use crate::config::Config;
use crate::domain::Failure;
use planner::infer::{self, Update};

/// Adds the tables that the file does not mention, and prints what it added.
pub(super) async fn execute(
    file: &Path,
    output: Option<&Path>,
    mut arguments: ConfigArgs,
) -> Result<ExitCode, CommandError> {
    arguments.config = Some(file.to_owned());
    let all = Config::load(Some(file))?;
    let Loaded { name, config, database } = arguments.load()?;
    let text = files::read(file)?;
    if serde_yaml::from_str::<Config>(&text).ok().as_ref() != Some(&all) {
        return Err(files::changed(file));
    }
    let mut survey = database.survey().await?;
    let questions = infer::update_questions(&survey, &config.cascade.plan).map_err(Failure::from)?;
    survey.values = database.sample(&questions).await?;
    let update = infer::update(&survey, &config.cascade.plan).map_err(Failure::from)?;
    let gone = database.missing(&update.unknown).await?;
    database.close().await;

    let additions = Additions::of(&update);
    let is_new = !update.global.is_empty() || !update.unclassified.is_empty();
    // A plan of one database of several stands elsewhere in the file than the plan of all.
    let shared = all.databases.iter().all(|listed| listed.name != name || listed.cascade.is_none());
    let edited = if is_new {
        edit::add(&text, &additions).filter(|edited| shared && is_usable(edited))
    } else {
        Some(text.clone())
    };
    let Some(edited) = edited else {
        let cascade = if shared { "`cascade`".to_owned() } else { format!("`cascade` of the database `{name}`") };
        return Err(CommandError(format!(
            "The command cannot safely insert the new tables into {}, so it did not change the file. Add these entries to the lists below {cascade} by hand:\n{}",
            file.display(),
            additions.lines()
        )));
    };
    match output {
        Some(path) => files::create(path, &edited)?,
        None if is_new => files::replace(file, &text, &edited)?,
        None => {}
    }
    print!("{}", summary(&update, &gone, output.unwrap_or(file)));
    Ok(ExitCode::SUCCESS)
}

/// The command must not write what the operator itself would refuse.
fn is_usable(text: &str) -> bool {
    serde_yaml::from_str::<Config>(text).is_ok_and(|config| config.cascade.plan.validate().is_ok())
}

fn summary(update: &Update, gone: &[String], file: &Path) -> String {
    let mut text = String::new();
    let file = file.display();
    if update.unclassified.is_empty() && update.global.is_empty() {
        let _ = writeln!(text, "{file} mentions every table of the database. The command added nothing.");
    } else {
        let _ = writeln!(text, "Added to {file}:");
        for open in &update.unclassified {
            let _ = writeln!(text, "  unclassified: {} ({})", open.table, open.why.as_deref().unwrap_or_default());
        }
        for table in &update.global {
            let _ = writeln!(text, "  global: {table} (no sign of an organization)");
        }
    }
    for table in gone {
        let _ = writeln!(
            text,
            "{file} mentions the table `{table}`, which the database does not have. Remove the entry by hand."
        );
    }
    if !update.unclassified.is_empty() {
        let _ = writeln!(
            text,
            "The operator deletes nothing while a table is unclassified. Decide about each, then run: organization-operator plan show --config {file}"
        );
    }
    text
}
