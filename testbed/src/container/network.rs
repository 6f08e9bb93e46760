//! The network of one container: a loopback of its own, as the pod of a cluster has.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::process_guard::{Launch, ProcessGuard, Signal};
use crate::scratch::Scratch;

/// Nothing but the loopback, with the flags UP and LOOPBACK: `ip` is not on every machine.
const HOLD: &str =
    "mount -t sysfs sysfs /sys && echo 0x9 > /sys/class/net/lo/flags && echo ready && exec sleep infinity";
const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// A network namespace, as long as a process holds it.
#[derive(Debug)]
pub(super) struct Network {
    holder: ProcessGuard,
    namespace: File,
    forwarded: Mutex<JoinSet<()>>,
}

impl Network {
    pub(super) async fn create(scratch: &Scratch) -> Result<Self> {
        let holder = ProcessGuard::program("unshare", scratch.join("network.log"))
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", HOLD])
            .stop_with(Signal::Kill, Duration::ZERO)
            .start()?;
        let begin = Instant::now();
        while holder.log().trim() != "ready" {
            let name = "the network of a container".to_owned();
            if let Some(exit) = holder.exit() {
                return Err(Error::Ended { name, exit, log: holder.log_tail(5) });
            }
            if begin.elapsed() > TIMEOUT {
                let why = "the loopback is not up".to_owned();
                return Err(Error::NotReady { name, waited: begin.elapsed(), why, log: holder.log_tail(5) });
            }
            tokio::time::sleep(POLL).await;
        }
        let path = namespace(&holder);
        let namespace = File::open(&path).map_err(Error::file("open", &path))?;
        Ok(Self { holder, namespace, forwarded: Mutex::default() })
    }

    /// Starts a program in it.
    pub(super) fn start(&self, launch: Launch) -> Result<ProcessGuard> {
        let path = namespace(&self.holder);
        self.within(|| Ok(launch.start())).map_err(Error::file("enter", &path))?
    }

    /// Leads connections to a port of the container's loopback to a server of the machine.
    pub(super) fn forward(&self, port: u16, server: SocketAddr) -> Result<()> {
        let listener = self.within(|| {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let listener = listener.and_then(TcpListener::from_std).map_err(|source| failed(port, source))?;
        let accept = async move {
            let mut connections = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        };
        self.forwarded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).spawn(accept);
        Ok(())
    }

    /// Connects to a port of the container.
    pub(super) fn connect(&self, port: u16) -> Result<TcpStream> {
        let stream = self.within(|| {
            let stream = StdStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        stream.and_then(TcpStream::from_std).map_err(|source| failed(port, source))
    }

    /// Does something on a thread of its own that is in the namespace. A socket stays where it was made.
    fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
        })
    }
}

fn namespace(holder: &ProcessGuard) -> PathBuf {
    PathBuf::from(format!("/proc/{}/ns/net", holder.pid()))
}

fn failed(port: u16, source: io::Error) -> Error {
    Error::ContainerPort { port, source }
}
