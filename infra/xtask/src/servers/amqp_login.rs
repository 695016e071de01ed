//! Whether a broker truly takes a login: the first frames of AMQP 0-9-1, up to the answer to `connection.open`.
//! RabbitMQ opens its port before it can serve, so that a connection alone proves nothing.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail};

const METHOD: u8 = 1;
const END: u8 = 0xCE;
const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);

/// Logs in to a virtual host and leaves.
///
/// # Errors
/// If any step is refused or not answered within five seconds.
pub(super) fn try_login(port: u16, user: &str, password: &str, vhost: &str) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("nobody listens there")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    expect(&mut stream, START)?;
    // client-properties: an empty table; mechanism; response; locale.
    let mut arguments = vec![0, 0, 0, 0];
    arguments.extend(short("PLAIN")?);
    let response = format!("\0{user}\0{password}");
    arguments.extend(u32::try_from(response.len())?.to_be_bytes());
    arguments.extend(response.as_bytes());
    arguments.extend(short("en_US")?);
    send(&mut stream, START_OK, &arguments)?;
    // The broker's own limits are sent back to it as they are.
    let limits = expect(&mut stream, TUNE).context("the login was refused")?;
    send(&mut stream, TUNE_OK, limits.get(..8).context("a short frame")?)?;
    let mut arguments = short(vhost)?;
    arguments.extend([0, 0]);
    send(&mut stream, OPEN, &arguments)?;
    expect(&mut stream, OPEN_OK).context("the virtual host was refused")?;
    Ok(())
}

fn short(text: &str) -> Result<Vec<u8>> {
    let mut bytes = vec![u8::try_from(text.len())?];
    bytes.extend(text.as_bytes());
    Ok(bytes)
}

fn send(stream: &mut TcpStream, (class, method): (u16, u16), arguments: &[u8]) -> Result<()> {
    let mut frame = vec![METHOD, 0, 0];
    frame.extend(u32::try_from(arguments.len() + 4)?.to_be_bytes());
    frame.extend(class.to_be_bytes());
    frame.extend(method.to_be_bytes());
    frame.extend(arguments);
    frame.push(END);
    Ok(stream.write_all(&frame)?)
}

/// Reads one method frame and gives its arguments, if it is the one that must come now.
fn expect(stream: &mut TcpStream, method: (u16, u16)) -> Result<Vec<u8>> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).context("the broker closed the connection")?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    if head[0] != METHOD || !(4..=131_072).contains(&length) {
        bail!("that is not AMQP 0-9-1");
    }
    let mut payload = vec![0; usize::try_from(length)? + 1];
    stream.read_exact(&mut payload).context("the broker closed the connection")?;
    let got = (u16::from_be_bytes([payload[0], payload[1]]), u16::from_be_bytes([payload[2], payload[3]]));
    if got != method {
        bail!("the broker answered with method {}.{}", got.0, got.1);
    }
    Ok(payload.split_off(4))
}
