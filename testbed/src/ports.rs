//! TCP ports that stay free until a server takes them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

// Below the range from which the kernel takes the ports of outgoing connections:
// otherwise such a connection could take a port between the choice and the start of
// the server, or while a server is stopped that is to come back on its port.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_999;

/// Ports that this process was given before: their servers may not listen yet.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on which nothing listens and which this process has not been given before.
pub(crate) fn free_port() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        let port = fastrand::u16(FIRST..=LAST);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    Err(Error::NoFreePort { first: FIRST, last: LAST })
}
