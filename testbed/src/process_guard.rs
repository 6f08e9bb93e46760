//! Programs that never outlive the process that started them.
//!
//! Every program runs below a few lines of shell (`process_guard.sh`) whose standard input is a pipe from
//! this process. When the pipe closes, because the [`ProcessGuard`] is dropped or because this process was
//! killed, the shell signals exactly the one process id that it started, waits, and sends SIGKILL if
//! that did not help.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tokio::sync::watch;

use crate::error::{Error, Result};

const SCRIPT: &str = include_str!("process_guard.sh");
/// Added to the grace of a program before the wait for its end is given up.
const MARGIN: Duration = Duration::from_secs(10);

/// A signal to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGINT: as if someone had pressed Ctrl-C.
    Interrupt,
    /// SIGQUIT: PostgreSQL's immediate shutdown.
    Quit,
    /// SIGHUP: read your configuration again.
    Hangup,
    /// SIGKILL: ends at once, without a chance to tidy up.
    Kill,
    /// SIGSTOP: pauses the process; everyone else sees it hang.
    Stop,
    /// SIGCONT: lets a paused process go on.
    Continue,
}

impl Signal {
    /// The name that `kill -s` takes.
    const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Hangup => "HUP",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }

    const fn number(self) -> rustix::process::Signal {
        match self {
            Self::Terminate => rustix::process::Signal::TERM,
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Quit => rustix::process::Signal::QUIT,
            Self::Hangup => rustix::process::Signal::HUP,
            Self::Kill => rustix::process::Signal::KILL,
            Self::Stop => rustix::process::Signal::STOP,
            Self::Continue => rustix::process::Signal::CONT,
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// As the shell reports it: above 128, the number of a signal plus 128.
    status: i32,
}

impl Exit {
    /// Stands for "ended, but how is not known": the shell in between was killed.
    const UNKNOWN: Self = Self { status: 128 + 9 };

    /// Whether the program ended with exit code 0.
    #[must_use]
    pub const fn success(self) -> bool {
        self.status == 0
    }

    /// The exit code, unless a signal ended the program.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        if self.status > 128 { None } else { Some(self.status) }
    }

    /// The number of the signal that ended the program.
    #[must_use]
    pub const fn signal(self) -> Option<i32> {
        if self.status > 128 { Some(self.status - 128) } else { None }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("unknown"),
        }
    }
}

/// The user and group under which a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
}

/// A program about to be started below a [`ProcessGuard`].
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct Launch {
    program: PathBuf,
    name: String,
    log: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    account: Option<Account>,
    signal: Signal,
    grace: Duration,
}

impl Launch {
    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable; the others are those of this process.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Removes one environment variable.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Runs the program in this directory.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Runs the program as another user; only root can.
    pub fn run_as(mut self, account: Option<Account>) -> Self {
        self.account = account;
        self
    }

    /// Writes the output to another file.
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = path.into();
        self
    }

    /// What the program is called in messages, instead of its file name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The signal that asks the program to end (SIGTERM by default), and how long it has
    /// before SIGKILL (ten seconds by default).
    pub const fn stop_with(mut self, signal: Signal, grace: Duration) -> Self {
        self.signal = signal;
        self.grace = grace;
        self
    }

    /// Starts the program. Its standard output and standard error are appended to the log file.
    ///
    /// # Errors
    ///
    /// Fails when the log file or the shell cannot be opened. A program that does not exist
    /// is a program that ends with exit code 127.
    pub fn start(self) -> Result<ProcessGuard> {
        let log = File::options().create(true).append(true).open(&self.log).map_err(Error::file("open", &self.log))?;
        let launch_error = |source| Error::Launch { name: self.name.clone(), program: self.program.clone(), source };
        let mut shell = self.shell(log).spawn().map_err(launch_error)?;
        let missing_pipe = || launch_error(io::Error::other("the shell has no pipe"));
        let tether = shell.stdin.take().ok_or_else(missing_pipe)?;
        let mut reports = BufReader::new(shell.stdout.take().ok_or_else(missing_pipe)?);
        let mut line = String::new();
        reports.read_line(&mut line).map_err(launch_error)?;
        let pid: u32 =
            line.trim().parse().map_err(|_| launch_error(io::Error::other("the shell did not report a process id")))?;
        let (announce, exit) = watch::channel(None);
        let waiter = std::thread::Builder::new()
            .name(format!("guard of {}", self.name))
            .spawn(move || {
                let status = last_report(reports);
                if status.is_none() {
                    // The shell was killed, so this process has to do the shell's work.
                    let _ = send(pid, Signal::Kill);
                }
                let _ = shell.wait();
                announce.send_replace(Some(status.unwrap_or(Exit::UNKNOWN)));
            })
            .map_err(launch_error)?;
        Ok(ProcessGuard {
            name: self.name,
            pid,
            log: self.log,
            grace: self.grace,
            tether: Mutex::new(Some(tether)),
            waiter: Mutex::new(Some(waiter)),
            exit,
        })
    }

    fn shell(&self, log: File) -> Command {
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(SCRIPT)
            .arg("process_guard.sh")
            .arg(self.signal.name())
            .arg((self.grace.as_millis() / 100).to_string())
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in a terminal is for the process that holds the guard. It decides in which
            // order its programs end.
            .process_group(0);
        for (name, value) in &self.environment {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            shell.current_dir(directory);
        }
        if let Some(Account { uid, gid }) = self.account {
            shell.uid(uid).gid(gid);
        }
        shell
    }
}

