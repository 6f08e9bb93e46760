//! Which words fit at the end of a command line.

use clap::{Arg, Command};

/// Names of values that are names of objects.
const OBJECT: &str = "NAME";
/// Names of values that are files.
const FILES: [&str; 2] = ["FILE", "DIR"];

/// The words that fit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    /// Words, each with its help.
    pub(super) words: Vec<(String, String)>,
    /// The name of an object fits, too, if it begins so.
    pub(super) objects: Option<String>,
    /// The name of a file fits.
    pub(super) files: bool,
}

/// The words that fit as the last one of `words`, which is typed as far as it is given.
pub(super) fn candidates(command: &Command, words: &[String]) -> Candidates {
    let (begun, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut command = command;
    let mut waiting: Option<&Arg> = None;
    for word in before {
        if waiting.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            waiting = option(command, word).filter(|arg| takes_value(arg) && !word.contains('='));
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
        }
    }
    if let Some(arg) = waiting {
        return values(arg, begun);
    }
    if begun.starts_with('-') {
        return Candidates { words: options(command, begun), ..Candidates::default() };
    }
    if command.has_subcommands() {
        let fits = |inner: &&Command| !inner.is_hide_set() && inner.get_name().starts_with(begun);
        let words = command.get_subcommands().filter(fits);
        let words = words.map(|inner| (inner.get_name().to_owned(), help(inner.get_about()))).collect();
        return Candidates { words, ..Candidates::default() };
    }
    let Some(positional) = command.get_positionals().next() else { return Candidates::default() };
    if named(positional, &[OBJECT]) {
        return Candidates { objects: Some(begun.to_owned()), ..Candidates::default() };
    }
    values(positional, begun)
}

fn option<'c>(command: &'c Command, word: &str) -> Option<&'c Arg> {
    let name = word.split('=').next().unwrap_or_default();
    command.get_arguments().find(|arg| {
        let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
        long || arg.get_short().is_some_and(|short| name.strip_prefix('-') == Some(short.to_string().as_str()))
    })
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn named(arg: &Arg, names: &[&str]) -> bool {
    arg.get_value_names().into_iter().flatten().any(|name| names.contains(&name.as_str()))
}

fn options(command: &Command, begun: &str) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let options = shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), help(arg.get_help()))));
    options.filter(|(option, _)| option.starts_with(begun)).collect()
}

fn values(arg: &Arg, begun: &str) -> Candidates {
    let possible = arg.get_possible_values();
    let fits = possible.iter().filter(|value| !value.is_hide_set() && value.get_name().starts_with(begun));
    let words = fits.map(|value| (value.get_name().to_owned(), help(value.get_help()))).collect();
    Candidates { words, objects: None, files: named(arg, &FILES) }
}

/// The first line of a help.
fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::commands::Cli;
    use crate::commands::program::Program;

    fn words(line: &[&str]) -> Candidates {
        candidates(
            &Program::Plugin.named(Cli::command()),
            &line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(),
        )
    }

    fn only(candidates: &Candidates) -> Vec<&str> {
        candidates.words.iter().map(|(word, _)| word.as_str()).collect()
    }

    #[test]
    fn whatever_fits_is_offered() {
        assert_eq!(only(&words(&["e"])), ["explain"]);
        let all = words(&[""]);
        assert!(only(&all).contains(&"confirm") && !only(&all).contains(&"run") && !only(&all).contains(&"__complete"));
        assert!(all.words.iter().all(|(word, help)| !help.is_empty() && !help.contains('\n') && !word.is_empty()));
        assert_eq!(only(&words(&["plan", ""])), ["init", "show"]);
        assert_eq!(only(&words(&["explain", "--con"])), ["--context"]);
        assert_eq!(words(&["explain", ""]).objects.as_deref(), Some(""));
        assert_eq!(words(&["explain", "--context", "x", "ac"]).objects.as_deref(), Some("ac"));
        assert_eq!(words(&["explain", "--context=x", "ac"]).objects.as_deref(), Some("ac"));
        assert_eq!(words(&["plan", "show", "ac"]).objects.as_deref(), Some("ac"));
        assert_eq!(words(&["confirm", "acme", "g"]).objects.as_deref(), Some("g"));
        assert_eq!(only(&words(&["check", "-o", ""])), ["text", "json"]);
        assert!(words(&["explain", "--kubeconfig", ""]).files);
        assert_eq!(words(&["explain", "--context", ""]), Candidates::default());
        assert_eq!(only(&words(&["completion", "k"])), ["kubectl"]);
        assert_eq!(words(&["no-such-command", "x", "y"]).objects, None);
        assert_eq!(words(&[]), words(&[""]));
    }
}
