//! The name by which the binary was called: as the operator, or as a plugin of kubectl.

use std::ffi::OsStr;
use std::path::Path;

use clap::Command;

/// File name of the plugin: kubectl runs it for `kubectl organization`.
const PLUGIN: &str = "kubectl-organization";
/// What a person types to run the plugin.
const TYPED: &str = "kubectl organization";
/// What only the operator's installation needs. The plugin has it, and does not show it.
const HIDDEN: [&str; 3] = ["run", "crd", "migrate"];

/// How the binary was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `organization-operator`.
    Operator,
    /// `kubectl organization`.
    Plugin,
}

impl Program {
    /// How this process was called.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::args_os().next().map_or(Self::Operator, |called| Self::of(&called))
    }

    fn of(called: &OsStr) -> Self {
        let name = Path::new(called).file_stem();
        if name.is_some_and(|name| name == PLUGIN) { Self::Plugin } else { Self::Operator }
    }

    /// File name of the program.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Operator => "organization-operator",
            Self::Plugin => PLUGIN,
        }
    }

    /// These commands with the name and the help of the program.
    #[must_use]
    pub fn named(self, command: Command) -> Command {
        match self {
            Self::Operator => command,
            Self::Plugin => {
                let hide = |command: Command| {
                    let hidden = command.is_hide_set() || HIDDEN.contains(&command.get_name());
                    of_plugin(command).hide(hidden)
                };
                command.name(PLUGIN).bin_name(TYPED).display_name(PLUGIN).mut_subcommands(hide)
            }
        }
    }
}

/// The help of a command with examples as they are typed for the plugin.
fn of_plugin(command: Command) -> Command {
    let typed = format!("\n  {TYPED} ");
    let help = command.get_after_help().map(|help| help.to_string().replace("\n  organization-operator ", &typed));
    let command = match help {
        Some(help) => command.after_help(help),
        None => command,
    };
    command.mut_subcommands(of_plugin)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::commands::Cli;

    #[test]
    fn the_file_name_decides() {
        for (called, program) in [
            ("/usr/local/bin/kubectl-organization", Program::Plugin),
            ("kubectl-organization", Program::Plugin),
            ("kubectl-organization.exe", Program::Plugin),
            ("organization-operator", Program::Operator),
            ("/kubectl-organization/organization-operator", Program::Operator),
            ("", Program::Operator),
        ] {
            assert_eq!(Program::of(OsStr::new(called)), program, "{called}");
        }
    }

    #[test]
    fn the_commands_are_consistent() {
        Program::Operator.named(Cli::command()).debug_assert();
        Program::Plugin.named(Cli::command()).debug_assert();
    }

    #[test]
    fn the_plugin_teaches_what_a_person_types() {
        let mut plugin = Program::Plugin.named(Cli::command());
        let help = plugin.render_long_help().to_string();
        assert!(help.contains("Usage: kubectl organization <COMMAND>"), "{help}");
        assert!(help.contains("explain") && !help.contains("migrate"), "{help}");
        let watch = plugin.find_subcommand_mut("watch").expect("a command").render_long_help().to_string();
        assert!(watch.contains("\n  kubectl organization watch acme\n"), "{watch}");
        let mut operator = Program::Operator.named(Cli::command());
        let help = operator.render_long_help().to_string();
        assert!(help.contains("explain") && help.contains("migrate"), "{help}");
    }
}