/// The exit status that the shell reports at the end, if it lives to do so.
fn last_report(reports: BufReader<ChildStdout>) -> Option<Exit> {
    let last = reports.lines().map_while(io::Result::ok).last()?;
    let status = last.strip_prefix("exit ")?.parse().ok()?;
    Some(Exit { status })
}

/// Sends a signal to a process id, which must still belong to a process of this one.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(kill_process(pid, signal.number())?)
}

/// A running program, ended when dropped.
pub struct ProcessGuard {
    name: String,
    pid: u32,
    log: PathBuf,
    grace: Duration,
    /// The pipe whose end ends the program.
    tether: Mutex<Option<ChildStdin>>,
    waiter: Mutex<Option<JoinHandle<()>>>,
    exit: watch::Receiver<Option<Exit>>,
}

impl ProcessGuard {
    /// Prepares the start of `program` with its output in the file `log`.
    pub fn program(program: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Launch {
        let program = program.into();
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Launch {
            program,
            name,
            log: log.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            account: None,
            signal: Signal::Terminate,
            grace: Duration::from_secs(10),
        }
    }

    /// The program's own process id (not that of the shell in between).
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What the program is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with everything the program wrote.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything the program wrote until now.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("({} cannot be read: {error})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The last `lines` lines the program wrote.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// How the program ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Sends a signal without waiting for its effect, so it may be called from anywhere.
    /// Answers false when the program has already ended.
    ///
    /// # Errors
    ///
    /// Fails when the operating system refuses, for example because the program changed its user.
    pub fn signal(&self, signal: Signal) -> Result<bool> {
        // Once the shell has reaped the program, its process id may belong to another one.
        if self.exit().is_some() {
            return Ok(false);
        }
        match send(self.pid, signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(false),
            Err(source) => Err(Error::Signal { signal: signal.name(), name: self.name.clone(), pid: self.pid, source }),
        }
    }

    /// Pauses the program (SIGSTOP): to everyone else it hangs.
    ///
    /// # Errors
    ///
    /// See [`ProcessGuard::signal`].
    pub fn pause(&self) -> Result<bool> {
        self.signal(Signal::Stop)
    }

    /// Lets a paused program go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// See [`ProcessGuard::signal`].
    pub fn resume(&self) -> Result<bool> {
        self.signal(Signal::Continue)
    }

    /// Waits until the program has ended by itself. `None` when it has not within `timeout`.
    pub async fn wait_exit(&self, timeout: Duration) -> Option<Exit> {
        let mut exit = self.exit.clone();
        let ended = tokio::time::timeout(timeout, exit.wait_for(Option::is_some)).await;
        ended.ok().and_then(|ended| ended.map_or(Some(Exit::UNKNOWN), |exit| *exit))
    }

    /// Asks the program to end, and waits for it; after its grace it is killed.
    ///
    /// # Errors
    ///
    /// Fails when the program is still there some seconds after SIGKILL.
    pub async fn stop(&self) -> Result<Exit> {
        self.let_go();
        self.wait_until_gone(self.grace + MARGIN).await
    }

    /// Sends SIGKILL, and waits until the program is gone.
    ///
    /// # Errors
    ///
    /// Fails when the signal cannot be sent or the program is still there some seconds later.
    pub async fn kill(&self) -> Result<Exit> {
        self.signal(Signal::Kill)?;
        self.wait_until_gone(MARGIN).await
    }

    async fn wait_until_gone(&self, timeout: Duration) -> Result<Exit> {
        self.wait_exit(timeout).await.ok_or_else(|| Error::StillRunning {
            name: self.name.clone(),
            pid: self.pid,
            waited: timeout,
            log: self.log.clone(),
        })
    }

    /// Closes the pipe; the shell does the rest.
    fn let_go(&self) {
        self.tether.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        self.let_go();
        let waiter = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever drops the guard may remove the program's files next, so the program has to be gone.
        if let Some(waiter) = waiter {
            let _ = waiter.join();
        }
    }
}

impl fmt::Debug for ProcessGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessGuard")
            .field("name", &self.name)
            .field("pid", &self.pid)
            .field("exit", &self.exit())
            .finish_non_exhaustive()
    }
}
