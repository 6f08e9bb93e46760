//! Containers of an [`Image`](crate::Image), run by crun.

mod network;
mod seccomp;
mod spec;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::process_guard::{Account, Exit, ProcessGuard, Signal, send};
use crate::scratch::Scratch;
use network::Network;

const POLL: Duration = Duration::from_millis(5);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How to start a [`Container`].
#[derive(Clone, Debug)]
pub struct ContainerOptions {
    /// The name of the host in the container.
    pub hostname: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Environment variables; there are no others.
    pub environment: Vec<(String, String)>,
    /// The directory in which the program starts.
    pub directory: String,
    /// User and group.
    pub account: Account,
    /// More groups.
    pub groups: Vec<u32>,
    /// Whether nothing but the mounts may be written.
    pub read_only_root: bool,
    /// Whether the program may not gain privileges.
    pub no_new_privileges: bool,
    /// Capabilities, such as `CAP_CHOWN`.
    pub capabilities: Vec<String>,
    /// Whether only the system calls are permitted that container engines permit by default.
    pub default_seccomp: bool,
    /// Files and directories of the machine.
    pub mounts: Vec<Mount>,
    /// Servers that the program reaches: ports of its own loopback, which is not that of the machine, and what they lead to.
    pub servers: Vec<(u16, SocketAddr)>,
}

/// A file or a directory of the machine that a container sees.
#[derive(Clone, Debug)]
pub struct Mount {
    /// What it is on the machine.
    pub source: PathBuf,
    /// Its absolute path in the container.
    pub target: String,
    /// Whether it may not be written.
    pub read_only: bool,
}

/// A running container with a network of its own. It is killed when dropped.
#[derive(Debug)]
pub struct Container {
    // It ends before its network and its files: the order of the fields counts.
    running: ProcessGuard,
    network: Network,
    pid: u32,
    begin: Instant,
    _scratch: Scratch,
}

impl Container {
    /// Starts a program of the image.
    ///
    /// # Errors
    ///
    /// Fails when the program cannot be started; the message shows what crun says.
    pub async fn start(image: &Image, options: ContainerOptions) -> Result<Self> {
        let scratch = Scratch::new("container")?;
        let network = Network::create(&scratch).await?;
        for (port, server) in &options.servers {
            network.forward(*port, *server)?;
        }
        let seccomp = if options.default_seccomp {
            Some(seccomp::default(&image.seccomp(), &options.capabilities)?)
        } else {
            None
        };
        let spec = spec::spec(&options, &image.root(), seccomp);
        let file = scratch.join("config.json");
        fs::write(&file, spec.to_string()).map_err(Error::file("write", &file))?;
        let sandbox = image.sandbox();
        let log = scratch.join("container.log");
        let launch = sandbox
            .program(sandbox.crun())
            .log(&log)
            .arg(format!("--root={}", scratch.join("crun").display()))
            // Whoever runs this process has put it into a cgroup and decides about it.
            .args(["--cgroup-manager=disabled", "run", "--bundle"])
            .arg(scratch.path())
            .arg("container")
            .name(&options.hostname);
        let running = network.start(launch)?;
        let (pid, begin) = program(&running).await?;
        Ok(Self { running, network, pid, begin, _scratch: scratch })
    }

    /// The process id of the program on the machine.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// When the program was seen first.
    #[must_use]
    pub const fn begin(&self) -> Instant {
        self.begin
    }

    /// What the program wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// How the program ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.running.exit()
    }

    /// Connects to a port of the container.
    ///
    /// # Errors
    ///
    /// Fails when nobody listens there.
    pub fn connect(&self, port: u16) -> Result<TcpStream> {
        self.network.connect(port)
    }

    /// Sends SIGTERM to the program, as the kubelet does, and waits until it has ended. Returns `None` if it has not within
    /// its grace period.
    ///
    /// # Errors
    ///
    /// Fails when the signal cannot be sent.
    pub async fn terminate(&self, grace: Duration) -> Result<Option<Exit>> {
        // Its parent waits for it as long as the guard has no exit, so the process id is still its own.
        if self.exit().is_none() {
            let failed =
                |source| Error::Signal { signal: "TERM", name: self.running.name().to_owned(), pid: self.pid, source };
            send(self.pid, Signal::Terminate).map_err(failed)?;
        }
        Ok(self.running.wait_exit(grace).await)
    }
}

/// Waits until crun has become the program's parent and the program runs.
async fn program(running: &ProcessGuard) -> Result<(u32, Instant)> {
    let begin = Instant::now();
    loop {
        let crun = child(running.pid()).filter(|pid| command(*pid) == "crun");
        // Until it runs the program, the child of crun is crun.
        if let Some(pid) = crun.and_then(child).filter(|pid| !matches!(command(*pid).as_str(), "crun" | "")) {
            return Ok((pid, Instant::now()));
        }
        let name = running.name().to_owned();
        if let Some(exit) = running.exit() {
            return Err(Error::Ended { name, exit, log: running.log_tail(20) });
        }
        if begin.elapsed() > START_TIMEOUT {
            let why = "crun has not started it".to_owned();
            return Err(Error::NotReady { name, waited: begin.elapsed(), why, log: running.log_tail(20) });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The only child of a process.
fn child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// What a process runs. crun names its child after itself and a number.
fn command(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().split(':').next().unwrap_or_default().to_owned()
}
