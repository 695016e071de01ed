//! TCP ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result};

/// A port that nobody listens on at this moment.
///
/// # Errors
/// If there is none.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Several that differ: each is kept until the last was found.
///
/// # Errors
/// If there are not so many.
pub fn several<const N: usize>() -> Result<[u16; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
        *port = listener.local_addr()?.port();
        listeners.push(listener);
    }
    Ok(ports)
}

/// Whether a server could listen on this port now.
pub fn is_free(port: u16) -> bool {
    // Binding alone does not tell: a listener on another address of this machine shares the port with us.
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
