//! What can go wrong, each with the next step for the reader.

use std::path::PathBuf;
use std::time::Duration;

use crate::process_guard::Exit;

/// The result of everything the testbed does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be used.
    #[error("cannot {doing} {}: {source}; check that the path exists, that the disk has room and that this user may write there", path.display())]
    File {
        /// What was tried, as a verb: "read", "create".
        doing: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },

    /// No directory for programs that are built or downloaded once.
    #[error("no cache directory: set HOME or XDG_CACHE_HOME to an absolute path")]
    NoCacheDirectory,

    /// No free TCP port on loopback.
    #[error(
        "no free TCP port between {first} and {last} on 127.0.0.1: stop servers that were left running and run again"
    )]
    NoFreePort {
        /// The first port tried.
        first: u16,
        /// The last port tried.
        last: u16,
    },

    /// A program could not be started at all.
    #[error("cannot start {name} ({}): {source}; check that the file exists and is executable, and that /bin/sh exists", program.display())]
    Launch {
        /// What the program is called in messages.
        name: String,
        /// The program's path.
        program: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },

    /// A program ended although it should have gone on.
    #[error("{name} ended ({exit}) before it was ready; the end of its log says why:\n{log}")]
    Ended {
        /// What the program is called in messages.
        name: String,
        /// How it ended.
        exit: Exit,
        /// The last lines it wrote.
        log: String,
    },

    /// A program did not end in time.
    #[error("{name} (process {pid}) is still running {} s after the request to end; look at its log, {}, and end it with `kill -KILL {pid}`", waited.as_secs(), log.display())]
    StillRunning {
        /// What the program is called in messages.
        name: String,
        /// Its process id.
        pid: u32,
        /// How long it was waited for.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
    },

    /// A server runs but does not become ready.
    #[error("{name} is not ready after {} s ({why}); is the machine overloaded? The end of its log:\n{log}", waited.as_secs())]
    NotReady {
        /// What the server is called in messages.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// The last answer to "are you ready?".
        why: String,
        /// The last lines it wrote.
        log: String,
    },

    /// A server answered, but not as it should.
    #[error("{name} gave an answer that cannot be used: {why}")]
    Answer {
        /// What the server is called in messages.
        name: &'static str,
        /// What it said, or what is wrong with it.
        why: String,
    },

    /// A signal could not be sent.
    #[error("cannot send {signal} to {name} (process {pid}): {source}; does the process belong to this user?")]
    Signal {
        /// The signal's name.
        signal: &'static str,
        /// What the program is called in messages.
        name: String,
        /// Its process id.
        pid: u32,
        /// What the operating system answered.
        source: std::io::Error,
    },

    /// A program has to be built, and there is no Go.
    #[error(
        "{program} is not on this machine and cannot be built, because `go` is not in PATH: install Go 1.26 or newer{otherwise}"
    )]
    GoMissing {
        /// The program that is wanted.
        program: &'static str,
        /// What else would help.
        otherwise: &'static str,
    },

    /// `go build` failed.
    #[error(
        "`go build` of {program} failed ({exit}) in {}: have Go 1.26 or newer and a reachable Go module proxy{otherwise}. \
         The end of its output:\n{log}",
        module.display()
    )]
    GoBuild {
        /// The program that was built.
        program: &'static str,
        /// How the build ended.
        exit: Exit,
        /// The Go module it was built in.
        module: PathBuf,
        /// What else would help.
        otherwise: &'static str,
        /// The last lines of its output.
        log: String,
    },

    /// A program of the control plane is not where it was said to be.
    #[error("{program} is not in {}: fetch the complete set of binaries (`setup-envtest use`), or unset KUBEBUILDER_ASSETS to have it built", directory.display())]
    AssetMissing {
        /// The program that is wanted.
        program: &'static str,
        /// The directory that `KUBEBUILDER_ASSETS` names.
        directory: PathBuf,
    },

    /// The pinned archive is not what it was when it was pinned.
    #[error(
        "{url} has the SHA-512 {found}, but {expected} is pinned: the archive was changed or damaged on the way; do not use it"
    )]
    Checksum {
        /// Where the archive came from.
        url: String,
        /// The pinned checksum.
        expected: &'static str,
        /// The checksum of what was downloaded.
        found: String,
    },

    /// An HTTP request of the testbed itself failed.
    #[error("cannot {doing} ({why}): check the network and the proxy variables of the environment")]
    Http {
        /// What was tried.
        doing: String,
        /// The innermost cause, which the client's own message does not show.
        why: String,
        /// What the HTTP client said.
        source: reqwest::Error,
    },

    /// `kubectl` failed.
    #[error("{doing} failed: {why}")]
    Kubectl {
        /// The command.
        doing: String,
        /// What it printed.
        why: String,
    },

    /// The program with Argo CD's engine refused a request.
    #[error("Argo CD's engine: {why}")]
    Engine {
        /// Its answer.
        why: String,
    },

    /// A key or certificate could not be made or read.
    #[error("cannot {doing}: {why}; remove the testbed's temporary directory and run again")]
    Credentials {
        /// What was tried.
        doing: &'static str,
        /// What went wrong.
        why: String,
    },

    /// A line of the audit log is not what it should be.
    #[error("line {line} of the audit log {} cannot be read: {source}; does --audit-policy-file still ask for JSON lines?", path.display())]
    Audit {
        /// The log file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },

    /// PostgreSQL is neither on the machine nor to be had.
    #[error(
        "no PostgreSQL {wanted} on this machine, and it cannot be downloaded ({why}): install the package `postgresql-{wanted}` (apt.postgresql.org has it where the distribution has not), or set DATABASE_URL to the URL of a superuser on a running server"
    )]
    PostgresMissing {
        /// The major version asked for.
        wanted: u16,
        /// Why there is no download, or what failed.
        why: String,
    },

    /// A program of one of the distribution's packages is neither on the machine nor to be had.
    #[error(
        "no `{program}` on this machine, and it cannot be fetched ({why}): install Debian's package with `apt-get install -y --no-install-recommends {package}`, or put the program into PATH"
    )]
    PackageMissing {
        /// The program that is wanted.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// Why it could not be fetched.
        why: String,
    },

    /// The image cannot be built on this machine.
    #[error(
        "the image cannot be built and run here: {why}; without a daemon that takes root, Debian's packages and the Rust version that the Dockerfile names"
    )]
    ImageImpossible {
        /// What is missing.
        why: String,
    },

    /// A step of the image or of its container failed.
    #[error("{doing} failed ({exit}); the end of its output says why:\n{log}")]
    Image {
        /// What was tried.
        doing: String,
        /// How it ended.
        exit: Exit,
        /// The last lines of its output.
        log: String,
    },

    /// A port of a container cannot be used.
    #[error("cannot use port {port} of the container: {source}; does its program listen there?")]
    ContainerPort {
        /// The port.
        port: u16,
        /// What the operating system answered.
        source: std::io::Error,
    },

    /// PostgreSQL refuses to run as root and there is nobody else.
    #[error(
        "PostgreSQL refuses to run as root, and neither the user `postgres` nor `nobody` exists: run as another user, or set DATABASE_URL to the URL of a superuser on a running server"
    )]
    NoAccount,

    /// A helper program of PostgreSQL failed.
    #[error("{program} failed ({exit}); its output says why:\n{log}")]
    Setup {
        /// The program's name.
        program: &'static str,
        /// How it ended.
        exit: Exit,
        /// The last lines it wrote.
        log: String,
    },

    /// A URL of a database cannot be used.
    #[error("{what} is not a PostgreSQL URL ({why}): write postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    DatabaseUrl {
        /// Where the URL came from.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },

    /// SQL of the testbed's caller failed.
    #[error("cannot {doing}: {source}")]
    Sql {
        /// What was tried.
        doing: String,
        /// What the database said.
        source: sqlx::Error,
    },

    /// The server of `DATABASE_URL` is not the testbed's to stop.
    #[error(
        "cannot {doing} the server of DATABASE_URL, because the testbed did not start it: start one of your own with `PostgresOptions {{ own: true, .. }}`"
    )]
    NotOurs {
        /// What was asked for.
        doing: &'static str,
    },

    /// Something is already running or already stopped.
    #[error("cannot {doing} {name}: it is {state}")]
    WrongState {
        /// What was asked for.
        doing: &'static str,
        /// The server.
        name: &'static str,
        /// The state it is in.
        state: &'static str,
    },

    /// A proxy cannot listen.
    #[error("cannot listen on 127.0.0.1:{port}: {source}; another process took the port, so start the test again")]
    Listen {
        /// The port.
        port: u16,
        /// What the operating system answered.
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps what the HTTP client said, with the cause that it hides.
    pub(crate) fn http(doing: String, source: reqwest::Error) -> Self {
        let causes = std::iter::successors(Some(&source as &dyn std::error::Error), |error| error.source());
        let why = causes.last().map(ToString::to_string).unwrap_or_default();
        Self::Http { doing, why, source }
    }

    /// Wraps what the operating system said about a path.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
