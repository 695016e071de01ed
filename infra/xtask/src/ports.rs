//! TCP ports on 127.0.0.1.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::{Ipv4Addr, TcpListener, TcpStream},
};

use anyhow::{Context, Result};

/// Below those that Linux gives to outgoing connections (32768 and up): one of those may be anybody's a moment later, and
/// a server takes seconds to start.
const FROM: u16 = 15_000;
const COUNT: u16 = 17_000;

/// How many are tried.
const TRIES: usize = 1000;

/// A port that nobody listens on at this moment.
///
/// # Errors
/// If there is none.
pub fn free() -> Result<u16> {
    Ok(listening()?.local_addr()?.port())
}

/// Several that differ: each is kept until the last was found.
///
/// # Errors
/// If there are not so many.
pub fn several<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = listening()?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

fn listening() -> Result<TcpListener> {
    // By chance, so that two that look at the same time do not find the same.
    let chance = || RandomState::new().build_hasher().finish();
    let candidates = (0..TRIES).map(|_| FROM + u16::try_from(chance() % u64::from(COUNT)).unwrap_or_default());
    let mut found = candidates.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    found.next().context("no free port on 127.0.0.1")
}

/// Whether a server could listen on this port now.
pub fn is_free(port: u16) -> bool {
    // Binding alone does not tell: a listener on another address of this machine shares the port with us.
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
