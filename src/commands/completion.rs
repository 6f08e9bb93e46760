//! `kubectl organization completion`.

mod candidates;

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;

use super::error::CommandError;
use super::kubeconfig::ClusterArgs;
use super::program::Program;
use candidates::{Candidates, candidates};

/// Longest wait for the names of objects.
const PATIENCE: Duration = Duration::from_secs(3);

/// The script that kubectl runs to complete the words of the plugin.
const OF_KUBECTL: &str = "\
#!/bin/sh
# Completes the words of `kubectl organization`. Save it as kubectl_complete-organization in a directory of PATH, and make it
# executable. The completion of kubectl itself must be on: kubectl completion --help
exec kubectl-organization __complete \"$@\"
";

/// Print a script that completes the commands, their flags, and with `kubectl` also the names of objects.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(kubectl organization completion bash)           completes kubectl-organization
  source <(organization-operator completion bash)          completes organization-operator
  kubectl organization completion fish > ~/.config/fish/completions/kubectl-organization.fish

To complete `kubectl organization`, put the script of kubectl into a directory of PATH, for example:
  kubectl organization completion kubectl > /usr/local/bin/kubectl_complete-organization
  chmod +x /usr/local/bin/kubectl_complete-organization")]
pub struct Completion {
    /// For which program
    #[arg(value_enum, value_name = "SHELL")]
    shell: For,
}

/// Who completes.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
    /// kubectl, in whatever shell its own completion works
    Kubectl,
}

/// Completes a word, as kubectl asks for it: the words before it, and the word as far as it is typed.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Complete {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Completion {
    /// Prints the script for the commands of the program.
    ///
    /// # Errors
    /// Fails if standard output cannot be written.
    pub fn execute(self, program: Program, commands: Command) -> Result<(), CommandError> {
        let shell = match self.shell {
            For::Bash => Shell::Bash,
            For::Zsh => Shell::Zsh,
            For::Fish => Shell::Fish,
            For::Kubectl => return print(OF_KUBECTL.as_bytes()),
        };
        let mut script = Vec::new();
        // With the name that is typed: a name of two words is none for a shell.
        let mut command = commands.bin_name(program.file());
        clap_complete::generate(shell, &mut command, program.file(), &mut script);
        print(&script)
    }
}

impl Complete {
    /// Prints the words that fit among these commands. Without an answer of the API server there are no names of objects.
    ///
    /// # Errors
    /// Fails if standard output cannot be written.
    pub async fn execute(self, commands: Command) -> Result<(), CommandError> {
        let Candidates { mut words, objects, files } = candidates(&commands, &self.words);
        if let Some(begun) = objects {
            let names = tokio::time::timeout(PATIENCE, names(&self.words)).await.unwrap_or_default();
            words.extend(names.into_iter().filter(|name| name.starts_with(&begun)).map(|name| (name, String::new())));
        }
        let mut text = String::new();
        for (word, help) in words {
            text.extend([word.as_str(), if help.is_empty() { "" } else { "\t" }, help.as_str(), "\n"]);
        }
        // Directives of the completions that kubectl has: 0 lets the shell complete files, 4 does not.
        text.push_str(if files { ":0\n" } else { ":4\n" });
        print(text.as_bytes())
    }
}

/// The names of the objects in the cluster that the words mean.
async fn names(words: &[String]) -> Vec<String> {
    let value = |flag: &str| {
        let equals = format!("{flag}=");
        let place = words.iter().position(|word| word == flag || word.starts_with(&equals))?;
        let word = words.get(place)?;
        word.strip_prefix(&equals).map(str::to_owned).or_else(|| words.get(place + 1).cloned())
    };
    let arguments = ClusterArgs { kubeconfig: value("--kubeconfig").map(Into::into), context: value("--context") };
    let Ok(cluster) = arguments.cluster("").await else { return Vec::new() };
    // The first page is more than anybody chooses from.
    let page = cluster.page(None).await.map(|(objects, _)| objects).unwrap_or_default();
    page.iter().map(kube::ResourceExt::name_any).collect()
}

fn print(text: &[u8]) -> Result<(), CommandError> {
    std::io::stdout().write_all(text).map_err(|e| CommandError(format!("standard output cannot be written: {e}")))
}
